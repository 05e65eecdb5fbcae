"""What a client asks, before an upstream is chosen: and what of it goes to an upstream of a given protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from relay.wire.events import BadField, sendable
from relay.wire.passage import Opaque, Passage
from relay.wire.registry import GEMINI_ARRAY, Dialect
from relay.wire.translation.counting import Counted, counting, counts
from relay.wire.translation.gathering import Gathered, gathered
from relay.wire.translation.speaking import Listener
from relay.wire.translation.translated import Translated, translate

DOTS = frozenset({".", ".."})  # of a path: whoever resolves them would ask for something that no key or route allowed


@dataclass(frozen=True, slots=True)
class Sending:
    """What goes to one upstream. `own_headers`: the client's headers are of the upstream's protocol, and go too."""

    path: str  # not percent-encoded
    query: str
    payload: bytes
    own_headers: bool = True
    notes: frozenset[str] = frozenset()  # what was lost or changed by translating it


@dataclass(frozen=True, slots=True)
class Question:
    """One request of a client. `main`: at the protocol's own endpoint, whose answers a reader knows.

    `anywhere`: it names no model but something that one of the upstreams has; who does not is no failure.
    """

    dialect: Dialect
    method: str
    path: str
    query: str
    raw: bytes
    body: dict[str, Any] | None = None
    model: str | None = None
    stream: bool = False
    main: bool = True
    anywhere: bool = False
    model_at: tuple[int, int] | None = None  # where the model's name lies in a form
    seed: str = ""  # unique for the request, for what an answer must be given when the upstream gave it nothing
    now: int = 0  # epoch seconds
    asks_usage: bool = True  # the setting: ask for the usage of a stream that the client did not ask for
    changes: Mapping[str, Any] = field(default_factory=dict)  # what the route sets in the body
    _sendings: dict[tuple[str, str | None], Sending] = field(default_factory=dict)

    def asking(self, usage: bool | None) -> Question:
        """The same question to an upstream that has a rule of its own for usage that the client did not ask for."""
        return self if usage is None or usage is self.asks_usage else replace(self, asks_usage=usage, _sendings={})

    def shaped(self, changes: Mapping[str, Any]) -> Question:
        """The same question with these fields set in its body."""
        return replace(self, changes=changes, _sendings={}) if changes and self.body is not None and self.main else self

    @property
    def counts(self) -> bool:
        """Whether it asks how many tokens a prompt has."""
        return not self.main and self.body is not None and counts(self.dialect, self.method, self.path)

    def sending(self, protocol: str, upstream_model: str | None) -> Sending | None:
        """What goes to an upstream of `protocol`; None when this question cannot be put to it at all.

        Raises:
            BadField: it could be, but for a field of the request, which the text names.
        """
        key = (protocol, upstream_model)
        if key not in self._sendings:
            found = self._sending(protocol, upstream_model)
            if found is None:
                return None
            if not DOTS.isdisjoint(found.path.split("/")):
                what = "the path" if not DOTS.isdisjoint(self.path.split("/")) else "model"
                raise BadField(f"{what} has a segment . or .. in it, which would lead out of what the upstream serves here")
            self._sendings[key] = found
        return self._sendings[key]

    def _sending(self, protocol: str, upstream_model: str | None) -> Sending | None:
        if protocol != self.dialect.protocol:
            return self._translation(protocol, upstream_model or self.model or "")
        path, payload = self.path, self.raw
        if self.body is not None:
            changes = dict(self.changes)
            if upstream_model != self.model and upstream_model and self.model:
                path, named = self.dialect.renamed(path, upstream_model)
                changes |= named
            payload = self._changed(changes)
        elif self.model_at is not None and upstream_model:
            start, end = self.model_at
            payload = self.raw[:start] + upstream_model.encode() + self.raw[end:]
        return Sending(path, self.query, payload)

    def _translation(self, protocol: str, model: str) -> Sending | None:
        if self.counts:
            return self._count(protocol, model)
        if not self.main or self.body is None:
            return None
        found = translate(self.dialect, self.body | dict(self.changes), protocol, model, self.stream)
        return Sending(found.path, found.query, found.payload, own_headers=False, notes=found.notes)

    def _count(self, protocol: str, model: str) -> Sending | None:
        assert self.body is not None
        found = counting(self.dialect, self.body, protocol, model)
        return found and Sending(found[0], "", found[1], own_headers=False, notes=found[2])

    def _changed(self, changes: dict[str, Any]) -> bytes:
        """The client's bytes where nothing changes, or where what is ours can be put in front of them."""
        assert self.body is not None
        if self._adds_usage:
            options = self.body.get("stream_options")
            if not changes and options is None and "stream_options" not in self.body:
                rest = self.raw.lstrip()[1:]
                return b'{"stream_options":{"include_usage":true},' + rest
            changes = changes | {"stream_options": (options or {}) | {"include_usage": True}}
        return sendable(self.body | changes) if changes else self.raw

    @property
    def _adds_usage(self) -> bool:
        if not (self.main and self.stream and self.asks_usage and self.dialect.tag == "chat"):
            return False
        options = (self.body or {}).get("stream_options")
        return options is None or (isinstance(options, dict) and "include_usage" not in options)

    def passage(self, protocol: str, upstream_model: str | None) -> Passage:
        """The way back: a new one for each attempt."""
        if protocol != self.dialect.protocol:
            sending = self.sending(protocol, upstream_model)
            notes = sending.notes if sending else frozenset()
            return (
                Translated(self.dialect, protocol, self._listener(), notes)
                if self.main
                else Counted(self.dialect, protocol, notes)
            )
        if not self.main:
            return Opaque(self.dialect)
        return Passage(self.dialect, withholds_usage=self._adds_usage)

    def gathered(self, protocol: str, body: bytes) -> Gathered | None:
        """What a body that is no JSON amounts to, if it is an event stream of the upstream's; None when it is none."""
        return gathered(protocol, body, self._listener()) if self.main else None

    def _listener(self) -> Listener:
        array = self.dialect is GEMINI_ARRAY
        return Listener(self.model or "", self.body or {}, self.seed, self.now, self.path, array)

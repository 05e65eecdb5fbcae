"""Payload capture: what a client asked and what it was sent, kept with the audit entry when an operator asked for that.

Off unless asked for (on the Audit page; the snapshot carries it to every process), bounded on each side, and redacted by
the recorder like every other text before it touches the disk; what a model spread over several events is masked here
(relay/spread_secrets.py), since no single text shows it.
"""

from __future__ import annotations

from typing import Any

from relay.spread_secrets import without_spread_secrets

LIMIT = 64 * 1024  # bytes kept of each side


class Captured:
    """The payloads of one request, as far as they are kept."""

    __slots__ = ("answer", "answer_size", "request", "request_size")

    def __init__(self, request: bytes) -> None:
        self.request = request[:LIMIT]
        self.request_size = len(request)
        self.answer = bytearray()
        self.answer_size = 0

    def sent(self, data: bytes) -> None:
        """A part of the answer went to the client."""
        self.answer_size += len(data)
        if len(self.answer) < LIMIT:
            self.answer += data[: LIMIT - len(self.answer)]

    def payloads(self) -> dict[str, Any]:
        """What the audit entry keeps; a side that was cut says how long it was."""
        kept: dict[str, Any] = {}
        for name, data, size in (("request", self.request, self.request_size), ("answer", bytes(self.answer), self.answer_size)):
            if size:
                kept[name] = data.decode("utf-8", "replace")
            if size > LIMIT:
                kept[f"{name}_bytes"] = size
        if "answer" in kept:
            kept["answer"] = without_spread_secrets(kept["answer"], cut=self.answer_size > LIMIT)
        return kept

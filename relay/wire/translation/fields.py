"""Reading a request strictly: what has the wrong type is named with its place, and what nobody read is on record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from relay.wire.events import BadField, sendable
from relay.wire.translation.prompt import Prompt

NAMES = {dict: "an object", list: "a list", str: "a string", bool: "true or false", int: "a whole number", float: "a number"}


class Fields:
    """An object of the request; `where` is its place, as the client would write it."""

    def __init__(self, value: Any, where: str = "") -> None:
        if not isinstance(value, dict):
            raise BadField(f"{where or 'the body'} is {type(value).__name__}; expected an object")
        self.value = value
        self.where = where
        self._read: set[str] = set()

    def place(self, name: str) -> str:
        return f"{self.where}.{name}" if self.where else name

    def get(self, name: str, kind: type | tuple[type, ...] | None = None) -> Any:
        """A field, None when it is missing or null; Gemini's may be written with underscores too.

        Raises:
            BadField: it is not of this kind.
        """
        self._read.add(name)
        value = self.value.get(name)
        if value is None:
            other = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
            value = self.value.get(other) if other != name else None
            self._read.add(other)
        if value is None or kind is None:
            return value
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if float in kinds:
            kinds = (*kinds, int)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise BadField(f"{self.place(name)} is {type(value).__name__}; expected {NAMES[kinds[0]]}")
        return value

    def text(self, name: str) -> str:
        return self.get(name, str) or ""

    def child(self, name: str) -> Fields | None:
        """A field that is an object."""
        value = self.get(name, dict)
        return None if value is None else Fields(value, self.place(name))

    def children(self, name: str) -> list[Fields]:
        """A field that is a list of objects."""
        return [Fields(item, f"{self.place(name)}[{at}]") for at, item in enumerate(self.get(name, list) or [])]

    def refuse(self, reasons: Mapping[str, str]) -> None:
        """Refuse these fields where they ask for something.

        Raises:
            BadField: one does.
        """
        for name, reason in reasons.items():
            if self.get(name) not in (None, False, 0, "", [], {}):
                raise BadField(f"{self.place(name)} cannot be carried to this model's upstream: {reason}")

    def lose_rest(self, prompt: Prompt, silent: frozenset[str] = frozenset()) -> None:
        """Put on record every field that nobody read and that asks for something."""
        for name, value in self.value.items():
            if name not in self._read and name not in silent and value not in (None, False, "", [], {}):
                prompt.notes.add(f"lost:{self.place(name)}"[:120])


def json_text(value: Any) -> str:
    """A JSON value as text; a text stays as it is."""
    return value if isinstance(value, str) else sendable(value).decode()


def json_object(text: str) -> dict[str, Any] | None:
    """The object that a text of JSON holds, an empty text being an empty one; None when it is none."""
    if not text.strip():
        return {}
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def data_url(url: str) -> tuple[str, str]:
    """Media type and base64 of a `data:` URL; two empty texts when it is none."""
    if not url.startswith("data:"):
        return "", ""
    head, comma, data = url[5:].partition(",")
    if not comma or not head.endswith(";base64"):
        return "", ""
    return head.removesuffix(";base64") or "application/octet-stream", data


def whole_number(value: Any, otherwise: int) -> int:
    """The value when it is a whole number."""
    return value if isinstance(value, int) and not isinstance(value, bool) else otherwise

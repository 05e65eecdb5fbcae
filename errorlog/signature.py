"""What makes two events the same: the parts of a signature, and their digest.

Pure. `VERSION` is stored with each group and is part of the digest's input: whoever changes how parts are made raises
it, so that old groups stay as they are and only new events form new ones. What varies from event to event (digits, ids,
addresses) never enters a part that was computed here; parts that an event brings itself are taken as they come.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

VERSION = 1
_LONGEST = 300

_VARYING = re.compile(
    r"0x[0-9a-f]+"  # addresses of objects
    r"|\b(?:[0-9a-f]{2,}[-:.]){3,}[0-9a-f]{2,}\b"  # UUIDs, MAC and IPv6 addresses
    r"|\b(?=[a-z_\-]*[0-9])[a-z0-9_\-]{12,}\b"  # ids: long words with a digit in them
    r"|\b(?=[a-f]*[0-9])[0-9a-f]{6,}\b"  # digests
    r"|[0-9]+(?:[.,:][0-9]+)*",  # numbers, versions, IPv4 addresses, times
    re.IGNORECASE,
)
_PYTHON_FRAME = re.compile(r'^[ \t|+\-]*File "(?P<file>[^"\n]*)", line \d+(?:, in (?P<function>[^\n]*))?', re.MULTILINE)
_TRACEBACK = re.compile(r"^[ \t|+\-]*(?:Exception Group )?Traceback \(most recent call last\):", re.MULTILINE)
# V8: `at f (https://host/x.js:1:2)`, `at https://host/x.js:1:2`; Firefox and Safari: `f@https://host/x.js:1:2`
_V8_FRAME = re.compile(r"^[ \t]*at (?:(?P<function>[^\n(]+?) \()?(?P<file>[^\s()\n]+?):\d+(?::\d+)?\)?[ \t]*$", re.MULTILINE)
_GECKO_FRAME = re.compile(r"^(?P<function>[^\s@\n]*)@(?P<file>[^\s\n]+?):\d+(?::\d+)?[ \t]*$", re.MULTILINE)
_ORIGIN = re.compile(r"^[a-z][a-z0-9+.\-]*://[^/]*", re.IGNORECASE)


def parts_of(event: Mapping[str, Any], own_modules: Sequence[str] = ()) -> list[str]:
    """The parts of an event's signature: its own fingerprint, else its name and where in the code it came from."""
    given = event.get("fingerprint")
    if isinstance(given, list | tuple) and given:
        return [str(part)[:200] for part in given[:20]]
    name = str(event.get("name") or "Error")[:200]
    stack = str(event.get("stack") or "")
    place = _python_place(stack, own_modules) or _script_place(stack)
    if place:
        return [name, place]
    first_line = str(event.get("message") or "").strip().split("\n", 1)[0]
    return [name, steady(first_line[:200])] if first_line else [name]


def signature_of(parts: Sequence[str]) -> str:
    """The digest that identifies a group."""
    return hashlib.sha256("\0".join([str(VERSION), *parts]).encode("utf-8", "replace")).hexdigest()[:32]


def steady(text: str) -> str:
    """`text` with everything that varies from event to event replaced by `#`, cut to what can be a part."""
    return _VARYING.sub("#", text[:_LONGEST])


def _python_place(stack: str, own_modules: Sequence[str]) -> str:
    """Module and function of the innermost frame of our own code; without any, of the innermost frame."""
    sections = list(_TRACEBACK.finditer(stack))
    frames = list(_PYTHON_FRAME.finditer(stack, sections[-1].end() if sections else 0))
    for frame in reversed(frames):
        module = _own_module(frame["file"], own_modules)
        if module:
            return f"{module} {frame['function'] or ''}".strip()
    if not frames:
        return ""
    folder, _, file = frames[-1]["file"].replace("\\", "/").removesuffix(".py").rpartition("/")
    package = folder.rpartition("/")[2]
    return f"{steady(package)}.{steady(file)} {frames[-1]['function'] or ''}".strip(". ")


def _own_module(file: str, own_modules: Sequence[str]) -> str:
    """`/anywhere/relay/wire/sse.py` → `relay.wire.sse`; empty for what is not ours."""
    path = file.replace("\\", "/")
    if "/site-packages/" in path or "/dist-packages/" in path or "/lib/python" in path:
        return ""
    names = path.removesuffix(".py").removesuffix("/__init__").split("/")
    starts = [index for index, name in enumerate(names[:-1]) if name in own_modules]
    return ".".join(names[starts[-1] :]) if starts else ""


def _script_place(stack: str) -> str:
    """Function and file of the first real frame; a script's stack begins with the message, which is none."""
    found = [frame for frame in (_V8_FRAME.search(stack), _GECKO_FRAME.search(stack)) if frame]
    if not found:
        return ""
    frame = min(found, key=lambda item: item.start())
    file = _ORIGIN.sub("", frame["file"]).split("?", 1)[0].split("#", 1)[0]
    return f"{steady(file)} {steady(frame['function'] or '')}".strip()

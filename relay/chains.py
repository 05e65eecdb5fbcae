"""Which credential made a response: `previous_response_id` belongs to it alone, and must not be shown to another.

All workers of an instance look into one table, a file of fixed size that each of them has mapped, so that a turn finds
its maker in whichever worker it comes, also after a restart, without a lock or a wait. Newer responses take the place of
older ones. An entry that two workers wrote at the same moment does not pass its checksum and counts as not there.

An id that is not known here goes where the route leads, and the upstream refuses it when it is not its own. It is never
replaced.
"""

from __future__ import annotations

import logging
import mmap
import os
import struct
import time
import zlib
from hashlib import blake2b
from pathlib import Path

from django.conf import settings

from relay.balancing import Candidate, Key
from relay.wire.question import Question

FILE = "responses.table"
ENTRY = struct.Struct("<16sqqII")  # digest of the response's id, upstream, credential (0: none), second, checksum
ROW = 8  # entries among which one id may lie
ROWS = 1 << 14
SIZE = ENTRY.size * ROW * ROWS  # 131,072 responses in 5 MiB

logger = logging.getLogger(__name__)


class Table:
    """A hash table in mapped memory, shared by all who map the file."""

    def __init__(self, path: Path | None) -> None:
        """None: for this process alone."""
        if path is None:
            self._memory = mmap.mmap(-1, SIZE)
            return
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(number, 0, SIZE)  # a mapped page that finds the disk full would kill the process
            self._memory = mmap.mmap(number, SIZE)
        finally:
            os.close(number)

    def put(self, response_id: str, key: Key) -> None:
        """The credential has made this response."""
        digest = _digest(response_id)
        oldest, place = 1 << 32, 0
        for at in _places(digest):
            known, _, _, second, _ = ENTRY.unpack_from(self._memory, at)
            if known == digest:
                place = at
                break
            if second < oldest:
                oldest, place = second, at
        upstream_id, credential_id = key
        fields = digest, upstream_id, credential_id or 0, int(time.time())
        ENTRY.pack_into(self._memory, place, *fields, _checksum(*fields))

    def get(self, response_id: str) -> Key | None:
        """What has made the response; None when that is not known."""
        digest = _digest(response_id)
        for at in _places(digest):
            known, upstream_id, credential_id, second, checksum = ENTRY.unpack_from(self._memory, at)
            if known == digest and checksum == _checksum(known, upstream_id, credential_id, second):
                return upstream_id, credential_id or None
        return None


def _digest(response_id: str) -> bytes:
    return blake2b(response_id.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _places(digest: bytes) -> range:
    first = int.from_bytes(digest[:4], "little") % ROWS * ROW * ENTRY.size
    return range(first, first + ROW * ENTRY.size, ENTRY.size)


def _checksum(digest: bytes, upstream_id: int, credential_id: int, second: int) -> int:
    return zlib.crc32(struct.pack("<qqI", upstream_id, credential_id, second), zlib.crc32(digest))


_table: Table | None = None


def table() -> Table:
    """This instance's table; where it cannot be had, one for this process."""
    global _table
    if _table is None:
        try:
            _table = Table(settings.DATA_DIR / FILE)
        except OSError as error:
            logger.warning("Each worker knows only the responses that it has relayed itself: %s.", error)
            _table = Table(None)
    return _table


def remember(response_id: str, upstream_id: int, credential_id: int | None) -> None:
    """The credential has made this response. Never raises: an answer that was read whole is not broken for this."""
    try:
        table().put(response_id, (upstream_id, credential_id))
    except Exception:
        logger.exception("Who made the response %s was not kept.", response_id[:100])


def named_by(question: Question) -> str | None:
    """The earlier response that a question goes on with, or asks for."""
    if question.dialect.tag != "responses":
        return None
    named = (question.body or {}).get("previous_response_id")
    if named is None and question.path.startswith("/v1/responses/"):
        named = question.path.split("/")[3]
    return named if isinstance(named, str) else None


def bound(candidates: list[Candidate], question: Question) -> list[Candidate]:
    """Those candidates that made what the question names; all of them when it names nothing that is known here."""
    named = named_by(question)
    maker = table().get(named) if named is not None else None
    if maker is None:
        return candidates
    return [item for item in candidates if item.key == maker]

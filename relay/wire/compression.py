"""Content codings: bytes as they were sent, to bytes as they were meant, piece by piece and bounded.

An upstream is asked for `identity`, but some compress all the same; clients may compress their requests.
"""

from __future__ import annotations

import zlib
from typing import Any

import brotli
import zstandard

MEMBERS = {"gzip": b"\x1f\x8b", "x-gzip": b"\x1f\x8b", "zstd": b"\x28\xb5"}  # several may follow each other, and begin so
KNOWN = frozenset({"gzip", "x-gzip", "deflate", "zstd", "br"})


class BadCompression(Exception):
    """The bytes are not what the coding promised. `decoded`: what was still good before them."""

    decoded = b""


class TooLarge(Exception):
    """More came out than was allowed."""


class Decoder:
    """Decodes one body. `limit`: the most bytes that may come out in all.

    Raises:
        BadCompression: from `feed`, when the bytes are not of this coding.
        TooLarge: from `feed`, when more than `limit` came out.
    """

    def __init__(self, coding: str, limit: int) -> None:
        self.coding = coding
        self.left = limit
        self._deflate_began = False
        self._behind: bytes | None = b""  # the end: too little to tell whether another member begins; None: none does
        self._decoder: Any = self._new()

    def _new(self) -> Any:
        if self.coding == "zstd":
            return zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
        if self.coding == "br":
            return brotli.Decompressor()
        return zlib.decompressobj(zlib.MAX_WBITS | (0 if self.coding == "deflate" else 16))

    @property
    def finished(self) -> bool:
        """Whether the coding's own end was seen."""
        if self.coding == "br":
            return bool(self._decoder.is_finished())
        return bool(self._decoder.eof)

    def feed(self, data: bytes) -> bytes:
        """What `data` decodes to; may be empty before the end."""
        parts = []
        for start in range(0, len(data), 16384):  # so that a bomb is noticed before it has gone off
            try:
                parts.append(self._step(data[start : start + 16384]))
            except BadCompression as error:
                error.decoded = b"".join(parts) + error.decoded
                raise
            self.left -= len(parts[-1])
            if self.left < 0:
                raise TooLarge
        return b"".join(parts)

    def _step(self, data: bytes) -> bytes:
        """What a piece decodes to.

        Where a coding's end is seen, another member may begin (RFC 1952, 2.2; RFC 8878, 3); anything else there is padding.
        """
        out = b""
        while data and not (self.finished and not self._goes_on(data)):
            data, self._behind = (self._behind or b"") + data, b""
            try:
                out += self._decode(data)
            except BadCompression as error:
                error.decoded = out + error.decoded
                raise
            data = self._decoder.unused_data if self.finished and self.coding in MEMBERS else b""
        return out

    def _goes_on(self, data: bytes) -> bool:
        """Behind the end: whether another member begins with these bytes."""
        if self._behind is None or self.coding not in MEMBERS:
            return False
        begun = (self._behind + data)[:2]
        if begun == MEMBERS[self.coding]:
            self._decoder = self._new()
            return True
        self._behind = begun if MEMBERS[self.coding].startswith(begun) else None
        return False

    def _decode(self, data: bytes) -> bytes:
        try:
            if self.coding in ("zstd", "br"):
                decode = self._decoder.decompress if self.coding == "zstd" else self._decoder.process
                return bytes(decode(data))
            return self._inflate(data)
        except (zlib.error, zstandard.ZstdError, brotli.error) as error:
            raise BadCompression(f"the body is not {self.coding}: {error}") from None

    def _inflate(self, data: bytes) -> bytes:
        if self.coding == "deflate" and not self._deflate_began:
            self._deflate_began = True
            if data[:1] and (data[0] & 0x0F) != 8:  # senders of raw deflate are common
                self._decoder = zlib.decompressobj(-zlib.MAX_WBITS)
        before = self._decoder.copy()  # zlib keeps nothing of a piece that goes bad inside; small beside the inflating
        try:
            out = self._decoder.decompress(data, self.left + 1)
        except zlib.error as error:
            bad = BadCompression(f"the body is not {self.coding}: {error}")
            bad.decoded = _good_part(before, data)
            raise bad from None
        if self._decoder.unconsumed_tail:
            raise TooLarge
        return bytes(out)


def _good_part(decoder: Any, data: bytes) -> bytes:
    """What comes out before the first byte that does not inflate."""
    out = bytearray()
    try:
        for at in range(len(data)):
            out += decoder.decompress(data[at : at + 1])
    except zlib.error:
        pass
    return bytes(out)

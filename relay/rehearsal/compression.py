"""Plays of upstreams that compress unasked: each event flushed, cut short, or not what the header says."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace

import brotli
import orjson
import zstandard

from .scene import Scene
from .steps import JSON_TYPE, End, Framing, Head, Steps

Play = Callable[[Scene], Steps]
Squeeze = Callable[[bytes], bytes]  # one piece, flushed so that the reader has all of it at once
Finish = Callable[[], bytes]


def _zlib(bits: int) -> tuple[Squeeze, Finish]:
    packer = zlib.compressobj(wbits=bits)
    return (lambda data: packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH)), packer.flush


def _brotli() -> tuple[Squeeze, Finish]:
    packer = brotli.Compressor(quality=4)
    return (lambda data: packer.process(data) + packer.flush()), packer.finish


def _zstd() -> tuple[Squeeze, Finish]:
    packer = zstandard.ZstdCompressor().compressobj()
    flush_block = zstandard.COMPRESSOBJ_FLUSH_BLOCK
    return (lambda data: packer.compress(data) + packer.flush(flush_block)), packer.flush


CODINGS: dict[str, Callable[[], tuple[Squeeze, Finish]]] = {
    "gzip": lambda: _zlib(31),
    "deflate": lambda: _zlib(15),
    "br": _brotli,
    "zstd": _zstd,
}


def compressed(coding: str) -> Play:
    """The ordinary answer, compressed."""

    def play(scene: Scene) -> Steps:
        squeeze, finish = CODINGS[coding]()
        pieces = [*map(squeeze, scene.healthy()), finish()]
        yield _labelled(scene, coding, sum(map(len, pieces)))
        yield from scene.flow(pieces)

    return play


def cut(scene: Scene) -> Steps:
    """`after` deltas, compressed, then the clean end of the HTTP body without that of the compression."""
    coding = scene.script.text("coding", "gzip")
    squeeze, _ = CODINGS.get(coding, CODINGS["gzip"])()
    yield _labelled(scene, coding, 0, Framing.CHUNKED)
    yield from scene.flow(map(squeeze, scene.upto()))
    yield End()


def spoilt(scene: Scene) -> Steps:
    """`after` deltas, compressed, then bytes that do not decompress."""
    squeeze, _ = CODINGS["gzip"]()
    yield _labelled(scene, "gzip", 0, Framing.CHUNKED)
    yield from scene.flow([*map(squeeze, scene.upto()), b"\xff\x00 no deflate block \xff" * 4])


def mislabelled(scene: Scene) -> Steps:
    """Says gzip, and is not."""
    pieces = scene.healthy()
    yield _labelled(scene, "gzip", sum(map(len, pieces)))
    yield from scene.flow(pieces)


def unknown(scene: Scene) -> Steps:
    """Says that it is coded in a way that nobody knows."""
    pieces = scene.healthy()
    yield _labelled(scene, "lzw", sum(map(len, pieces)))
    yield from scene.flow(pieces)


def status(scene: Scene) -> Steps:
    """A compressed JSON error under an error status."""
    code = scene.script.count("code", 500)
    squeeze, finish = CODINGS["gzip"]()
    body = squeeze(orjson.dumps(scene.dialect.failure_body(scene.failure(code)))) + finish()
    labelled = _labelled(scene, "gzip", len(body), Framing.LENGTH)
    yield replace(labelled, status=code, content_type=JSON_TYPE)
    yield body


def _labelled(scene: Scene, coding: str, length: int, framing: Framing | None = None) -> Head:
    head = scene.head(length, framing)
    return replace(head, headers=(*head.headers, ("Content-Encoding", coding)))

"""What the compressing upstreams send can be undone, event by event, with the ordinary libraries."""

from __future__ import annotations

import zlib

import brotli
import pytest
import zstandard

from relay.rehearsal.server import FaultServer

from .raw_client import ask


def plain(coding: str, data: bytes) -> bytes:
    if coding == "br":
        return bytes(brotli.Decompressor().process(data))
    if coding == "zstd":
        return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    return zlib.decompressobj(wbits=47 if coding == "gzip" else 15).decompress(data)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_a_compressed_stream_is_the_plain_one(upstream: FaultServer, coding: str) -> None:
    reply = ask(upstream.port, coding)
    assert reply.headers["content-encoding"] == coding
    assert plain(coding, reply.body).endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_a_cut_one_has_given_its_events_so_far(upstream: FaultServer, coding: str) -> None:
    text = plain(coding, ask(upstream.port, f"gzip-cut,coding={coding},after=2").body)
    assert text.count(b"data: ") == 3 and text.endswith(b"\n\n")


def test_a_spoilt_one_cannot_be_read_to_its_end(upstream: FaultServer) -> None:
    with pytest.raises(zlib.error):
        plain("gzip", ask(upstream.port, "gzip-bad").body)


def test_a_compressed_error_keeps_its_status(upstream: FaultServer) -> None:
    reply = ask(upstream.port, "gzip-status,code=503")
    assert reply.status == 503 and b"service_unavailable" in plain("gzip", reply.body)

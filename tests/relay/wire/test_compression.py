"""Content codings whose bodies come in several members, and what may stand behind the last."""

from __future__ import annotations

import gzip

import pytest
import zstandard

from relay.wire.compression import BadCompression, Decoder

LIMIT = 1 << 20
PACK = {"gzip": gzip.compress, "zstd": zstandard.ZstdCompressor().compress}


def fed(coding: str, data: bytes, size: int) -> tuple[bytes, Decoder]:
    decoder = Decoder(coding, LIMIT)
    return b"".join(decoder.feed(data[at : at + size]) for at in range(0, len(data), size)), decoder


@pytest.mark.parametrize("size", [1, 2, 7, 1 << 20])
@pytest.mark.parametrize("coding", PACK)
def test_members_that_follow_each_other_are_one_body(coding: str, size: int) -> None:
    body, decoder = fed(coding, PACK[coding](b"first ") + PACK[coding](b"") + PACK[coding](b"second"), size)
    assert body == b"first second"
    assert decoder.finished


@pytest.mark.parametrize("size", [1, 1 << 20])
@pytest.mark.parametrize("coding", PACK)
def test_a_member_that_is_cut_is_no_end(coding: str, size: int) -> None:
    _, decoder = fed(coding, PACK[coding](b"first") + PACK[coding](b"second")[:-5], size)
    assert not decoder.finished


@pytest.mark.parametrize("size", [1, 1 << 20])
@pytest.mark.parametrize("padding", [b"\0\0\0", b"garbage", b"\x1f", b"\x28", b"g\x1f\x8b"])
@pytest.mark.parametrize("coding", PACK)
def test_anything_else_behind_the_end_is_padding(coding: str, padding: bytes, size: int) -> None:
    body, decoder = fed(coding, PACK[coding](b"whole") + padding, size)
    assert body == b"whole"
    assert decoder.finished


def test_what_was_good_before_a_bad_member_is_kept() -> None:
    with pytest.raises(BadCompression) as caught:
        Decoder("gzip", LIMIT).feed(gzip.compress(b"first") + b"\x1f\x8bno member")
    assert caught.value.decoded == b"first"

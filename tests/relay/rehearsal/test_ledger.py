"""How the other side left, as the ledger has it: the tests of the relay's aborts lean on these words and times."""

from __future__ import annotations

import socket
import struct
import time

import pytest

from relay.rehearsal.ledger import Ended, Record
from relay.rehearsal.server import FaultServer

from .raw_client import PATHS, ask, body_for, request_bytes

LINGER_ZERO = struct.pack("ii", 1, 0)


def begin(upstream: FaultServer, model: str, pieces: int) -> socket.socket:
    """A request under way, of whose answer everything has been read that `pieces` pieces of its body are."""
    sock = socket.create_connection(("127.0.0.1", upstream.port))
    sock.sendall(request_bytes(PATHS["openai-chat"], body_for(model, stream=True)))
    (record,) = upstream.wait_log(lambda rows: bool(rows) and rows[0].pieces >= pieces)
    time.sleep(0.02)  # nothing more comes, the head aside where there are no pieces
    (record,) = upstream.log()
    while record.bytes_written:
        record.bytes_written -= len(sock.recv(record.bytes_written))
    return sock


def the_end(upstream: FaultServer) -> Record:
    return upstream.wait_log(lambda rows: rows[0].ended is not Ended.OPEN)[0]


@pytest.mark.parametrize(("model", "pieces"), [("silent", 0), ("headers-then-silence", 0), ("idle", 4), ("pings", 4)])
def test_a_client_that_closes_is_seen_at_once(upstream: FaultServer, model: str, pieces: int) -> None:
    sock = begin(upstream, model, pieces)
    before = time.time()
    sock.close()
    record = the_end(upstream)
    assert record.ended is Ended.CLIENT_FIN and not record.answered
    assert record.ended_at is not None and -0.01 < record.ended_at - before < 0.5


def test_a_client_that_half_closes_has_left(upstream: FaultServer) -> None:
    with begin(upstream, "idle", 4) as sock:
        sock.shutdown(socket.SHUT_WR)
        assert the_end(upstream).ended is Ended.CLIENT_FIN


def test_a_client_that_resets_is_told_apart(upstream: FaultServer) -> None:
    sock = begin(upstream, "idle", 4)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
    sock.close()
    assert the_end(upstream).ended is Ended.CLIENT_RESET


def test_a_client_that_stops_reading_stops_the_flood(upstream: FaultServer) -> None:
    sock = socket.create_connection(("127.0.0.1", upstream.port))
    sock.sendall(request_bytes(PATHS["openai-chat"], body_for("flood", stream=True)))
    sock.recv(2048)
    upstream.wait_log(lambda rows: rows[0].bytes_written > 100_000)
    time.sleep(0.2)
    (first,) = upstream.log()
    time.sleep(0.2)
    (second,) = upstream.log()
    assert first.bytes_written == second.bytes_written < 50_000_000
    sock.close()
    assert the_end(upstream).ended is Ended.CLIENT_RESET  # unread bytes lay in its buffer


@pytest.mark.parametrize("model", ["cut", "reset", "eof-bare", "close-before-headers", "terminal-then-cut"])
def test_our_own_closes_are_ours(upstream: FaultServer, model: str) -> None:
    ask(upstream.port, model)
    record = the_end(upstream)
    assert record.ended is Ended.WE_CLOSED and record.answered


def test_a_kept_connection_is_open_and_counted(upstream: FaultServer) -> None:
    with socket.create_connection(("127.0.0.1", upstream.port)) as sock:
        for _ in range(3):
            ask(upstream.port, "ok", sock=sock)
        rows = upstream.wait_log(lambda rows: rows[-1].answered)
        assert [(row.ordinal, row.ended) for row in rows] == [(1, Ended.OPEN), (2, Ended.OPEN), (3, Ended.OPEN)]
        assert len({row.connection for row in rows}) == 1
    assert {row.ended for row in upstream.wait_log(lambda rows: rows[0].ended is not Ended.OPEN)} == {Ended.CLIENT_FIN}


def test_waiting_for_what_never_comes_gives_up(upstream: FaultServer) -> None:
    with pytest.raises(TimeoutError):
        upstream.wait_log(bool, seconds=0.02)

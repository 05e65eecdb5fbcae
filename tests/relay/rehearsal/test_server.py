"""The server around the plays: scripts by path, by count and by key, its ways of running, and what it answers besides."""

from __future__ import annotations

import asyncio
import datetime
import json
import multiprocessing
import os
import signal
import socket
import ssl
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from relay.rehearsal.server import FaultServer

from .raw_client import ask, body_for, request_bytes


def fetch(url: str, data: bytes | None = None) -> object:
    with urllib.request.urlopen(url, data) as answer:
        return json.load(answer)


def test_an_ordinary_model_name_is_answered(upstream: FaultServer) -> None:
    assert ask(upstream.port, "gpt-9,after=1").datas[-1] == b"[DONE]"
    assert ask(upstream.port, "demo/eof").datas[-1] != b"[DONE]"


def test_a_script_in_the_path_wins_over_the_model(upstream: FaultServer) -> None:
    assert ask(upstream.port, "gpt-9", prefix="/~status,code=503").status == 503
    assert ask(upstream.port, "status", prefix="/any/prefix/~ok").status == 200


def test_a_script_can_end_after_some_requests(upstream: FaultServer) -> None:
    statuses = [ask(upstream.port, "status,code=429,times=2").status for _ in range(4)]
    assert statuses == [429, 429, 200, 200]


def test_a_script_can_concern_one_credential(upstream: FaultServer) -> None:
    model = "status,code=401,for_key=-one"
    assert ask(upstream.port, model, headers={"Authorization": "Bearer key-one"}).status == 401
    assert ask(upstream.port, model, headers={"x-api-key": "key-two"}).status == 200


def test_the_log_tells_what_arrived_and_can_be_cleared(upstream: FaultServer) -> None:
    ask(upstream.port, "ok", headers={"X-Test": "yes"})
    rows = fetch(f"{upstream.url}/__log")
    assert isinstance(rows, list) and len(rows) == 1
    (row,) = rows
    assert (row["path"], row["model"], row["stream"], row["headers"]["x-test"]) == (
        "/v1/chat/completions",
        "ok",
        True,
        "yes",
    )
    assert row["answered"] and row["status"] == 200 and row["bytes_written"] > 500
    assert json.loads(row["body"])["model"] == "ok"
    fetch(f"{upstream.url}/__log/clear", b"")
    assert upstream.log() == []


def test_other_paths_are_echoed(upstream: FaultServer) -> None:
    found = fetch(f"{upstream.url}/v1/responses/compact?a=1", b"{}")
    assert found == {"method": "POST", "path": "/v1/responses/compact", "query": "a=1", "body": "{}"}


def test_a_request_in_chunks_is_read_whole(upstream: FaultServer) -> None:
    head = b"POST /v1/images HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", upstream.port)) as sock:
        sock.sendall(head + b"3\r\nabc\r\n")
        sock.sendall(b"2;x=y\r\nde\r\n0\r\n\r\n")
        received = b""
        while not received.endswith(b"}"):
            received += sock.recv(65536)
    assert b'"body":"abcde"' in received


def test_what_is_no_request_is_refused_and_closed(upstream: FaultServer) -> None:
    for wrong in (b"\x16\x03\x01\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", upstream.port)) as sock:
            sock.sendall(wrong)
            sock.settimeout(2)
            received = b""
            while data := sock.recv(65536):
                received += data
            assert received.startswith(b"HTTP/1.1 400 ")


def test_one_protocol_only() -> None:
    with FaultServer(protocol="anthropic").run_in_thread() as server:
        assert ask(server.port, "ok", "anthropic").datas[-1] == b'{"type":"message_stop"}'
        assert b'"body"' in ask(server.port, "ok", "openai-chat").body


def test_the_demo_answers_in_sentences_at_a_pace_and_keeps_no_contents() -> None:
    with FaultServer(demo=True).run_in_thread() as server:
        reply = ask(server.port, "any-model,gap_ms=0", patience=1, headers={"Authorization": "Bearer secret"})
        (record,) = server.wait_log(lambda rows: rows[0].answered)
    deltas = [json.loads(data)["choices"][0]["delta"].get("content") or "" for data in reply.datas[:-1]]
    assert "".join(deltas).endswith("what broke it, and when.")
    assert record.answered_at and record.answered_at - record.at > 0.02 * len(deltas) * 0.9
    assert (record.headers, record.body, record.body_bytes > 0) == ({}, "", True)


def test_stopping_ends_what_is_open() -> None:
    async def scene() -> bytes:
        server = FaultServer()
        port = await server.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request_bytes("/v1/chat/completions", b'{"model": "silent"}'))
        while not server.log():
            await asyncio.sleep(0.005)
        await server.stop()
        try:
            return await reader.read()
        finally:
            writer.close()

    assert asyncio.run(asyncio.wait_for(scene(), 5)) == b""


def test_a_child_serves_on_a_bound_socket_until_its_signal() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        context = multiprocessing.get_context("fork")
        child = context.Process(target=FaultServer.serve_socket, args=(sock,))
        child.start()
        try:
            assert ask(sock.getsockname()[1], "eof,after=1,gap_ms=0", patience=5).ended == "proper"
        finally:
            os.kill(child.pid or 0, signal.SIGTERM)
            child.join(5)
    assert child.exitcode == 0


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def over_tls(certificate: Path) -> Iterator[FaultServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with FaultServer(tls=context).run_in_thread() as server:
        yield server


@pytest.mark.parametrize(("model", "reset"), [("ok", False), ("eof-bare", False), ("reset", True)])
def test_tls_ends_as_plainly_as_tcp(over_tls: FaultServer, certificate: Path, model: str, reset: bool) -> None:
    """Read with asyncio: the blocking `ssl` module calls a reset an end of file."""

    async def read() -> tuple[bytes, bool]:
        trusting = ssl.create_default_context(cafile=str(certificate))
        reader, writer = await asyncio.open_connection("127.0.0.1", over_tls.port, ssl=trusting, server_hostname="localhost")
        headers = {"Connection": "close"}
        writer.write(request_bytes("/v1/chat/completions", body_for(model, stream=True), headers))
        received = b""
        try:
            while data := await reader.read(65536):
                received += data
        except ConnectionResetError:
            return received, True
        finally:
            writer.close()
        return received, False

    received, was_reset = asyncio.run(asyncio.wait_for(read(), 5))
    assert was_reset is reset
    assert received.count(b"data: ") == (8 if model == "ok" else 4)

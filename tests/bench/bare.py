"""The unit of the bench: the least that passes a stream through in Python. uvicorn, aiohttp, nothing recorded or checked.

Run as a process: `python -m tests.bench.bare LISTEN_PORT UPSTREAM_PORT`.
"""

from __future__ import annotations

import sys
from typing import Any

import aiohttp
import uvicorn

HOP_BY_HOP = {b"host", b"connection", b"transfer-encoding", b"content-length", b"date", b"server"}
session: aiohttp.ClientSession | None = None


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    global session
    if session is None:
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
        )
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    headers = [(name.decode(), value.decode()) for name, value in scope["headers"] if name not in HOP_BY_HOP]
    async with session.request(scope["method"], upstream + scope["path"], data=body, headers=headers) as answer:
        passed = [(name, value) for name, value in answer.raw_headers if name.lower() not in HOP_BY_HOP]
        await send({"type": "http.response.start", "status": answer.status, "headers": passed})
        async for chunk in answer.content.iter_any():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


if __name__ == "__main__":
    upstream = f"http://127.0.0.1:{sys.argv[2]}"
    uvicorn.run(
        application,
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="warning",
        backlog=4096,
    )

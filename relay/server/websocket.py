"""How a client's WebSocket is met: uvicorn's protocol, which also says when it gives a silent client up.

What follows, our own close with code 1011, looks to the application like any abnormal close.
"""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

UNANSWERED = "unanswered"  # of a `websocket.disconnect` message: seconds for which a ping of ours had no answer


class WatchedSocket(WebSocketsSansIOProtocol):
    """A client's WebSocket."""

    def keepalive_timeout(self) -> None:
        if not self.close_sent and not self.transport.is_closing():
            told: Any = {"type": "websocket.disconnect", "code": 1006, UNANSWERED: self.ping_timeout}
            self.queue.put_nowait(told)
        super().keepalive_timeout()

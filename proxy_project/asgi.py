"""The ASGI application: client paths → RelayHandler, other HTTP → Django, WebSockets (Responses, the admin) → Channels."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "proxy_project.settings")

from django.core.asgi import get_asgi_application

django_application = get_asgi_application()  # first: it loads the apps that the next imports need

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.security.websocket import AllowedHostsOriginValidator, WebsocketDenier  # noqa: E402
from channels.sessions import SessionMiddlewareStack  # noqa: E402
from django.urls import path, re_path  # noqa: E402

from auditlog import live  # noqa: E402
from auditlog.consumers import LiveTail  # noqa: E402
from relay import alone  # noqa: E402
from relay.consumers import ResponsesSocket  # noqa: E402
from relay.server.handler import RelayHandler  # noqa: E402

admin_sockets = URLRouter([path(live.ADDRESS.lstrip("/"), LiveTail.as_asgi()), re_path("", WebsocketDenier.as_asgi())])
websockets = URLRouter(
    [
        path("v1/responses", ResponsesSocket.as_asgi()),  # its clients show a key, and no origin
        re_path("", AllowedHostsOriginValidator(SessionMiddlewareStack(admin_sockets))),
    ]
)
application = RelayHandler(
    ProtocolTypeRouter(
        {
            "http": django_application,
            "websocket": websockets,
        }
    )
)
alone.start()

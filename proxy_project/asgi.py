"""The ASGI application: client paths → RelayHandler, other HTTP → Django."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "proxy_project.settings")

from django.core.asgi import get_asgi_application

django_application = get_asgi_application()  # first: it loads the apps that the next import needs

from relay import alone  # noqa: E402
from relay.server.handler import RelayHandler  # noqa: E402

application = RelayHandler(django_application)
alone.start()

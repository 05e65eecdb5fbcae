"""The client API as one Ninja application, mounted at /v1."""

from django.http import HttpRequest, HttpResponse
from ninja import NinjaAPI

from relay.api import chat, messages, models, neighbours, responses
from relay.api.authentication import ClientKeyAuth
from relay.refusal import Refusal, dialect_of_path, refuse

api = NinjaAPI(
    title="Epitaph client API",
    urls_namespace="client",
    auth=ClientKeyAuth(),
    docs_url=None,
    openapi_url="/openapi.json",
)
for module in (chat, responses, messages, models, neighbours):
    api.add_router("", module.router)


@api.exception_handler(Refusal)
def refused(request: HttpRequest, refusal: Refusal) -> HttpResponse:
    return refuse(request.exchange, refusal, dialect_of_path(request.path))  # type: ignore[attr-defined]


@api.exception_handler(Exception)
def failed(request: HttpRequest, error: Exception) -> HttpResponse:
    raise error  # the handler records it: a bug is an ending, and must not become an answer that nobody sees

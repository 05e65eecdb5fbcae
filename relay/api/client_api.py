"""The client API as one Ninja application: the protocols of /v1, Gemini's /v1beta, Ollama's /api."""

from django.http import HttpRequest, HttpResponse
from ninja import NinjaAPI

from relay.api import chat, gemini, messages, models, neighbours, ollama, responses
from relay.api.authentication import ClientKeyAuth
from relay.api.callers import dialect_of
from relay.refusal import Refusal, refuse


class ClientAPI(NinjaAPI):
    """Ninja makes each operation a response that it may set headers on. None of ours does: they share one."""

    def create_temporal_response(self, request: HttpRequest) -> HttpResponse:
        return SHARED_RESPONSE


SHARED_RESPONSE = HttpResponse()
api = ClientAPI(
    title="Epitaph client API",
    urls_namespace="client",
    auth=ClientKeyAuth(),
    docs_url=None,
    openapi_url="/v1/openapi.json",
)
for module in (chat, responses, messages, models, neighbours):
    api.add_router("/v1", module.router)
api.add_router("/v1beta", gemini.router)
api.add_router("/api", ollama.router)  # beside the management API, whose paths are others


@api.exception_handler(Refusal)
def refused(request: HttpRequest, refusal: Refusal) -> HttpResponse:
    return refuse(request.exchange, refusal, dialect_of(request.path, request.META))  # type: ignore[attr-defined]


@api.exception_handler(Exception)
def failed(request: HttpRequest, error: Exception) -> HttpResponse:
    raise error  # the handler records it: a bug is an ending, and must not become an answer that nobody sees

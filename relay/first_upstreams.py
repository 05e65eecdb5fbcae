"""The upstreams that a start makes by itself: the providers whose API key is in the environment, or the built-in demo.

Invariant: a provider's rows are made when they are missing and never changed. The demo's are there exactly while no
other upstream is; an operator's own upstream, however named, is never taken for it (`built_in` marks ours).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from relay.models import Credential, Protocol, Route, RouteUpstream, Upstream

DEFAULT_LABEL = "default"


@dataclass(frozen=True, slots=True)
class Provider:
    """What one API key makes. An API that speaks two protocols is two upstreams, so that neither needs translation."""

    variable: str
    base_url: str
    upstreams: tuple[tuple[str, Protocol], ...]
    models: tuple[str, ...]
    example: str  # a model to try it with


PROVIDERS = (
    Provider(
        "OPENAI_API_KEY",
        "https://api.openai.com/v1",
        (("openai", Protocol.OPENAI_CHAT), ("openai-responses", Protocol.OPENAI_RESPONSES)),
        ("gpt-*", "o*"),
        "gpt-4.1-mini",
    ),
    Provider(
        "ANTHROPIC_API_KEY",
        "https://api.anthropic.com/v1",
        (("anthropic", Protocol.ANTHROPIC),),
        ("claude-*",),
        "claude-haiku-4-5",
    ),
    Provider(
        "GEMINI_API_KEY",
        "https://generativelanguage.googleapis.com/v1beta",
        (("gemini", Protocol.GEMINI),),
        ("gemini-*",),
        "gemini-2.5-flash",
    ),
)
DEMO_UPSTREAMS = (
    ("demo", Protocol.OPENAI_CHAT),
    ("demo-responses", Protocol.OPENAI_RESPONSES),
    ("demo-messages", Protocol.ANTHROPIC),
)
DEMO_MODEL = "demo"
DEMO_MODELS = (DEMO_MODEL, "*")  # one name for `/v1/models` to list, and whatever else is asked for


def create_missing(provider: Provider, secret: str) -> None:
    """The provider's upstreams, each with its credential, and routes."""
    for name, protocol in provider.upstreams:
        upstream, created = Upstream.objects.get_or_create(
            name=name, defaults={"protocol": protocol, "base_url": provider.base_url}
        )
        if created:
            credential = Credential(upstream=upstream, label=DEFAULT_LABEL)
            credential.set_secret(secret)
            credential.save()
    _route_missing(provider.models, [name for name, _ in provider.upstreams])


def settle_demo(port: int) -> bool:
    """Make the demo's rows, at this port, when there is no other upstream, else remove them; was it needed?"""
    if Upstream.objects.filter(built_in=False).exists():
        if Upstream.objects.filter(built_in=True).exists():
            Upstream.objects.filter(built_in=True).delete()
            Route.objects.filter(model__in=DEMO_MODELS, steps=None).delete()
        return False
    base_url = f"http://127.0.0.1:{port}/v1"
    for name, protocol in DEMO_UPSTREAMS:
        row, created = Upstream.objects.get_or_create(
            name=name, defaults={"protocol": protocol, "base_url": base_url, "built_in": True}
        )
        if not created and row.base_url != base_url:
            row.base_url = base_url
            row.save()
    _route_missing(DEMO_MODELS, [name for name, _ in DEMO_UPSTREAMS])
    return True


def _route_missing(models: Iterable[str], names: list[str]) -> None:
    for model in models:
        route, _ = Route.objects.get_or_create(model=model)
        if not route.steps.exists():
            upstreams = {row.name: row for row in Upstream.objects.filter(name__in=names)}
            RouteUpstream.objects.bulk_create(
                RouteUpstream(route=route, upstream=upstreams[name], position=position) for position, name in enumerate(names, 1)
            )


# ---- the line to paste -------------------------------------------------------------------------------------------

QUESTION = [{"role": "user", "content": "Say hello."}]
NO_MODEL = "your-model"  # where no route says a name: globs may serve any, and we cannot know which the upstream has
TRIALS: dict[str, tuple[str, dict[str, object]]] = {
    Protocol.OPENAI_CHAT: ("/v1/chat/completions", {"stream": True, "messages": QUESTION}),
    Protocol.OPENAI_RESPONSES: ("/v1/responses", {"stream": True, "input": "Say hello."}),
    Protocol.ANTHROPIC: ("/v1/messages", {"stream": True, "max_tokens": 200, "messages": QUESTION}),
    Protocol.GEMINI: (
        "/v1beta/models/{model}:streamGenerateContent?alt=sse",
        {"contents": [{"role": "user", "parts": [{"text": "Say hello."}]}]},
    ),
}


def trial_command(address: str, key: str | None) -> str:
    """A curl line that streams an answer; without a key to show it takes CLIENT_KEY from the shell."""
    model, protocol = next(iter(named_models().items()), (NO_MODEL, Protocol.OPENAI_CHAT.value))
    path, body = TRIALS.get(protocol, TRIALS[Protocol.OPENAI_CHAT])
    if protocol != Protocol.GEMINI:
        body = {"model": model, **body}
    header = shlex.quote(f"Authorization: Bearer {key}") if key else '"Authorization: Bearer $CLIENT_KEY"'
    url = shlex.quote(address + path.format(model=model))
    return f"curl -N {url} -H {header} -H 'Content-Type: application/json' -d {shlex.quote(json.dumps(body))}"


def named_models() -> dict[str, str]:
    """Names to ask for, with the protocol of the first upstream behind each. A glob is shown by an example, or not at all."""
    examples = {model: provider.example for provider in PROVIDERS for model in provider.models}
    found: dict[str, str] = {}
    for route in Route.objects.prefetch_related("steps__upstream"):
        name = examples.get(route.model, route.model)
        step = next((step for step in route.steps.all() if step.upstream.enabled), None)
        if step is not None and not set(name) & set("*?["):
            found.setdefault(name, step.upstream.protocol)
    return found

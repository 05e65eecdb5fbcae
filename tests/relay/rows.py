"""Rows that tests of the configuration begin with."""

from typing import Any

from relay.models import ClientKey, Credential, Route, RouteUpstream, Upstream


def make_upstream(name: str = "openai", secrets: tuple[str, ...] = (), **values: Any) -> Upstream:
    """An upstream, with a credential for each secret, labelled by it."""
    values = {"protocol": "openai-chat", "base_url": "http://127.0.0.1:9/v1", **values}
    upstream = Upstream.objects.create(name=name, **values)
    for secret in secrets:
        make_credential(upstream, secret)
    return upstream


def make_credential(upstream: Upstream, secret: str, **values: Any) -> Credential:
    credential = Credential(upstream=upstream, **{"label": secret, **values})
    credential.set_secret(secret)
    credential.save()
    return credential


def make_route(model: str, *upstreams: Upstream, **values: Any) -> Route:
    route = Route.objects.create(model=model, **values)
    for position, upstream in enumerate(upstreams, 1):
        RouteUpstream.objects.create(route=route, upstream=upstream, position=position)
    return route


def make_key(label: str = "laptop", key: str = "key-of-the-laptop", **values: Any) -> ClientKey:
    row = ClientKey(label=label, **values)
    row.set_key(key)
    row.save()
    return row

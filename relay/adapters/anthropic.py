"""Anthropic: `x-api-key`, and a version header that it insists on."""

from __future__ import annotations

from collections.abc import Iterable

import httpx

from relay.adapters.base import Adapter
from relay.routing import CredentialSpec, UpstreamSpec

DEFAULT_VERSION = (b"anthropic-version", b"2023-06-01")


class MessagesAdapter(Adapter):
    """`POST …/messages` and its neighbours."""

    protocol = "anthropic"

    def credential_headers(self, credential: CredentialSpec) -> list[tuple[bytes, bytes]]:
        return [(b"x-api-key", credential.secret.encode())]

    def request(
        self,
        upstream: UpstreamSpec,
        credential: CredentialSpec,
        method: str,
        path: str,
        query: str,
        headers: Iterable[tuple[bytes, bytes]],
        body: bytes,
        fresh: bool,
    ) -> httpx.Request:
        headers = list(headers)
        if not any(name == b"anthropic-version" for name, _ in headers):
            headers.append(DEFAULT_VERSION)
        return super().request(upstream, credential, method, path, query, headers, body, fresh)

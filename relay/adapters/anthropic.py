"""Anthropic: `x-api-key`, and a version header that it insists on."""

from relay.adapters.base import Adapter
from relay.routing import CredentialSpec


class MessagesAdapter(Adapter):
    """`POST …/messages` and its neighbours."""

    protocol = "anthropic"
    default_headers = ((b"anthropic-version", b"2023-06-01"),)

    def credential_headers(self, credential: CredentialSpec) -> list[tuple[bytes, bytes]]:
        return [(b"x-api-key", credential.secret.encode())]

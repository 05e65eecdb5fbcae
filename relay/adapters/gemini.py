"""Gemini: the key in a header of its own, the model in the path."""

from relay.adapters.base import Adapter
from relay.routing import CredentialSpec


class GeminiAdapter(Adapter):
    """`POST …/models/{model}:generateContent` and its neighbours."""

    protocol = "gemini"

    def credential_headers(self, credential: CredentialSpec) -> list[tuple[bytes, bytes]]:
        return [(b"x-goog-api-key", credential.secret.encode())]

"""Ollama: no key by itself; a proxy before it may want a bearer token."""

from relay.adapters.base import Adapter
from relay.routing import CredentialSpec


class OllamaAdapter(Adapter):
    """`POST …/api/chat` and `/api/generate`, under the bare host."""

    protocol = "ollama"
    models_path = "/api/tags"

    def credential_headers(self, credential: CredentialSpec) -> list[tuple[bytes, bytes]]:
        return [(b"authorization", b"Bearer " + credential.secret.encode())] if credential.secret else []

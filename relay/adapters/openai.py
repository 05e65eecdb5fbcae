"""OpenAI's two protocols, and all that is compatible with them: a bearer token."""

from relay.adapters.base import Adapter
from relay.routing import CredentialSpec


class ChatAdapter(Adapter):
    """`POST …/chat/completions` and its neighbours."""

    protocol = "openai-chat"

    def credential_headers(self, credential: CredentialSpec) -> list[tuple[bytes, bytes]]:
        return [(b"authorization", b"Bearer " + credential.secret.encode())]


class ResponsesAdapter(ChatAdapter):
    """`POST …/responses` and its neighbours."""

    protocol = "openai-responses"

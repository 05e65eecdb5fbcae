"""How each kind of upstream is asked: one file a protocol, and the table that finds it by the protocol's name."""

from relay.adapters import anthropic, gemini, ollama, openai
from relay.adapters.base import Adapter

ADAPTERS: dict[str, Adapter] = {
    "openai-chat": openai.ChatAdapter(),
    "openai-responses": openai.ResponsesAdapter(),
    "anthropic": anthropic.MessagesAdapter(),
    "gemini": gemini.GeminiAdapter(),
    "ollama": ollama.OllamaAdapter(),
}

__all__ = ["ADAPTERS", "Adapter"]

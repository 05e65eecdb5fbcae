"""The one table of what maps to what: each thing that a request or an answer can say, and each protocol's word for it.

The code settles every translation by it (`settle`), and the documentation is printed from it (`manage.py translations`).
A protocol without a word for a thing either refuses a request that needs it, or loses it and says so on the record.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from relay.wire.events import BadField
from relay.wire.translation.fields import Fields
from relay.wire.translation.prompt import Media, Prompt, Refusal, Thought, ToolCall, ToolResult

PROTOCOLS = ("openai-chat", "openai-responses", "anthropic", "gemini", "ollama")
LOST, REFUSED = "lost", "refused"


@dataclass(frozen=True, slots=True)
class Feature:
    """`words` by protocol; `otherwise` is what becomes of it where there is none. `scalar`: an attribute of Prompt."""

    name: str
    words: tuple[str, str, str, str, str]  # in the order of PROTOCOLS; empty: none
    otherwise: str = LOST
    scalar: bool = False
    used: Callable[[Prompt], bool] = lambda prompt: False

    def word(self, protocol: str) -> str:
        return self.words[PROTOCOLS.index(protocol)]


def _media(kind: str, by_url: bool = False) -> Callable[[Prompt], bool]:
    return lambda prompt: any(isinstance(p, Media) and p.kind == kind and bool(p.url) is by_url for p in prompt.parts())


def _has(kind: type) -> Callable[[Prompt], bool]:
    return lambda prompt: any(isinstance(part, kind) for part in prompt.parts())


def _scalar(name: str, *words: str, otherwise: str = LOST) -> Feature:
    return Feature(name, words, otherwise, True, lambda prompt: getattr(prompt, name) not in (None, []))  # type: ignore[arg-type]


FEATURES: tuple[Feature, ...] = (
    Feature("instructions", ("system, developer", "instructions, system, developer", "system", "systemInstruction", "system")),
    Feature("text", ("text", "input_text, output_text", "text", "text", "content")),
    Feature(
        "image",
        ("image_url (data:)", "input_image (data:)", "image (base64)", "inlineData", "images"),
        REFUSED,
        used=_media("image"),
    ),
    Feature(
        "image by URL", ("image_url", "input_image", "image (url)", "fileData", ""), REFUSED, used=_media("image", by_url=True)
    ),
    Feature("document", ("file", "input_file", "document", "inlineData", ""), REFUSED, used=_media("document")),
    Feature(
        "document by URL", ("", "input_file", "document (url)", "fileData", ""), REFUSED, used=_media("document", by_url=True)
    ),
    Feature("audio", ("input_audio", "input_audio", "", "inlineData", ""), REFUSED, used=_media("audio")),
    Feature("tool", ("tools", "tools", "tools", "functionDeclarations", "tools"), used=lambda p: bool(p.tools)),
    Feature(
        "strict tool",
        ("function.strict", "strict", "strict", "", ""),
        used=lambda p: any(tool.strict for tool in p.tools),
    ),
    Feature(
        "tool choice",
        ("tool_choice", "tool_choice", "tool_choice", "functionCallingConfig", ""),
        used=lambda p: p.tool_choice is not None and p.tool_choice.mode in ("required", "tool"),
        otherwise=REFUSED,
    ),
    Feature(
        "one call at a time",
        ("parallel_tool_calls", "parallel_tool_calls", "disable_parallel_tool_use", "", ""),
        used=lambda p: p.parallel is False and bool(p.tools),
    ),
    Feature("tool call", ("tool_calls", "function_call", "tool_use", "functionCall", "tool_calls"), used=_has(ToolCall)),
    Feature(
        "tool result",
        ("role tool", "function_call_output", "tool_result", "functionResponse", "role tool"),
        used=_has(ToolResult),
    ),
    Feature(
        "failed tool result",
        ("", "", "is_error", "response.error", ""),
        used=lambda p: any(isinstance(part, ToolResult) and part.failed for part in p.parts()),
    ),
    Feature(
        "JSON output",
        ("response_format json_object", "text.format json_object", "", "responseMimeType", "format json"),
        used=lambda p: p.format is not None and p.format.schema is None,
    ),
    Feature(
        "JSON schema",
        ("response_format json_schema", "text.format json_schema", "output_config.format", "responseJsonSchema", "format"),
        used=lambda p: p.format is not None and p.format.schema is not None,
    ),
    Feature(
        "reasoning effort",
        ("reasoning_effort", "reasoning.effort", "thinking, output_config.effort", "thinkingConfig", "think"),
        used=lambda p: p.reasoning is not None,
    ),
    Feature(
        "reasoning",
        ("reasoning_content (answers)", "reasoning", "thinking", "thought", "thinking"),
        used=_has(Thought),
    ),
    Feature(
        "reasoning signature",
        ("reasoning_details (answers)", "encrypted_content", "signature, redacted_thinking", "thoughtSignature", ""),
    ),
    Feature("refusal", ("refusal", "refusal", "text, stop_reason refusal", "text", "content"), used=_has(Refusal)),
    _scalar("max_tokens", "max_tokens", "max_output_tokens", "max_tokens", "maxOutputTokens", "num_predict"),
    _scalar("temperature", "temperature", "temperature", "temperature", "temperature", "temperature"),
    _scalar("top_p", "top_p", "top_p", "top_p", "topP", "top_p"),
    _scalar("top_k", "", "", "top_k", "topK", "top_k"),
    _scalar("stop", "stop", "", "stop_sequences", "stopSequences", "stop", otherwise=REFUSED),
    _scalar("seed", "seed", "", "", "seed", "seed"),
    _scalar("presence_penalty", "presence_penalty", "", "", "presencePenalty", "presence_penalty"),
    _scalar("frequency_penalty", "frequency_penalty", "", "", "frequencyPenalty", "frequency_penalty"),
    _scalar("n", "n", "", "", "candidateCount", "", otherwise=REFUSED),
    _scalar("user", "user", "user", "metadata.user_id", "", ""),
    Feature("usage", ("usage", "usage", "usage", "usageMetadata", "prompt_eval_count, eval_count")),
    Feature("cached tokens", ("cached_tokens", "cached_tokens", "cache_read_input_tokens", "cachedContentTokenCount", "")),
    Feature("reasoning tokens", ("reasoning_tokens", "reasoning_tokens", "", "thoughtsTokenCount", "")),
)
_BY_NAME = {feature.name: feature for feature in FEATURES}
SCALARS = tuple(feature for feature in FEATURES if feature.scalar)


def word_for(name: str, protocol: str) -> str:
    """A protocol's word for a feature; empty when it has none."""
    return _BY_NAME[name].word(protocol)


def settle(prompt: Prompt, source: str, target: str) -> None:
    """Refuse, or put on record as lost, whatever of the prompt `target` has no word for.

    Raises:
        BadField: something that must not be lost; the text names it in the words of `source`.
    """
    if prompt.n == 1:
        prompt.n = None
    for feature in FEATURES:
        if feature.word(target) or not feature.used(prompt):
            continue
        word = feature.word(source) or feature.name
        if feature.otherwise == REFUSED:
            raise BadField(f"{word} cannot be carried to an upstream that speaks {target}")
        prompt.notes.add(f"lost:{word}")
        if feature.scalar:
            setattr(prompt, feature.name, None)


KINDS: dict[str, type | tuple[type, ...]] = {
    "max_tokens": int,
    "temperature": float,
    "top_p": float,
    "top_k": int,
    "stop": (list, str),
    "seed": int,
    "presence_penalty": float,
    "frequency_penalty": float,
    "n": int,
    "user": str,
}


def read_scalars(fields: Fields, prompt: Prompt, protocol: str) -> None:
    """The plain settings of a request, where this object holds them."""
    for feature in SCALARS:
        word = feature.word(protocol)
        if not word or "." in word:
            continue
        value = fields.get(word, KINDS[feature.name])
        if feature.name == "stop" and value is not None:
            value = [value] if isinstance(value, str) else value
            if not all(isinstance(item, str) for item in value):
                raise BadField(f"{fields.place(word)} holds something else than strings")
        if value is not None:
            setattr(prompt, feature.name, value)


def scalar_fields(prompt: Prompt, protocol: str) -> dict[str, Any]:
    """The plain settings in a protocol's words."""
    words = ((feature.word(protocol), getattr(prompt, feature.name)) for feature in SCALARS)
    return {word: value for word, value in words if word and "." not in word and value not in (None, [])}

"""Chat completions' requests: read into a Prompt, and written from one."""

from __future__ import annotations

import re
from typing import Any

from relay.wire.events import BadField
from relay.wire.translation.features import read_scalars, scalar_fields
from relay.wire.translation.fields import Fields, data_url, json_text
from relay.wire.translation.prompt import (
    Format,
    Media,
    Part,
    Prompt,
    Reasoning,
    Refusal,
    Text,
    Thought,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    joined_text,
)
from relay.wire.translation.signatures import opened

PROTOCOL = "openai-chat"
SILENT = frozenset({"model", "stream", "stream_options"})
REFUSED = {
    "logprobs": "it tells no log probabilities",
    "top_logprobs": "it tells no log probabilities",
    "audio": "it does not speak",
    "functions": "use tools",
    "function_call": "use tool_choice",
    "web_search_options": "it does not search",
}
ROLES = ("system", "developer", "user", "assistant", "tool")
# Models that know `max_completion_tokens` alone; servers that imitate the API often know `max_tokens` alone.
NEW_LIMIT = re.compile(r"(?:.*/)?(?:o\d|gpt-[5-9]|codex)")


def read(body: dict[str, Any]) -> Prompt:
    """Raises BadField."""
    fields, prompt = Fields(body), Prompt()
    fields.refuse(REFUSED)
    read_scalars(fields, prompt, PROTOCOL)
    limit = fields.get("max_completion_tokens", int)
    prompt.max_tokens = prompt.max_tokens if limit is None else limit
    if fields.get("messages", list) is None:
        raise BadField("messages is missing; expected a list of messages")
    for message in fields.children("messages"):
        prompt.turns.append(_turn(message, prompt))
    prompt.tools = [_tool(item, prompt) for item in fields.children("tools")]
    prompt.tool_choice = read_choice(fields)
    prompt.parallel = fields.get("parallel_tool_calls", bool)
    prompt.format = _format(fields)
    effort = fields.text("reasoning_effort")
    if effort:
        prompt.reasoning = Reasoning(effort)
    fields.lose_rest(prompt, SILENT)
    return prompt


def _turn(message: Fields, prompt: Prompt) -> Turn:
    role = message.text("role")
    if role not in ROLES:
        raise BadField(f"{message.place('role')} is {role!r}; expected one of {', '.join(ROLES)}")
    parts = _content(message, prompt)
    if role == "tool":
        return Turn("user", (ToolResult(message.text("tool_call_id"), tuple(parts)),))
    if role == "assistant":
        parts = [*_thoughts(message), *parts]
        if said := message.text("refusal"):
            parts.append(Refusal(said))
        parts += [_call(item) for item in message.children("tool_calls")]
    message.lose_rest(prompt, frozenset({"name"}))
    return Turn(role, tuple(parts))


def _content(message: Fields, prompt: Prompt) -> list[Part]:
    content = message.get("content", (str, list))
    if content is None:
        return []
    if isinstance(content, str):
        return [Text(content)] if content else []
    return [_part(item, prompt) for item in message.children("content")]


def _part(item: Fields, prompt: Prompt) -> Part:
    kind = item.text("type")
    if kind == "text":
        return Text(item.text("text"))
    if kind == "refusal":
        return Refusal(item.text("refusal"))
    if kind == "image_url" and (image := item.child("image_url")):
        url = image.text("url")
        media_type, data = data_url(url)
        return Media("image", media_type, data, "" if data else url, detail=image.text("detail"))
    if kind == "input_audio" and (audio := item.child("input_audio")):
        return Media("audio", f"audio/{audio.text('format') or 'wav'}", audio.text("data"))
    if kind == "file" and (file := item.child("file")):
        media_type, data = data_url(file.text("file_data"))
        if data:
            return Media("document", media_type, data, name=file.text("filename"))
        raise BadField(f"{file.place('file_id')} cannot be carried: the file lies with another provider; send file_data")
    raise BadField(f"{item.place('type')} is {kind!r}; this kind of part cannot be carried")


def _thoughts(message: Fields) -> list[Part]:
    """Reasoning as servers that imitate OpenAI tell it, and as this gateway tells it: with its signature beside."""
    text = message.text("reasoning_content") or message.text("reasoning")
    found: list[Part] = []
    for item in message.children("reasoning_details"):
        value, vendor = opened(item.text("signature") or item.text("data"), "")
        redacted = item.text("type") == "reasoning.encrypted"
        found.append(Thought(item.text("text") or ("" if redacted or found else text), value, vendor, redacted))
    return found or ([Thought(text)] if text else [])


def _call(item: Fields) -> ToolCall:
    function = item.child("function")
    if function is None:
        raise BadField(f"{item.place('function')} is missing; only function calls can be carried")
    google = ((item.value.get("extra_content") or {}).get("google") or {}) if isinstance(item.value, dict) else {}
    value, vendor = opened(str(google.get("thought_signature") or ""), "gemini")
    return ToolCall(item.text("id"), function.text("name"), json_text(function.get("arguments") or ""), value, vendor)


def _tool(item: Fields, prompt: Prompt) -> Tool:
    function = item.child("function")
    if function is None:
        raise BadField(f"{item.place('type')} is {item.text('type')!r}; only functions can be carried")
    return Tool(
        function.text("name"), function.text("description"), function.get("parameters", dict), function.get("strict", bool)
    )


def read_choice(fields: Fields) -> ToolChoice | None:
    """`tool_choice` as both of OpenAI's protocols write it."""
    value = fields.get("tool_choice")
    if value is None or isinstance(value, str):
        return ToolChoice(value) if value else None
    choice = Fields(value, fields.place("tool_choice"))
    named = choice.child("function") or choice
    name = named.text("name")
    if choice.text("type") != "function" or not name:
        raise BadField(f"{choice.place('type')} is {choice.text('type')!r}; only the choice of a function can be carried")
    return ToolChoice("tool", name)


def _format(fields: Fields) -> Format | None:
    wanted = fields.child("response_format")
    if wanted is None or wanted.text("type") == "text":
        return None
    schema = wanted.child("json_schema")
    if schema is None:
        return Format()
    return Format(schema.get("schema", dict) or {}, schema.text("name"), schema.get("strict", bool), schema.text("description"))


# Writing


def write(prompt: Prompt, model: str, stream: bool) -> dict[str, Any]:
    """The body for an upstream."""
    body: dict[str, Any] = {"model": model, "messages": _messages(prompt), **scalar_fields(prompt, PROTOCOL)}
    if "max_tokens" in body and NEW_LIMIT.match(model):
        body["max_completion_tokens"] = body.pop("max_tokens")
    if prompt.tools:
        body["tools"] = [{"type": "function", "function": _function(tool)} for tool in prompt.tools]
        if prompt.tool_choice is not None:
            body["tool_choice"] = _choice(prompt.tool_choice)
        if prompt.parallel is not None:
            body["parallel_tool_calls"] = prompt.parallel
    if prompt.format is not None:
        body["response_format"] = _response_format(prompt.format)
    if prompt.reasoning is not None and (effort := effort_of(prompt.reasoning)):
        body["reasoning_effort"] = effort
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body


EFFORTS = ((2048, "low"), (12_000, "medium"))


def effort_of(reasoning: Reasoning) -> str:
    """The effort in words; a budget of tokens is put into the nearest."""
    if reasoning.effort:
        return {"max": "high", "xhigh": "high"}.get(reasoning.effort, reasoning.effort)
    if reasoning.budget is None:
        return ""
    return next((word for limit, word in EFFORTS if reasoning.budget <= limit), "high") if reasoning.budget else "none"


def _messages(prompt: Prompt) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for turn in prompt.turns:
        if turn.role == "assistant":
            found.append(assistant_message(turn.parts, prompt.notes))
            continue
        results = [part for part in turn.parts if isinstance(part, ToolResult)]
        rest: list[Part] = [part for part in turn.parts if not isinstance(part, ToolResult)]
        for result in results:
            found.append({"role": "tool", "tool_call_id": result.id, "content": joined_text(result.parts, "\n")})
            media = [part for part in result.parts if isinstance(part, Media)]
            if media:
                prompt.notes.add("moved:tool-result-media")  # a tool's message holds text alone: the user shows it
                rest = [*media, *rest]
        if rest:
            found.append({"role": turn.role, "content": _parts(rest)})
    return found


def _parts(parts: list[Part]) -> Any:
    if all(isinstance(part, Text) for part in parts):
        return parts[0].text if len(parts) == 1 else [{"type": "text", "text": part.text} for part in parts]  # type: ignore[union-attr]
    return [_written(part) for part in parts]


def _written(part: Part) -> dict[str, Any]:
    if isinstance(part, Media):
        inline = f"data:{part.media_type};base64,{part.data}"
        if part.kind == "image":
            detail = {"detail": part.detail} if part.detail else {}
            return {"type": "image_url", "image_url": {"url": part.url or inline, **detail}}
        if part.kind == "audio":
            return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.media_type.rpartition("/")[2]}}
        return {"type": "file", "file": {"filename": part.name or "document.pdf", "file_data": inline}}
    return {"type": "text", "text": part.text if isinstance(part, Text | Refusal) else ""}


def assistant_message(parts: tuple[Part, ...] | list[Part], notes: set[str]) -> dict[str, Any]:
    """An earlier answer. Its reasoning stays behind: the API refuses a message that holds any."""
    texts = [part for part in parts if isinstance(part, Text)]
    refusals = [part for part in parts if isinstance(part, Refusal)]
    message: dict[str, Any] = {"role": "assistant", "content": joined_text(texts) if texts else None}
    if refusals:
        message["refusal"] = joined_text(refusals)
    calls = [part for part in parts if isinstance(part, ToolCall)]
    if calls:
        message["tool_calls"] = [written_call(call) for call in calls]
    elif not texts and not refusals:
        message["content"] = ""
    if any(isinstance(part, Thought) for part in parts):
        notes.add("lost:reasoning of earlier turns")
    return message


def written_call(call: ToolCall) -> dict[str, Any]:
    """A tool call as a message holds it."""
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments or "{}"}}


def _function(tool: Tool) -> dict[str, Any]:
    found: dict[str, Any] = {"name": tool.name}
    if tool.description:
        found["description"] = tool.description
    found["parameters"] = tool.schema if tool.schema is not None else {"type": "object", "properties": {}}
    return found if tool.strict is None else found | {"strict": tool.strict}


def _choice(choice: ToolChoice) -> Any:
    return {"type": "function", "function": {"name": choice.name}} if choice.mode == "tool" else choice.mode


def _response_format(wanted: Format) -> dict[str, Any]:
    if wanted.schema is None:
        return {"type": "json_object"}
    schema: dict[str, Any] = {"name": wanted.name or "answer", "schema": wanted.schema}
    if wanted.strict is not None:
        schema["strict"] = wanted.strict
    if wanted.description:
        schema["description"] = wanted.description
    return {"type": "json_schema", "json_schema": schema}

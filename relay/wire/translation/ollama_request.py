"""Ollama's requests, `/api/chat` and `/api/generate`: read into a Prompt; written as `/api/chat`."""

from __future__ import annotations

from typing import Any

from relay.wire.events import BadField
from relay.wire.translation.features import read_scalars, scalar_fields
from relay.wire.translation.fields import Fields, json_object, json_text
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
    ToolResult,
    Turn,
    call_names,
    joined_text,
)

PROTOCOL = "ollama"
SILENT = frozenset({"model", "stream", "keep_alive"})
REFUSED = {
    "logprobs": "it tells no log probabilities",
    "top_logprobs": "it tells no log probabilities",
    "suffix": "it fills in nothing in the middle",
    "template": "it has templates of its own",
    "context": "it keeps no context; send the conversation to /api/chat",
    "raw": "it has templates of its own",
}
MAGIC = {"iVBOR": "image/png", "/9j/": "image/jpeg", "R0lGO": "image/gif", "UklGR": "image/webp"}  # of base64


def read(body: dict[str, Any]) -> Prompt:
    """Raises BadField."""
    fields, prompt = Fields(body), Prompt()
    fields.refuse(REFUSED)
    calls: list[tuple[str, str]] = []  # id and name of calls without a result, in order: results name the tool alone
    if fields.get("messages", list) is not None:
        for message in fields.children("messages"):
            prompt.turns.append(_turn(message, calls, prompt))
    else:
        if system := fields.text("system"):
            prompt.turns.append(Turn("system", (Text(system),)))
        prompt.turns.append(Turn("user", (Text(fields.text("prompt")), *_images(fields))))
    for item in fields.children("tools"):
        function = item.child("function")
        if function is None:
            raise BadField(f"{item.place('function')} is missing")
        prompt.tools.append(Tool(function.text("name"), function.text("description"), function.get("parameters", dict)))
    options = fields.child("options")
    if options is not None:
        read_scalars(options, prompt, PROTOCOL)
        options.lose_rest(prompt)
    _read_rest(fields, prompt)
    fields.lose_rest(prompt, SILENT)
    return prompt


def _read_rest(fields: Fields, prompt: Prompt) -> None:
    wanted = fields.get("format", (str, dict))
    if wanted:
        prompt.format = Format(wanted if isinstance(wanted, dict) else None)
    think = fields.get("think", (bool, str))
    if isinstance(think, str):
        prompt.reasoning = Reasoning(think)
    elif think is not None:
        prompt.reasoning = Reasoning("medium" if think else "none")
    if prompt.max_tokens is not None and prompt.max_tokens < 0:
        prompt.max_tokens = None  # as much as it likes


def _images(fields: Fields) -> list[Part]:
    found: list[Part] = []
    for data in fields.get("images", list) or []:
        if not isinstance(data, str):
            raise BadField(f"{fields.place('images')} holds something else than base64")
        media_type = next((kind for begun, kind in MAGIC.items() if data.startswith(begun)), "image/png")
        found.append(Media("image", media_type, data))
    return found


def _turn(message: Fields, calls: list[tuple[str, str]], prompt: Prompt) -> Turn:
    role, text = message.text("role"), message.text("content")
    if role == "tool":
        name = message.text("tool_name")
        found = next((call for call in calls if call[1] == name), calls[0] if calls else ("", name))
        if found in calls:
            calls.remove(found)
        return Turn("user", (ToolResult(message.text("tool_call_id") or found[0], (Text(text),), name or found[1]),))
    if role not in ("system", "user", "assistant"):
        raise BadField(f"{message.place('role')} is {role!r}; expected system, user, assistant or tool")
    parts: list[Part] = [Thought(message.text("thinking"))] if message.text("thinking") else []
    parts += [Text(text)] if text else []
    parts += _images(message)
    for at, item in enumerate(message.children("tool_calls")):
        function = item.child("function")
        if function is None:
            raise BadField(f"{item.place('function')} is missing")
        name = function.text("name")
        calls.append((item.text("id") or f"call_{len(prompt.turns)}_{at}", name))
        parts.append(ToolCall(calls[-1][0], name, json_text(function.get("arguments") or {})))
    return Turn(role, tuple(parts))


# Writing


def write(prompt: Prompt, model: str, stream: bool) -> dict[str, Any]:
    """The body for an upstream."""
    names = call_names(prompt.turns)
    messages = [message for turn in prompt.turns for message in _messages(turn, prompt, names)]
    body: dict[str, Any] = {"model": model, "messages": messages, "stream": stream}
    tools = [] if prompt.tool_choice is not None and prompt.tool_choice.mode == "none" else prompt.tools
    if tools:
        body["tools"] = [{"type": "function", "function": _function(tool)} for tool in tools]
    options = scalar_fields(prompt, PROTOCOL)
    if options:
        body["options"] = options
    if prompt.format is not None:
        body["format"] = prompt.format.schema if prompt.format.schema is not None else "json"
    if prompt.reasoning is not None:
        body["think"] = prompt.reasoning.effort != "none" and prompt.reasoning.budget != 0
    return body


def _messages(turn: Turn, prompt: Prompt, names: dict[str, str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for part in turn.parts:
        if isinstance(part, ToolResult):
            name = part.name or names.get(part.id, "")
            found.append({"role": "tool", "tool_name": name, "content": joined_text(part.parts, "\n")})
    rest = [part for part in turn.parts if not isinstance(part, ToolResult)]
    images = [part.data for part in prompt_media(turn)]
    if not rest and not images:
        return found
    role = "system" if turn.role == "developer" else turn.role
    message: dict[str, Any] = {"role": role, "content": joined_text([p for p in rest if isinstance(p, Text | Refusal)])}
    if images:
        message["images"] = images
    calls = [part for part in rest if isinstance(part, ToolCall)]
    if calls:
        message["tool_calls"] = [_call(call, prompt) for call in calls]
    thoughts = "".join(part.text for part in rest if isinstance(part, Thought))
    return [*found, message | ({"thinking": thoughts} if thoughts else {})]


def prompt_media(turn: Turn) -> list[Media]:
    """The images of a turn, those in tool results too: they go with the user's message."""
    found = [part for part in turn.parts if isinstance(part, Media)]
    results = [part for part in turn.parts if isinstance(part, ToolResult)]
    return found + [inner for result in results for inner in result.parts if isinstance(inner, Media)]


def _call(call: ToolCall, prompt: Prompt) -> dict[str, Any]:
    arguments = json_object(call.arguments)
    if arguments is None:
        prompt.notes.add("tool-arguments-incomplete")
    return {"function": {"name": call.name, "arguments": arguments or {}}}


def _function(tool: Tool) -> dict[str, Any]:
    schema = tool.schema if tool.schema is not None else {"type": "object", "properties": {}}
    return {"name": tool.name, "description": tool.description, "parameters": schema}

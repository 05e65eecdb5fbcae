"""Anthropic Messages' requests: read into a Prompt, and written from one."""

from __future__ import annotations

import re
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
    ToolChoice,
    ToolResult,
    Turn,
    joined_text,
    merged,
    split_leading,
)
from relay.wire.translation.signatures import ANTHROPIC, opened

PROTOCOL = "anthropic"
SILENT = frozenset({"model", "stream", "cache_control"})
REFUSED = {"mcp_servers": "it reaches no servers", "container": "it has no containers"}
MODES = {"auto": "auto", "any": "required", "none": "none", "tool": "tool"}
BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16_384, "xhigh": 32_768, "max": 32_768}
# Models that think as much as they find right, by an effort, and no longer by a budget of tokens.
ADAPTIVE = re.compile(r"claude-(?:(?:opus|sonnet|haiku)-4-[6-9]|(?:opus|sonnet|haiku|fable|mythos)-[5-9])")
SMALL = re.compile(r"claude-(?:3|instant|2)")
UNSAFE = re.compile(r"[^a-zA-Z0-9_-]")


def read(body: dict[str, Any]) -> Prompt:
    """Raises BadField."""
    fields, prompt = Fields(body), Prompt()
    fields.refuse(REFUSED)
    read_scalars(fields, prompt, PROTOCOL)
    system = _content(fields, "system", prompt)
    if system:
        prompt.turns.append(Turn("system", tuple(system)))
    if fields.get("messages", list) is None:
        raise BadField("messages is missing; expected a list of messages")
    for message in fields.children("messages"):
        role = message.text("role")
        if role not in ("user", "assistant", "system"):
            raise BadField(f"{message.place('role')} is {role!r}; expected user or assistant")
        prompt.turns.append(Turn(role, tuple(_content(message, "content", prompt))))
    for item in fields.children("tools"):
        _tool(item, prompt)
    choice = fields.child("tool_choice")
    if choice is not None:
        prompt.tool_choice = ToolChoice(MODES.get(choice.text("type"), "auto"), choice.text("name"))
        prompt.parallel = False if choice.get("disable_parallel_tool_use", bool) else None
    metadata = fields.child("metadata")
    prompt.user = metadata.get("user_id", str) if metadata else None
    _thinking(fields, prompt)
    fields.lose_rest(prompt, SILENT)
    return prompt


def _thinking(fields: Fields, prompt: Prompt) -> None:
    thinking, config = fields.child("thinking"), fields.child("output_config")
    effort = config.text("effort") if config else ""
    kind = thinking.text("type") if thinking else ""
    if kind == "disabled":
        prompt.reasoning = Reasoning("none")
    elif thinking is not None:
        prompt.reasoning = Reasoning(effort or ("medium" if kind == "adaptive" else ""), thinking.get("budget_tokens", int))
    elif effort:
        prompt.reasoning = Reasoning(effort)
    wanted = config.child("format") if config else None
    if wanted is not None:
        prompt.format = Format(wanted.get("schema", dict) or {})


def _content(fields: Fields, name: str, prompt: Prompt) -> list[Part]:
    content = fields.get(name, (str, list))
    if isinstance(content, str):
        return [Text(content)] if content else []
    found = (_block(item, prompt) for item in fields.children(name))
    return [part for part in found if part is not None]


def _block(item: Fields, prompt: Prompt) -> Part | None:
    kind = item.text("type")
    if "cache_control" in item.value:
        prompt.notes.add("lost:cache_control")
    if kind == "text":
        return Text(item.text("text"))
    if kind in ("image", "document"):
        return _media(item, kind)
    if kind == "tool_use":
        return ToolCall(item.text("id"), item.text("name"), json_text(item.get("input") or {}))
    if kind == "tool_result":
        parts = _content(item, "content", prompt)
        return ToolResult(item.text("tool_use_id"), tuple(parts), failed=item.get("is_error", bool) or False)
    if kind == "thinking":
        value, vendor = opened(item.text("signature"), ANTHROPIC)
        return Thought(item.text("thinking"), value, vendor)
    if kind == "redacted_thinking":
        value, vendor = opened(item.text("data"), ANTHROPIC)
        return Thought("", value, vendor, redacted=True)
    if kind == "search_result":
        return Text(joined_text(_content(item, "content", prompt), "\n"))
    if kind == "server_tool_use" or kind.endswith("_tool_result"):
        prompt.notes.add(f"lost:{item.place('type')} {kind}"[:120])  # what the provider's own tools did earlier
        return None
    raise BadField(f"{item.place('type')} is {kind!r}; this kind of block cannot be carried")


def _media(item: Fields, kind: str) -> Part:
    source = item.child("source")
    if source is None:
        raise BadField(f"{item.place('source')} is missing")
    how = source.text("type")
    if how == "base64":
        return Media(kind, source.text("media_type"), source.text("data"), name=item.text("title"))
    if how == "url":
        return Media(kind, "", url=source.text("url"), name=item.text("title"))
    if how == "text":
        return Text(source.text("data"))
    raise BadField(f"{source.place('type')} is {how!r}; the file lies with another provider: send base64")


def _tool(item: Fields, prompt: Prompt) -> None:
    kind = item.text("type")
    if kind not in ("", "custom"):
        prompt.notes.add(f"lost:{item.place('type')} {kind}"[:120])  # a tool that only the provider itself can run
        return
    prompt.tools.append(
        Tool(item.text("name"), item.text("description"), item.get("input_schema", dict), item.get("strict", bool))
    )


# Writing


def write(prompt: Prompt, model: str, stream: bool) -> dict[str, Any]:
    """The body for an upstream."""
    instructions, turns = split_leading(prompt.turns)
    body: dict[str, Any] = {"model": model, **scalar_fields(prompt, PROTOCOL)}
    if instructions:
        body["system"] = instructions
    body["messages"] = [_message(turn, prompt) for turn in merged(_alternating(turns, prompt))]
    if "max_tokens" not in body:  # the protocol insists
        body["max_tokens"] = 4096 if SMALL.match(model) else 32_000
        prompt.notes.add(f"assumed:max_tokens={body['max_tokens']}")
    if prompt.tools:
        body["tools"] = [_written_tool(tool) for tool in prompt.tools]
        _write_choice(prompt, body)
    if prompt.format is not None and prompt.format.schema is not None:
        body["output_config"] = {"format": {"type": "json_schema", "schema": prompt.format.schema}}
    if prompt.user:
        body["metadata"] = {"user_id": prompt.user}
    if prompt.reasoning is not None:
        _write_thinking(prompt, body, model)
    return body | ({"stream": True} if stream else {})


def _alternating(turns: list[Turn], prompt: Prompt) -> list[Turn]:
    """Instructions in the middle of the conversation have no place of their own: the user says them."""
    found = []
    for turn in turns:
        if turn.role in ("system", "developer"):
            prompt.notes.add("moved:instructions in mid-conversation")
            turn = Turn("user", turn.parts)
        if turn.parts:
            found.append(turn)
    return found


def _message(turn: Turn, prompt: Prompt) -> dict[str, Any]:
    blocks = []
    # Results come first: the protocol wants them right behind the calls.
    for part in sorted(turn.parts, key=lambda part: not isinstance(part, ToolResult)):
        block = written_block(part, prompt.notes)
        if block is not None:
            blocks.append(block)
    return {"role": turn.role, "content": blocks or [{"type": "text", "text": " "}]}


def written_block(part: Part, notes: set[str]) -> dict[str, Any] | None:
    """A part as a content block; None for reasoning that is another vendor's."""
    match part:
        case Text(text) | Refusal(text):
            return {"type": "text", "text": text} if text else None
        case Media():
            return _written_media(part)
        case ToolCall(id, name, arguments):
            value = json_object(arguments)
            if value is None:
                notes.add("tool-arguments-incomplete")
            return {"type": "tool_use", "id": UNSAFE.sub("_", id) or "call", "name": name, "input": value or {}}
        case ToolResult(id, parts, failed=failed):
            content = [block for inner in parts if (block := written_block(inner, notes)) is not None]
            found: dict[str, Any] = {"type": "tool_result", "tool_use_id": UNSAFE.sub("_", id) or "call", "content": content}
            return found | ({"is_error": True} if failed else {})
        case Thought(text, signature, vendor, redacted):
            if vendor == ANTHROPIC and redacted:
                return {"type": "redacted_thinking", "data": signature}
            if vendor == ANTHROPIC:
                return {"type": "thinking", "thinking": text, "signature": signature}
            notes.add("lost:reasoning of another vendor")
    return None


def _written_media(part: Media) -> dict[str, Any]:
    kind = "image" if part.kind == "image" else "document"
    if part.url:
        return {"type": kind, "source": {"type": "url", "url": part.url}}
    return {"type": kind, "source": {"type": "base64", "media_type": part.media_type, "data": part.data}}


def _written_tool(tool: Tool) -> dict[str, Any]:
    schema = dict(tool.schema or {})
    schema.setdefault("type", "object")
    found: dict[str, Any] = {"name": tool.name, "input_schema": schema}
    if tool.description:
        found["description"] = tool.description
    return found | ({"strict": True} if tool.strict else {})


def _write_choice(prompt: Prompt, body: dict[str, Any]) -> None:
    choice = prompt.tool_choice or (ToolChoice("auto") if prompt.parallel is False else None)
    if choice is None:
        return
    kind = {"required": "any"}.get(choice.mode, choice.mode)
    body["tool_choice"] = {"type": kind} | ({"name": choice.name} if kind == "tool" else {})
    if prompt.parallel is False and kind != "none":
        body["tool_choice"]["disable_parallel_tool_use"] = True


def _write_thinking(prompt: Prompt, body: dict[str, Any], model: str) -> None:
    reasoning = prompt.reasoning
    assert reasoning is not None
    if reasoning.effort == "none" or reasoning.budget == 0:
        return
    last = next((turn for turn in reversed(prompt.turns) if turn.role == "assistant"), None)
    if last and any(isinstance(p, ToolCall) for p in last.parts) and not any(_own(p) for p in last.parts):
        prompt.notes.add("lost:reasoning effort (a tool call in the history lacks its signed reasoning)")
        return
    if ADAPTIVE.search(model):
        body["thinking"] = {"type": "adaptive"}
        effort = reasoning.effort or _nearest(reasoning.budget)
        body.setdefault("output_config", {})["effort"] = {"minimal": "low"}.get(effort, effort)
    else:
        budget = reasoning.budget or BUDGETS.get(reasoning.effort, 8192)
        budget = min(budget, body["max_tokens"] // 2)
        if budget < 1024:  # the least that is accepted, and it must leave room for the answer
            prompt.notes.add("lost:reasoning effort (max_tokens leaves no room)")
            return
        body["thinking"] = {"type": "enabled", "budget_tokens": budget}
    for name in ("temperature", "top_k", "top_p"):
        if body.pop(name, None) is not None:
            prompt.notes.add(f"lost:{name} (with reasoning)")


def _nearest(budget: int | None) -> str:
    return next((word for word, tokens in BUDGETS.items() if budget is not None and budget <= tokens), "medium")


def _own(part: Part) -> bool:
    return isinstance(part, Thought) and part.vendor == ANTHROPIC and bool(part.signature)

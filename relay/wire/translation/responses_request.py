"""OpenAI Responses' requests: read into a Prompt, and written from one."""

from __future__ import annotations

from typing import Any

from relay.wire.events import BadField
from relay.wire.translation.chat_request import effort_of, read_choice
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
    split_leading,
)
from relay.wire.translation.signatures import OPENAI, opened

PROTOCOL = "openai-responses"
SILENT = frozenset({"model", "stream", "stream_options", "type"})
REFUSED = {
    "previous_response_id": "it lies with another provider; send the whole input",
    "conversation": "it lies with another provider; send the whole input",
    "prompt": "it lies with another provider; send its text",
    "background": "an answer in the background cannot be followed there",
    "top_logprobs": "it tells no log probabilities",
}
CUSTOM = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}


def read(body: dict[str, Any]) -> Prompt:
    """Raises BadField."""
    fields, prompt = Fields(body), Prompt()
    fields.refuse(REFUSED)
    read_scalars(fields, prompt, PROTOCOL)
    if instructions := fields.text("instructions"):
        prompt.turns.append(Turn("system", (Text(instructions),)))
    given = fields.get("input", (str, list))
    if isinstance(given, str):
        prompt.turns.append(Turn("user", (Text(given),)))
    else:
        for item in fields.children("input"):
            _item(item, prompt)
    for item in fields.children("tools"):
        _tool(item, prompt)
    prompt.tool_choice = read_choice(fields)
    prompt.parallel = fields.get("parallel_tool_calls", bool)
    reasoning = fields.child("reasoning")
    if reasoning is not None and (reasoning.text("effort") or reasoning.text("summary")):
        prompt.reasoning = Reasoning(reasoning.text("effort"), None, reasoning.text("summary"))
    text = fields.child("text")
    if text is not None:
        prompt.format = _format(text)
        text.lose_rest(prompt)
    _note_include(fields, prompt)
    if fields.get("store", bool):
        prompt.notes.add("lost:store")
    fields.lose_rest(prompt, SILENT)
    return prompt


def _note_include(fields: Fields, prompt: Prompt) -> None:
    for wanted in fields.get("include", list) or []:
        if wanted != "reasoning.encrypted_content":
            prompt.notes.add(f"lost:include {wanted}"[:120])


def _format(text: Fields) -> Format | None:
    wanted = text.child("format")
    if wanted is None or wanted.text("type") in ("", "text"):
        return None
    if wanted.text("type") == "json_object":
        return Format()
    schema = wanted.get("schema", dict) or {}
    return Format(schema, wanted.text("name"), wanted.get("strict", bool), wanted.text("description"))


def _item(item: Fields, prompt: Prompt) -> None:
    """One item of the input, joined to the turn before it where both are the assistant's or both are results."""
    kind = item.text("type") or "message"
    if kind == "message":
        role = item.text("role")
        if role not in ("system", "developer", "user", "assistant"):
            raise BadField(f"{item.place('role')} is {role!r}; expected system, developer, user or assistant")
        _add(prompt, role, _content(item, "content"))
    elif kind == "function_call":
        _add(prompt, "assistant", [ToolCall(item.text("call_id"), item.text("name"), item.text("arguments"))])
    elif kind == "custom_tool_call":
        arguments = json_text({"input": item.text("input")})
        _add(prompt, "assistant", [ToolCall(item.text("call_id"), item.text("name"), arguments)])
    elif kind in ("function_call_output", "custom_tool_call_output"):
        _add(prompt, "user", [ToolResult(item.text("call_id"), tuple(_content(item, "output")))])
    elif kind == "reasoning":
        _add(prompt, "assistant", [_thought(item)])
    else:
        raise BadField(f"{item.place('type')} is {kind!r}; this kind of item cannot be carried")


def _add(prompt: Prompt, role: str, parts: list[Part]) -> None:
    last = prompt.turns[-1] if prompt.turns else None
    results = all(isinstance(part, ToolResult) for part in parts)
    if last and last.role == role and (role == "assistant" or (results and isinstance(last.parts[-1], ToolResult))):
        prompt.turns[-1] = Turn(role, last.parts + tuple(parts))
    elif parts:
        prompt.turns.append(Turn(role, tuple(parts)))


def _thought(item: Fields) -> Thought:
    summaries = item.children("summary")
    texts = [part.text("text") for part in summaries or item.children("content")]
    sealed = item.text("encrypted_content")
    value, vendor = opened(sealed, OPENAI)
    if vendor == OPENAI:
        value = f"{item.text('id')}|{value}"
    redacted = item.text("id").startswith("rs_redacted")
    return Thought("\n\n".join(texts), value, vendor, redacted, summary=bool(summaries))


def _content(item: Fields, name: str) -> list[Part]:
    content = item.get(name, (str, list))
    if content is None:
        return []
    if isinstance(content, str):
        return [Text(content)] if content else []
    return [_part(part) for part in item.children(name)]


def _part(item: Fields) -> Part:
    kind = item.text("type")
    if kind in ("input_text", "output_text", "text", "summary_text"):
        return Text(item.text("text"))
    if kind == "refusal":
        return Refusal(item.text("refusal"))
    if kind == "input_image" and (url := item.text("image_url")):
        media_type, data = data_url(url)
        return Media("image", media_type, data, "" if data else url, detail=item.text("detail"))
    if kind == "input_file" and (item.text("file_data") or item.text("file_url")):
        media_type, data = data_url(item.text("file_data"))
        return Media("document", media_type, data, item.text("file_url"), item.text("filename"))
    if kind == "input_audio" and (audio := item.child("input_audio")):
        return Media("audio", f"audio/{audio.text('format') or 'wav'}", audio.text("data"))
    if kind in ("input_image", "input_file"):
        raise BadField(f"{item.place('file_id')} cannot be carried: the file lies with another provider; send its data")
    raise BadField(f"{item.place('type')} is {kind!r}; this kind of part cannot be carried")


def _tool(item: Fields, prompt: Prompt) -> None:
    kind = item.text("type")
    if kind == "function":
        prompt.tools.append(
            Tool(item.text("name"), item.text("description"), item.get("parameters", dict), item.get("strict", bool))
        )
    elif kind == "custom":
        if item.get("format"):
            prompt.notes.add(f"lost:{item.place('format')}")
        prompt.tools.append(Tool(item.text("name"), item.text("description"), CUSTOM))
    else:
        prompt.notes.add(f"lost:{item.place('type')} {kind}"[:120])  # a tool that only the provider itself can run


def custom_tools(body: dict[str, Any]) -> frozenset[str]:
    """The tools of a request that take free text: their calls go back as such."""
    tools = body.get("tools")
    found = [tool for tool in tools if isinstance(tool, dict)] if isinstance(tools, list) else []
    return frozenset(str(tool.get("name")) for tool in found if tool.get("type") == "custom")


# Writing


def write(prompt: Prompt, model: str, stream: bool) -> dict[str, Any]:
    """The body for an upstream, which is to store nothing."""
    instructions, turns = split_leading(prompt.turns)
    body: dict[str, Any] = {"model": model, "store": False, **scalar_fields(prompt, PROTOCOL)}
    if instructions:
        body["instructions"] = instructions
    body["input"] = [item for turn in turns for item in _items(turn, prompt)]
    if prompt.tools:
        body["tools"] = [_function(tool) for tool in prompt.tools]
        if prompt.tool_choice is not None:
            body["tool_choice"] = _choice(prompt.tool_choice)
        if prompt.parallel is not None:
            body["parallel_tool_calls"] = prompt.parallel
    if prompt.format is not None:
        body["text"] = {"format": _written_format(prompt.format)}
    if prompt.reasoning is not None:
        effort = effort_of(prompt.reasoning)
        body["reasoning"] = {"summary": prompt.reasoning.summary or "auto"} | ({"effort": effort} if effort else {})
        body["include"] = ["reasoning.encrypted_content"]  # so that it can come back, through any client
    return body | ({"stream": True} if stream else {})


def _items(turn: Turn, prompt: Prompt) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    content: list[dict[str, Any]] = []
    for part in turn.parts:
        if isinstance(part, ToolCall | ToolResult | Thought):
            items += _message(turn.role, content)
            content = []
            items += _own_item(part, prompt)
        else:
            content.append(_written(part, turn.role))
    return items + _message(turn.role, content)


def _message(role: str, content: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"type": "message", "role": role, "content": content}] if content else []


def _own_item(part: ToolCall | ToolResult | Thought, prompt: Prompt) -> list[dict[str, Any]]:
    """What is an item of its own in this protocol."""
    match part:
        case ToolCall(id, name, arguments):
            return [{"type": "function_call", "call_id": id, "name": name, "arguments": arguments or "{}"}]
        case ToolResult(id, parts):
            media = any(isinstance(inner, Media) for inner in parts)
            output: Any = [_written(inner, "user") for inner in parts] if media else joined_text(parts, "\n")
            return [{"type": "function_call_output", "call_id": id, "output": output}]
        case Thought(text, signature, vendor) if vendor == OPENAI and signature:
            item_id, _, sealed = signature.partition("|")
            summary = [{"type": "summary_text", "text": text}] if text else []
            return [{"type": "reasoning", "id": item_id, "summary": summary, "encrypted_content": sealed}]
    prompt.notes.add("lost:reasoning of another vendor")
    return []


def _written(part: Part, role: str) -> dict[str, Any]:
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": part.text}
    if isinstance(part, Media):
        inline = f"data:{part.media_type};base64,{part.data}"
        if part.kind == "image":
            return {"type": "input_image", "image_url": part.url or inline, "detail": part.detail or "auto"}
        if part.kind == "audio":
            return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.media_type.rpartition("/")[2]}}
        name = part.name or "document.pdf"
        return {"type": "input_file", **({"file_url": part.url} if part.url else {"filename": name, "file_data": inline})}
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": kind, "text": part.text if isinstance(part, Text) else ""}


def _function(tool: Tool) -> dict[str, Any]:
    schema = tool.schema if tool.schema is not None else {"type": "object", "properties": {}}
    # Here alone a tool is strict when nothing is said, which most schemas do not bear.
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": schema,
        "strict": tool.strict or False,
    }


def _choice(choice: ToolChoice) -> Any:
    return {"type": "function", "name": choice.name} if choice.mode == "tool" else choice.mode


def _written_format(wanted: Format) -> dict[str, Any]:
    if wanted.schema is None:
        return {"type": "json_object"}
    found: dict[str, Any] = {"type": "json_schema", "name": wanted.name or "answer", "schema": wanted.schema}
    if wanted.description:
        found["description"] = wanted.description
    return found if wanted.strict is None else found | {"strict": wanted.strict}

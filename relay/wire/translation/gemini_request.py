"""Gemini's requests: read into a Prompt, and written from one. Model and stream are said by the path."""

from __future__ import annotations

import mimetypes
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
    call_names,
    joined_text,
    merged,
    split_leading,
)
from relay.wire.translation.signatures import GEMINI, opened

PROTOCOL = "gemini"
REFUSED = {"cachedContent": "it lies with another provider; send its text"}
REFUSED_SETTINGS = {
    "responseLogprobs": "it tells no log probabilities",
    "logprobs": "it tells no log probabilities",
    "speechConfig": "it does not speak",
}
MODES = {"AUTO": "auto", "ANY": "required", "NONE": "none", "VALIDATED": "auto"}
BUDGETS = {"none": 0, "minimal": 512, "low": 1024, "medium": 8192, "high": 24_576, "xhigh": 24_576, "max": 24_576}
LEVELS = {"none": "minimal", "xhigh": "high", "max": "high"}
BY_LEVEL = re.compile(r"gemini-(?:[3-9]|\d\d)")  # these think by a level, older ones by a budget
# What Google's documentation gives for calls whose signature nobody has, as those of another model.
NO_SIGNATURE = "skip_thought_signature_validator"


def read(body: dict[str, Any]) -> Prompt:
    """Raises BadField."""
    fields, prompt = Fields(body), Prompt()
    fields.refuse(REFUSED)
    _read_instructions(fields, prompt)
    if fields.get("contents", (list, dict, str)) is None:
        raise BadField("contents is missing; expected a list of contents")
    calls: list[str] = []  # ids of the calls that no response was seen for, in order
    for content in fields.children("contents"):
        role = "assistant" if content.text("role") == "model" else "user"
        parts = [part for item in content.children("parts") if (part := _part(item, prompt, calls)) is not None]
        prompt.turns.append(Turn(role, tuple(parts)))
    for item in fields.children("tools"):
        _read_tools(item, prompt)
    config = fields.child("toolConfig")
    calling = config.child("functionCallingConfig") if config else None
    if calling is not None:
        names = calling.get("allowedFunctionNames", list) or []
        mode = MODES.get(calling.text("mode"), "auto")
        prompt.tool_choice = ToolChoice("tool", str(names[0])) if mode == "required" and len(names) == 1 else ToolChoice(mode)
    settings = fields.child("generationConfig")
    if settings is not None:
        _read_settings(settings, prompt)
    fields.lose_rest(prompt, frozenset({"model"}))
    return prompt


def _read_instructions(fields: Fields, prompt: Prompt) -> None:
    said = fields.get("systemInstruction", (dict, str))
    if isinstance(said, str):
        prompt.turns.append(Turn("system", (Text(said),)))
    elif said is not None:
        parts = Fields(said, "systemInstruction").children("parts")
        prompt.turns.append(Turn("system", tuple(Text(part.text("text")) for part in parts)))


def _read_tools(item: Fields, prompt: Prompt) -> None:
    for function in item.children("functionDeclarations"):
        schema = function.get("parametersJsonSchema", dict) or lowered(function.get("parameters", dict))
        prompt.tools.append(Tool(function.text("name"), function.text("description"), schema))
    item.lose_rest(prompt)


def lowered(schema: Any) -> Any:
    """A schema of Gemini's own kind as JSON Schema: its types are written in capitals, and `nullable` apart."""
    if isinstance(schema, list):
        return [lowered(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: lowered(value) for name, value in schema.items() if name != "nullable"}
    if isinstance(schema.get("type"), str):
        kind = schema["type"].lower()
        found["type"] = [kind, "null"] if schema.get("nullable") else kind
    return found


def _read_settings(settings: Fields, prompt: Prompt) -> None:
    settings.refuse(REFUSED_SETTINGS)
    if any(wanted != "TEXT" for wanted in settings.get("responseModalities", list) or []):
        raise BadField(f"{settings.place('responseModalities')} cannot be carried: it answers in text")
    read_scalars(settings, prompt, PROTOCOL)
    schema = settings.get("responseJsonSchema", dict) or lowered(settings.get("responseSchema", dict))
    if settings.text("responseMimeType") == "application/json" or schema:
        prompt.format = Format(schema)
    thinking = settings.child("thinkingConfig")
    if thinking is not None:
        budget = thinking.get("thinkingBudget", int)
        level = thinking.text("thinkingLevel").lower()
        if level or budget is not None or thinking.get("includeThoughts", bool):
            prompt.reasoning = Reasoning(level or ("medium" if budget is None or budget < 0 else ""), budget)
    settings.lose_rest(prompt)


def _part(item: Fields, prompt: Prompt, calls: list[str]) -> Part | None:
    value, vendor = opened(item.text("thoughtSignature"), GEMINI)
    if item.get("thought", bool):
        return Thought(item.text("text"), value, vendor)
    if call := item.child("functionCall"):
        name = call.text("name")
        calls.append(call.text("id") or f"call_{len(calls)}_{name}")
        arguments = json_text(call.get("args", dict) or {})
        return ToolCall(calls[-1], name, arguments, "" if value == NO_SIGNATURE else value, vendor)
    if result := item.child("functionResponse"):
        name = result.text("name")
        answered = result.text("id") or next((call for call in calls if call.endswith(f"_{name}")), name)
        if answered in calls:
            calls.remove(answered)
        return ToolResult(answered, (Text(_result_text(result.get("response", dict) or {})),), name)
    if inline := item.child("inlineData"):
        return _media(inline.text("mimeType"), data=inline.text("data"))
    if file := item.child("fileData"):
        return _media(file.text("mimeType"), url=file.text("fileUri"))
    text = item.get("text", str)
    if text is not None:
        return Text(text) if text else None
    kind = next(iter(item.value), "")
    raise BadField(f"{item.place(kind)} cannot be carried")


def _media(media_type: str, data: str = "", url: str = "") -> Media:
    family = media_type.partition("/")[0]
    kind = family if family in ("image", "audio") else "document"
    return Media(kind, media_type, data, url)


def _result_text(response: dict[str, Any]) -> str:
    only = next(iter(response.values())) if len(response) == 1 else None
    return only if isinstance(only, str) and {"result", "output"} & response.keys() else json_text(response)


# Writing


def write(prompt: Prompt, model: str, stream: bool) -> dict[str, Any]:
    """The body for an upstream."""
    instructions, turns = split_leading(prompt.turns)
    names = call_names(turns)
    signs = BY_LEVEL.search(model) is not None
    contents = [_content(turn, prompt, names, signs) for turn in merged(_two_roles(turns, prompt))]
    body: dict[str, Any] = {"contents": [content for content in contents if content["parts"]]}
    if instructions:
        body["systemInstruction"] = {"parts": [{"text": instructions}]}
    if prompt.tools:
        body["tools"] = [{"functionDeclarations": [_function(tool) for tool in prompt.tools]}]
        if prompt.tool_choice is not None:
            body["toolConfig"] = {"functionCallingConfig": _calling(prompt.tool_choice)}
    settings = scalar_fields(prompt, PROTOCOL) | _thinking(prompt.reasoning, model)
    if prompt.format is not None:
        settings["responseMimeType"] = "application/json"
        if prompt.format.schema is not None:
            settings["responseJsonSchema"] = prompt.format.schema
    return body | ({"generationConfig": settings} if settings else {})


def _two_roles(turns: list[Turn], prompt: Prompt) -> list[Turn]:
    found = []
    for turn in turns:
        if turn.role in ("system", "developer"):
            prompt.notes.add("moved:instructions in mid-conversation")
            turn = Turn("user", turn.parts)
        found.append(turn)
    return found


def _content(turn: Turn, prompt: Prompt, names: dict[str, str], signs: bool) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    unsigned = signs  # the first call of a step must carry a signature
    held = ""  # a signature that came back by itself: of the call behind it
    for part in turn.parts:
        if isinstance(part, Thought) and part.vendor == GEMINI and not part.text:
            held = part.signature
        elif isinstance(part, ToolCall):
            written = _call(part, prompt)
            if held and "thoughtSignature" not in written:
                written["thoughtSignature"] = held
            held = ""
            if unsigned and "thoughtSignature" not in written:
                written["thoughtSignature"] = NO_SIGNATURE
            unsigned = False
            parts.append(written)
        else:
            parts += _written(part, prompt, names)
    return {"role": "model" if turn.role == "assistant" else "user", "parts": parts}


def _call(part: ToolCall, prompt: Prompt) -> dict[str, Any]:
    arguments = json_object(part.arguments)
    if arguments is None:
        prompt.notes.add("tool-arguments-incomplete")
    found: dict[str, Any] = {"functionCall": {"id": part.id, "name": part.name, "args": arguments or {}}}
    return found | ({"thoughtSignature": part.signature} if part.vendor == GEMINI and part.signature else {})


def _written(part: Part, prompt: Prompt, names: dict[str, str]) -> list[dict[str, Any]]:
    match part:
        case Text(text) | Refusal(text):
            return [{"text": text}] if text else []
        case Media(media_type=media_type, data=data, url=url):
            if url:
                guessed = media_type or mimetypes.guess_type(url.partition("?")[0])[0] or "image/jpeg"
                return [{"fileData": {"mimeType": guessed, "fileUri": url}}]
            return [{"inlineData": {"mimeType": media_type, "data": data}}]
        case ToolResult(id, parts, name, failed):
            said = joined_text(parts, "\n")
            response = {"error": said} if failed else json_object(said) if said.lstrip()[:1] == "{" else None
            found: list[dict[str, Any]] = [
                {"functionResponse": {"id": id, "name": name or names.get(id, id), "response": response or {"result": said}}}
            ]
            return found + [written for inner in parts if isinstance(inner, Media) for written in _written(inner, prompt, names)]
        case Thought(text, signature, vendor) if vendor == GEMINI and signature:
            return [{"text": text, "thought": True, "thoughtSignature": signature}]
        case Thought():
            prompt.notes.add("lost:reasoning of another vendor")
    return []


def _function(tool: Tool) -> dict[str, Any]:
    found: dict[str, Any] = {"name": tool.name, "description": tool.description}
    return found | ({"parametersJsonSchema": tool.schema} if tool.schema else {})


def _calling(choice: ToolChoice) -> dict[str, Any]:
    if choice.mode == "tool":
        return {"mode": "ANY", "allowedFunctionNames": [choice.name]}
    return {"mode": {"required": "ANY", "none": "NONE"}.get(choice.mode, "AUTO")}


def _thinking(reasoning: Reasoning | None, model: str) -> dict[str, Any]:
    if reasoning is None:
        return {}
    off = reasoning.effort == "none" or reasoning.budget == 0
    config: dict[str, Any] = {} if off else {"includeThoughts": True}
    if BY_LEVEL.search(model):
        budget = reasoning.budget
        nearest = "low" if budget is not None and budget <= 2048 else "high"
        effort = reasoning.effort or ("none" if off else nearest)
        config["thinkingLevel"] = LEVELS.get(effort, effort)
    else:
        config["thinkingBudget"] = BUDGETS.get(reasoning.effort, -1) if reasoning.budget is None else reasoning.budget
    return {"thinkingConfig": config}

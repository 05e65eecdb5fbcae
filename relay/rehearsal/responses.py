"""OpenAI Responses, spoken healthily: typed, numbered events, the last of which holds the whole response."""

from __future__ import annotations

from collections.abc import Iterator

from .answers import Answer, Call, Failure, Usage
from .dialect import Usual
from .events import Event, Role, event

INCOMPLETE = {"length": "max_output_tokens", "filter": "content_filter"}
WHOLE = ("stop", "tools", "refusal")  # finishes of a completed response

Draft = tuple[Role, str, dict[str, object]]  # an event that has no number yet


class Responses(Usual):
    """See `Dialect`."""

    name = "openai-responses"
    path = "/responses"
    id_prefix = "resp_"
    request_id_header = "x-request-id"
    ping = b": keep-alive\n\n"
    marker = Event(Role.MARKER, b"[DONE]")  # OpenAI sends none; servers that imitate it do

    def events(self, answer: Answer) -> list[Event]:
        begun = {**response(answer), "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
        drafts: list[Draft] = [
            (Role.OPENING, "response.created", {"response": begun}),
            (Role.OPENING, "response.in_progress", {"response": begun}),
        ]
        items = _items(answer)
        for index, item in enumerate(items):
            drafts += _item_drafts(index, item, answer)
        last = "response.completed" if answer.finish in WHOLE else "response.incomplete"
        drafts.append((Role.MARKER, last, {"response": response(answer)}))
        return [numbered(draft, number) for number, draft in enumerate(drafts)]

    def whole(self, answer: Answer) -> dict[str, object]:
        return response(answer)

    def failure_event(self, failure: Failure, sequence: int) -> Event:
        payload: dict[str, object] = {"code": failure.code, "message": failure.message, "param": None}
        return numbered((Role.ERROR, "error", payload), sequence)

    def failure_body(self, failure: Failure) -> dict[str, object]:
        return {"error": {"message": failure.message, "type": failure.type, "param": None, "code": failure.code}}


def numbered(draft: Draft, number: int) -> Event:
    role, name, payload = draft
    return event(role, {"type": name, "sequence_number": number, **payload}, name)


def failed_event(failure: Failure, answer: Answer, sequence: int) -> Event:
    """`response.failed`, as OpenAI ends a response that it could not finish."""
    body = {**response(answer), "status": "failed", "output": [], "usage": None, "incomplete_details": None}
    body["error"] = {"code": failure.code, "message": failure.message}
    return numbered((Role.ERROR, "response.failed", {"response": body}), sequence)


def usage(figures: Usage) -> dict[str, object]:
    """Usage as responses report it."""
    return {
        "input_tokens": figures.input,
        "input_tokens_details": {"cached_tokens": figures.cached, "cache_write_tokens": 0},
        "output_tokens": figures.output,
        "output_tokens_details": {"reasoning_tokens": figures.reasoning},
        "total_tokens": figures.total,
    }


def response(answer: Answer) -> dict[str, object]:
    """The whole response object."""
    completed = answer.finish in WHOLE
    reason = None if completed else {"reason": INCOMPLETE.get(answer.finish, answer.finish)}
    return {
        "id": answer.id,
        "object": "response",
        "created_at": answer.created,
        "status": "completed" if completed else "incomplete",
        "error": None,
        "incomplete_details": reason,
        "instructions": None,
        "metadata": {},
        "model": answer.model,
        "output": _items(answer),
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": usage(answer.usage),
    }


def _items(answer: Answer) -> list[dict[str, object]]:
    items: list[dict[str, object]] = []
    if answer.reasoning:
        summary = [{"type": "summary_text", "text": "".join(answer.reasoning)}]
        items.append({"id": f"rs_{answer.id[-6:]}", "type": "reasoning", "summary": summary})
    if answer.text or answer.refusal:
        content = [_text_part("".join(answer.text))] if answer.text else [_refusal_part(answer.refusal)]
        message = {"id": f"msg_{answer.id[-6:]}", "type": "message", "role": "assistant", "status": "completed"}
        items.append({**message, "content": content})
    items += [_call_item(call, "".join(call.arguments), "completed") for call in answer.calls]
    return items


def _text_part(text: str) -> dict[str, object]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _refusal_part(text: str) -> dict[str, object]:
    return {"type": "refusal", "refusal": text}


def _call_item(call: Call, arguments: str, status: str) -> dict[str, object]:
    return {
        "id": f"fc_{call.id[5:]}",
        "type": "function_call",
        "call_id": call.id,
        "name": call.name,
        "arguments": arguments,
        "status": status,
    }


def _item_drafts(index: int, item: dict[str, object], answer: Answer) -> Iterator[Draft]:
    """One output item from its adding to its being done."""
    opening = Role.CLOSING if index else Role.OPENING
    place = {"item_id": item["id"], "output_index": index}
    if item["type"] == "reasoning":
        inner = _reasoning_drafts(opening, place, answer)
        empty = {**item, "summary": []}
    elif item["type"] == "message":
        inner = _message_drafts(opening, place, answer)
        empty = {**item, "content": [], "status": "in_progress"}
    else:
        call = next(call for call in answer.calls if call.id == item["call_id"])
        inner = _call_drafts(place, call)
        empty = _call_item(call, "", "in_progress")
    yield opening, "response.output_item.added", {"output_index": index, "item": empty}
    yield from inner
    yield Role.CLOSING, "response.output_item.done", {"output_index": index, "item": item}


def _reasoning_drafts(opening: Role, place: dict[str, object], answer: Answer) -> Iterator[Draft]:
    name = "response.reasoning_summary"
    spot = {**place, "summary_index": 0}
    part = {"type": "summary_text", "text": "".join(answer.reasoning)}
    yield opening, f"{name}_part.added", {**spot, "part": {**part, "text": ""}}
    for piece in answer.reasoning:
        yield Role.CONTENT, f"{name}_text.delta", {**spot, "delta": piece}
    yield Role.CLOSING, f"{name}_text.done", {**spot, "text": part["text"]}
    yield Role.CLOSING, f"{name}_part.done", {**spot, "part": part}


def _message_drafts(opening: Role, place: dict[str, object], answer: Answer) -> Iterator[Draft]:
    spot = {**place, "content_index": 0}
    if answer.text:
        part, empty, kind = _text_part("".join(answer.text)), _text_part(""), "output_text"
        pieces, done = answer.text, {"text": "".join(answer.text), "logprobs": []}
        extra: dict[str, object] = {"logprobs": []}
    else:
        part, empty, kind = _refusal_part(answer.refusal), _refusal_part(""), "refusal"
        pieces, done, extra = (answer.refusal,), {"refusal": answer.refusal}, {}
    yield opening, "response.content_part.added", {**spot, "part": empty}
    for piece in pieces:
        yield Role.CONTENT, f"response.{kind}.delta", {**spot, "delta": piece, **extra}
    yield Role.CLOSING, f"response.{kind}.done", {**spot, **done}
    yield Role.CLOSING, "response.content_part.done", {**spot, "part": part}


def _call_drafts(place: dict[str, object], call: Call) -> Iterator[Draft]:
    name = "response.function_call_arguments"
    for piece in call.arguments:
        yield Role.CONTENT, f"{name}.delta", {**place, "delta": piece}
    yield Role.CLOSING, f"{name}.done", {**place, "name": call.name, "arguments": "".join(call.arguments)}

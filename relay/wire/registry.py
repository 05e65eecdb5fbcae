"""Every client protocol, as one value: what the relay needs to read it, and to speak it to the client."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from relay.wire import anthropic, openai_chat, openai_responses
from relay.wire.events import Answer, ClientError, RequestFacts


@dataclass(frozen=True, slots=True)
class Dialect:
    """One protocol. `protocol` is the upstream's name of it, `tag` the client's."""

    tag: str
    protocol: str
    reader: Callable[[], Any]
    read_whole: Callable[[bytes, Answer], None]
    whole_to_stream: Callable[[bytes], bytes]
    error_body: Callable[[ClientError], dict[str, Any]]
    error_frame: Callable[[ClientError, Answer], bytes]
    request_facts: Callable[[dict[str, Any]], RequestFacts]
    heartbeat: bytes
    end: bytes
    end_name: str


def _dialect(module: ModuleType) -> Dialect:
    return Dialect(
        tag=module.TAG,
        protocol=module.PROTOCOL,
        reader=module.Reader,
        read_whole=module.read_whole,
        whole_to_stream=module.whole_to_stream,
        error_body=module.error_body,
        error_frame=module.error_frame,
        request_facts=module.facts,
        heartbeat=module.HEARTBEAT,
        end=module.END,
        end_name=module.END_NAME,
    )


DIALECTS: dict[str, Dialect] = {module.TAG: _dialect(module) for module in (openai_chat, openai_responses, anthropic)}

"""The quick look: is there anything in a record that redaction could act on?

It may say no for what is harmless, never yes for what is not: tests/relay/test_harmless.py holds it against redaction
itself. A record of a healthy stream is mostly numbers, and its words (model, path, user agent, event names) come
thousands of times, so words that were found harmless are remembered.
"""

from __future__ import annotations

import re
from typing import Any

from errorlog.redaction import NEEDLES
from relay.ending import Cause, Fault, Outcome, Phase

# What a text must hold, in lower case, for redaction to have anything to do; and NUL, which databases refuse.
SUSPECT = ("\0", *NEEDLES)
# The names of fields that our own records are made of. A field of another name sends the record to redaction.
NAMES = frozenset(
    (  # noqa: SIM905 - so many words in a list would be a page
        "t id at entry evidence egress request_id client_request_id time direction method path tag model "
        "upstream_model provider credential credential_id client_key client_key_id user_agent peer stream status "
        "upstream_status client_status outcome cause phase fault fault_reason ttft_ms duration_ms input_tokens "
        "output_tokens cached_tokens reasoning_tokens total_tokens cost tokens_per_second bytes_in chunks_in "
        "bytes_out chunks_out request_bytes attempt_count drill instance kind label variant_hash response_id "
        "upstream_request_id event_count had_reasoning written_chunks written_bytes last_sent_event sent_terminal "
        "error_code detail finish_reason attempts timeline gaps heartbeats last_events notes contributing "
        "client_socket relay upstream reused ms next routed connect_start connected request_sent upstream_headers "
        "first_upstream_byte first_event first_client_write last_upstream_byte last_client_write terminal_event "
        "ended longest_ms longest_began median_ms blocked_ms loop_lag_ms count first last type size closed "
        "write_buffer send_queue not_sent rtt_ms retransmits process version in_flight events_after_terminal "
        "live seen_ms silent_ms idle_timeout_ms "
        "close_code close_reason event name message stack source platform context fingerprint error "
    ).split()
)
PLAIN = frozenset({int, float, bool, Outcome, Cause, Phase, Fault})
DEEPEST = 6  # levels of a whole line; redaction replaces what lies deeper below an entry or a context
OURS = re.compile(r"[0-9a-f-]{36}\Z")
REMEMBERED = 20_000  # words; then all are forgotten
LONGEST = 200  # characters of a word worth remembering

_known: set[str] = set()


def harmless(record: dict[str, Any]) -> bool:
    """Whether redaction and pruning would leave `record` as it is. Its `id` is one of ours."""
    known = _known
    ours = _ours(record.get("id"))
    level: list[Any] = [record]
    for _depth in range(DEEPEST):
        below: list[Any] = []
        for holder in level:
            if type(holder) is dict:
                if not holder.keys() <= NAMES:
                    return False
                values = holder.values()
            else:
                values = holder
            for value in values:
                kind = type(value)
                if kind in PLAIN:
                    continue
                if kind is str:
                    if value not in known and value not in ours and not _harmless_text(value):
                        return False
                elif kind is dict or kind is list:
                    below.append(value)
                else:
                    return False
        if not below:
            return True
        level = below
    return False


def _ours(record: object) -> tuple[str, ...]:
    """The two texts that are new in each record and made here: hexadecimal digits, in which nothing can hide."""
    if not isinstance(record, str) or not OURS.match(record):
        return ()
    return record, "req_" + record.replace("-", "")


def _harmless_text(text: str) -> bool:
    lower = text.lower()
    for needle in SUSPECT:
        if needle in lower:
            return False
    if len(text) <= LONGEST:
        if len(_known) >= REMEMBERED:
            _known.clear()
        _known.add(text)
    return True

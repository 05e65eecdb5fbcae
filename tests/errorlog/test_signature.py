"""What splits a group and what does not."""

from __future__ import annotations

import time
from typing import Any

import pytest

from errorlog.signature import parts_of, signature_of, steady

OWN = ["relay", "errorlog"]


def traceback_of(*frames: tuple[str, int, str]) -> str:
    lines = "".join(f'  File "{file}", line {line}, in {function}\n    code()\n' for file, line, function in frames)
    return f"Traceback (most recent call last):\n{lines}ValueError: no\n"


def parts(**event: Any) -> list[str]:
    return parts_of({"name": "ValueError", **event}, OWN)


def test_an_events_own_fingerprint_is_taken_as_it_comes() -> None:
    given = ["StreamUpstreamError", "http-status", "openai", "503", "before first byte"]
    assert parts(fingerprint=given, stack=traceback_of(("/x/relay/a.py", 1, "f"))) == given


def test_an_exception_is_its_type_and_the_innermost_frame_of_our_own_code() -> None:
    stack = traceback_of(
        ("/app/relay/supervisor.py", 10, "run"),
        ("/app/relay/wire/sse.py", 20, "Scanner.feed"),
        ("/app/.venv/lib/python3.11/site-packages/relay/json.py", 3, "loads"),
        ("/usr/lib/python3.11/json/decoder.py", 4, "decode"),
    )
    assert parts(stack=stack) == ["ValueError", "relay.wire.sse Scanner.feed"]


def test_line_numbers_folders_and_messages_do_not_split_a_group() -> None:
    one = parts(stack=traceback_of(("/app/relay/a.py", 10, "f")), message="req_1 failed")
    two = parts(stack=traceback_of(("/srv/other/relay/a.py", 99, "f")), message="req_2 failed")
    assert one == two
    assert one != parts(stack=traceback_of(("/app/relay/a.py", 10, "g")))


def test_of_chained_exceptions_the_last_one_counts() -> None:
    chain = traceback_of(("/app/relay/cause.py", 1, "f"))
    chain += "\nDuring handling of the above exception, another exception occurred:\n\n"
    chain += traceback_of(("/app/relay/effect.py", 2, "g"))
    assert parts(stack=chain) == ["ValueError", "relay.effect g"]


def test_an_exception_group_has_a_place_too() -> None:
    stack = "  + Exception Group Traceback (most recent call last):\n" + '  |   File "/app/relay/a.py", line 5, in f\n'
    assert parts(stack=stack) == ["ValueError", "relay.a f"]


def test_without_a_frame_of_our_own_the_innermost_one_is_the_place() -> None:
    stack = traceback_of(("/usr/lib/python3.11/threading.py", 1, "run"), ("/x/site-packages/lib/y.py", 2, "go"))
    assert parts(stack=stack) == ["ValueError", "lib.y go"]


@pytest.mark.parametrize(
    ("stack", "place"),
    [
        (
            "TypeError: x is 5\n    at drawTail (https://a:8000/static/epitaph.js:10:5)\n    at f (b.js:1:1)",
            "/static/epitaph.js drawTail",
        ),
        ("TypeError: x at 5\n    at https://host/static/app.1a2b3c4d.js?v=2:10:5", "/static/app.#.js"),
        ("drawTail@http://host/static/epitaph.js:10:5\n@http://host/x.js:1:1", "/static/epitaph.js drawTail"),
    ],
)
def test_a_scripts_place_is_its_first_real_frame_and_not_its_message(stack: str, place: str) -> None:
    assert parts_of({"name": "TypeError", "stack": stack}) == ["TypeError", place]


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("timeout after 30 s", "timeout after 45.2 s"),
        ("object at 0x7f3a2b", "object at 0x99"),
        ("peer 10.0.0.1:443 gone", "peer 192.168.7.20:8443 gone"),
        ("peer fe80:0000:1111:2222 gone", "peer fe80:aaaa:3333:4444 gone"),
        ("request req_019a7c3e41d07b21 failed", "request req_5512ffabcc11aa00 failed"),
        ("row 019a7c3e-41d0-7b21-a4c6-0242ac120002", "row 11111111-aaaa-7b21-a4c6-0242ac129999"),
    ],
)
def test_digits_ids_and_addresses_never_split_a_group(one: str, two: str) -> None:
    assert steady(one) == steady(two)
    assert parts(message=one) == parts(message=two)


def test_words_do_split_a_group() -> None:
    assert parts(message="no such model") != parts(message="no such upstream")


def test_parts_are_not_confused_with_one_another() -> None:
    assert signature_of(["ab", "c"]) != signature_of(["a", "bc"])


def test_hostile_stacks_take_linear_time() -> None:
    begun = time.monotonic()
    for piece in ("\n", " ", "at ", "at (", 'File "', "@", "ab-", "a1", "| "):
        stack = piece * (64_000 // len(piece))
        parts(stack=stack, message=stack)
        parts(stack=f"at {stack}:1:1")
    assert time.monotonic() - begun < 5

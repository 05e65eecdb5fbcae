"""Nothing that is a secret survives redaction, and nothing that is none is lost by it."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errorlog import redaction
from errorlog.redaction import NEEDLES, redact, redact_text, secret_spans, storable

RULES = (redaction._SHAPES, redaction._QUOTED, redaction._ASSIGNED, redaction._HEADER, redaction._CREDENTIALS)

LONG = "sk-proj-Abcdefghij0123456789"


@pytest.mark.parametrize(
    "key",
    [
        *("authorization", "Proxy-Authorization", "x-api-key", "api-key", "api_key", "apikey", "apiKey", "X-Goog-Api-Key"),
        *("token", "access_token", "refresh_token", "cookie", "Set-Cookie", "session", "secret", "password"),
    ],
)
def test_a_secret_key_hides_its_value_whatever_it_looks_like(key):
    assert redact({key: "hunter2"}) == {key: "[redacted]"}
    assert redact({key: "a-very-long-plain-word"}) == {key: "a-v…rd"}
    assert redact({key: {"deep": "hunter2"}, "n": [{key: ["hunter2"]}]}) == {
        key: "[redacted]",
        "n": [{key: ["[redacted]"]}],
    }


def test_counts_of_tokens_are_no_secrets():
    usage = {"max_tokens": 5, "input_tokens": 1, "total_tokens": 9, "tokens_per_second": 1.5, "token_count": "12"}
    assert redact(usage) == usage


@pytest.mark.parametrize(
    "text",
    [
        f"bad key {LONG}",
        f"Authorization: Bearer {LONG}",
        f"Incorrect API key provided: {LONG}.",
        f'{{"api_key": "{LONG}"}}',
        json.dumps({"body": json.dumps({"api_key": LONG})}),
        f"{{'password': b'{LONG}'}}",
        f"https://host/v1?key={LONG}&x=1",
        f"https://host/v1?x=1&key={LONG}",
        f"https://user:{LONG}@host/v1",
        f"Cookie: a={LONG}; b={LONG}",
        f"token={LONG}",
        f"({LONG})",
        f"\n{LONG}\n",
    ],
)
def test_a_key_inside_text_is_masked(text):
    shown = redact_text(text)
    assert LONG not in shown and LONG[4:-3] not in shown and shown != text


@pytest.mark.parametrize(
    "secret",
    [
        "sk-ant-api03-aaaaBBBB11112222",
        "epk_ZmFrZS1rZXktZm9yLXRlc3Rz",
        "AIzaSyA1234567890abcdefghijklmnopq",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJlMTIz",
        "gsk_abcdefghijklmnop1234",
        "ghp_abcdefghijklmnop1234",
    ],
)
def test_keys_are_known_by_their_shape(secret):
    assert redact_text(f"<{secret}>") == f"<{secret[:3]}…{secret[-2:]}>"


@pytest.mark.parametrize(
    "text", ["Bearer abcdef123456", "bearer abc-def-ghi", "Basic dXNlcjpwYXNz", "x-api-key: hunter2hunter", "password=pw"]
)
def test_short_secrets_leave_nothing(text):
    assert "[redacted]" in redact_text(text)


def test_a_session_in_a_query_and_user_info_are_hidden_but_the_rest_of_the_address_stays():
    assert redact_text("GET https://joe:pw@api.example/v1?key=abc&alt=sse") == (
        "GET https://[redacted]@api.example/v1?key=[redacted]&alt=sse"
    )


@pytest.mark.parametrize(
    "text",
    [
        "Upstream stream closed before terminal event: EOF after 361 events",
        "Unexpected token: '<' in JSON",
        "invalid session: it has expired",
        "max_tokens=5 is too large, input_tokens: 12",
        "the key 'model' is missing",
        "task-force, risk-averse, desk-bound",
        "https://api.openai.com/v1/chat/completions?alt=sse",
        "basic support for streams",
        "019a7c3e-41d0-7b21-a4c6-0242ac120002",
    ],
)
def test_ordinary_text_stays_as_it_is(text):
    assert redact_text(text) == text


def test_redacting_twice_changes_nothing():
    value = {"authorization": f"Bearer {LONG}", "text": f"Bearer {LONG} token={LONG} https://a:b@c", "token": "short"}
    once = redact(value)
    assert once["authorization"] == "Bearer sk-…89"
    assert redact(once) == once


def test_below_depth_six_all_is_replaced():
    value: object = LONG
    for _ in range(9):
        value = {"n": value, "list": [1, 2]}
    text = json.dumps(redact(value))
    assert "[too deep]" in text and "sk-" not in text
    six = {"a": {"b": {"c": {"d": {"e": {"f": 1}}}}}}
    assert redact(six) == six
    assert redact({"x": six}) == {"x": {"a": {"b": {"c": {"d": {"e": "[too deep]"}}}}}}


def test_a_long_hostile_text_takes_linear_time():
    for piece in ("token=", '"api_key": "', "Bearer ", "sk-", "eyJa.", "://", "cookie: ", "\\", "aBearer\t\t\t"):
        redact_text("token " + piece * (200_000 // len(piece)))


def test_storable_escapes_what_a_database_refuses():
    cyclic: dict = {}
    cyclic["self"] = cyclic
    stored = storable({"a\x00": "x\x00y", "s": "\ud83d!", 3: float("nan"), "big": 1 << 80, "b": b"\xff", "é": "é"})
    assert stored == {
        "a\\u0000": "x\\u0000y",
        "s": "\\ud83d!",
        "3": "nan",
        "big": str(1 << 80),
        "b": "\\xff",
        "é": "é",
    }
    json.dumps(storable(cyclic))


@given(st.recursive(st.none() | st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_neither_raises_and_both_are_settled_after_one_pass(value):
    once = storable(redact(value))
    assert "\x00" not in repr(once).replace("\\x00", "\x00")
    assert storable(redact(once)) == once


# One text for each rule, in the rules' order: what is around the secret, and the secret.
SAMPLES = (
    ("see https://", "joe:hunter2hunter2@", "api.example/v1"),
    ("sent:\ncookie: ", "a=hunter2hunter2; b=c", "\nand no more"),
    ("curl -H 'cookie: ", "a=hunter2hunter2; b=c", "' --next"),
    ('{"password": "', "hunter2 hunter2 hunter2", '", "n": 1}'),
    ("/v1?key=", "hunter2hunter2hunter2", "&alt=sse"),
    ("with x-api-key: ", "hunter2hunter2hunter2", ", and others"),
    ("as Bearer ", "hunter2hunter2hunter2", " says"),
    ("mine is ", LONG, ", yours?"),
)


def test_each_rule_has_its_sample() -> None:
    assert len(SAMPLES) == len(redaction._RULES)
    for (pattern, *_), sample in zip(redaction._RULES, SAMPLES, strict=True):
        assert pattern.search("".join(sample)), sample


@pytest.mark.parametrize("sample", SAMPLES)
def test_spans_are_what_redaction_masks(sample: tuple[str, str, str]) -> None:
    before, secret, after = sample
    text = "".join(sample)
    assert secret_spans(text) == [(len(before), len(before) + len(secret))]
    masked = redact_text(text)
    assert masked.startswith(before) and masked.endswith(after)
    assert_masked(masked[len(before) : len(masked) - len(after)], secret)


def assert_masked(shown: str, secret: str) -> None:
    assert shown.removesuffix("@") in ("[redacted]", f"{secret[:3]}…{secret[-2:]}"), (shown, secret)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(SAMPLES) | st.text(alphabet="ab12 :='{}", max_size=9), max_size=6))
def test_all_that_lies_between_the_spans_stays(parts: list[tuple[str, str, str] | str]) -> None:
    text = "\n".join("".join(part) for part in parts)
    spans = secret_spans(text)
    edges = [0, *(edge for span in spans for edge in span), len(text)]
    between = [text[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True)]
    found = re.fullmatch("(.+?)".join(re.escape(part) for part in between), redact_text(text), re.DOTALL)
    assert found, (between, redact_text(text))
    for (start, end), shown in zip(spans, found.groups(), strict=True):
        assert_masked(shown, text[start:end])


@settings(max_examples=300, deadline=None)
@given(
    secret=st.one_of(*(st.from_regex(rule) for rule in RULES)),
    before=st.text(max_size=5),
    after=st.text(max_size=5),
)
def test_every_text_that_a_rule_changes_holds_a_needle(secret, before, after):
    text = before + secret + after
    assert redact_text(text) == text or any(needle in text.lower() for needle in NEEDLES)


def test_an_object_that_cannot_be_shown_is_no_failure():
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError

    assert redact({"x": Broken()}) == storable({"x": Broken()}) == {"x": "<Broken that cannot be shown>"}


@pytest.mark.parametrize(
    "text",
    [
        'curl -H "x-api-key: abcdefghijklmnop123456" https://host.example',
        "-H 'Cookie: sessionid=abcdefghijklmnop123456' --next",
        r'{"detail": "was sent:\nsk-abcdefghijklmnop123456"}',
        r'{"detail": "\tBearer abcdefghijklmnop123456"}',
        r'{"detail": "\r\nx-api-key: abcdefghijklmnop123456"}',
        r'{"detail": "\u0022sk-abcdefghijklmnop123456\u0022"}',
    ],
)
def test_a_key_behind_a_quote_or_an_escape_is_masked_too(text: str) -> None:
    assert "cdefghijklmnop" not in redact_text(text)

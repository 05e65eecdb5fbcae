"""What a client says never leads out of the upstream's base address, nor to another model than the one that was allowed."""

from __future__ import annotations

import pytest

from relay.adapters import ADAPTERS
from relay.snapshot import UpstreamSpec
from relay.wire.events import BadField
from relay.wire.question import Question
from relay.wire.registry import DIALECTS

UPSTREAM = UpstreamSpec(1, "up", "openai-chat", "https://host.example/tenant-a/v1")


def question(path: str, tag: str = "chat", body: dict[str, object] | None = None, model: str | None = None) -> Question:
    return Question(DIALECTS[tag], "POST", path, "", b"{}", body, model, main=body is not None)


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("/v1/files/file-1/content", "https://host.example/tenant-a/v1/files/file-1/content"),
        ("/v1/models/meta/llama@2:free", "https://host.example/tenant-a/v1/models/meta/llama@2:free"),
        ("/v1/files/a?b", "https://host.example/tenant-a/v1/files/a%3Fb"),
        ("/v1/files/a#b", "https://host.example/tenant-a/v1/files/a%23b"),
        ("/v1/files/%2e%2e/b", "https://host.example/tenant-a/v1/files/%252e%252e/b"),
        ("/v1/files/a b\\..\\é\n", "https://host.example/tenant-a/v1/files/a%20b%5C..%5C%C3%A9%0A"),
        ("/v1/files/..b/c..", "https://host.example/tenant-a/v1/files/..b/c.."),
    ],
)
def test_a_path_stays_below_the_base_address_and_is_nothing_but_a_path(path: str, address: str) -> None:
    sending = question(path).sending("openai-chat", None)
    assert sending is not None
    url = ADAPTERS["openai-chat"].url(UPSTREAM, sending.path, "limit=1")
    assert str(url) == f"{address}?limit=1"


@pytest.mark.parametrize("path", ["/v1/files/../../../admin", "/v1/./files", "/v1/files/..", "/v1/../x"])
def test_a_path_that_leads_out_is_refused(path: str) -> None:
    with pytest.raises(BadField, match="the path has a segment"):
        question(path).sending("openai-chat", None)


@pytest.mark.parametrize("protocol", ["gemini", "openai-chat"])
def test_a_model_that_leads_to_another_is_refused(protocol: str) -> None:
    model = "gemini-flash/../gemini-pro"
    body = {"model": model, "messages": [{"role": "user", "content": "Hi."}], "contents": []}
    if protocol == "gemini":
        asked = question(f"/v1beta/models/{model}:generateContent", "gemini", body, model)
    else:
        asked = question("/v1/chat/completions", "chat", body, model)
    with pytest.raises(BadField, match="has a segment"):
        asked.sending("gemini", model)


def test_a_model_cannot_cut_the_path_short() -> None:
    model = "cheap#dear?x"
    asked = question("/v1/chat/completions", "chat", {"model": model, "messages": [{"role": "user", "content": "Hi."}]}, model)
    sending = asked.sending("gemini", model)
    assert sending is not None
    url = ADAPTERS["gemini"].url(UpstreamSpec(2, "g", "gemini", "https://g.example/v1beta"), sending.path, sending.query)
    assert url.raw_path == b"/v1beta/models/cheap%23dear%3Fx:generateContent"

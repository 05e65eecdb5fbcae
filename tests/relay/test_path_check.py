"""The check of the path where it meets trouble; where it succeeds is shown over a real gateway (tests/browser)."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from relay import path_check, roles
from relay.models import ClientKey, ConfigVersion
from tests.relay.answering import Answering

pytestmark = [pytest.mark.database, pytest.mark.django_db]


def checked(address: str, key: str = "some-key") -> path_check.Check:
    return path_check.check_path(address, key, "gpt-5", "openai-chat")


def test_a_gateway_that_is_not_there_is_told_so() -> None:
    check = checked("http://127.0.0.1:9")
    assert not check.good
    assert "could not be asked" in check.steps[0].text


def test_a_key_that_no_header_can_carry_is_told_so() -> None:
    check = checked("http://127.0.0.1:9", "schlüssel\n")
    assert not check.good
    assert "schl" not in check.steps[0].text


def test_an_error_is_told_in_its_own_words_without_the_key() -> None:
    with Answering() as server:
        server.says(404, b'{"error": {"message": "no route leads to   gpt-5"}}')
        check = checked(server.base_url.removesuffix("/v1"))
    assert [step.good for step in check.steps] == [True, False]
    assert check.steps[1].text == "The answer is 404: no route leads to gpt-5"
    assert "some-key" not in str(check)


def test_an_answer_that_is_no_stream_is_no_working_path() -> None:
    with Answering() as server:
        server.says(200, b"<html>hello</html>")
        check = checked(server.base_url.removesuffix("/v1"))
    assert not check.good


def test_a_key_for_one_check_ends_with_it() -> None:
    with path_check.passing_key() as key:
        row = ClientKey.known(key)
        assert row is not None
        assert row.expires_at is not None
        version = ConfigVersion.present()
    assert ClientKey.known(key) is None
    assert ConfigVersion.present() > version  # every process forgets it


def test_who_may_not_make_keys_must_bring_one(client: Client, settings: Any) -> None:
    roles.settle()
    viewer = User.objects.create_user("viewer", is_staff=True)
    client.force_login(viewer)
    page = client.post("/admin/setup/", {"model": "gpt-5", "protocol": "openai-chat", "key": ""}).content.decode()
    assert "the check needs one" in page
    assert not ClientKey.objects.exists()
    assert "Make a client key" not in page

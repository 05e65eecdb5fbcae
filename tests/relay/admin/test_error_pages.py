"""What is answered when a page cannot be had: in our words, without a user, a session or a database."""

import pytest
from django.template.loader import render_to_string
from django.test import Client

from tests.people import staff

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("name", ["400", "403", "403_csrf", "404", "500"])
def test_a_page_of_each_kind_needs_nothing_to_be_rendered(name: str, django_assert_num_queries: object) -> None:
    with django_assert_num_queries(0):  # type: ignore[operator]
        page = render_to_string(f"{name}.html")
    assert "To the overview" in page
    assert "<style" not in page
    assert " style=" not in page


def test_a_form_without_its_token_is_told_why() -> None:
    answer = Client(enforce_csrf_checks=True).post("/admin/login/", {"username": "a", "password": "b"})
    assert answer.status_code == 403
    assert "The form is too old" in answer.content.decode()


def test_a_page_that_is_not_for_you_says_so() -> None:
    answer = staff().get("/admin/relay/upstream/")
    assert answer.status_code == 403
    assert "not for your eyes" in answer.content.decode()


def test_a_host_that_is_not_ours_is_told_so(client: Client) -> None:
    answer = client.get("/admin/login/", headers={"host": "evil.example"})
    assert answer.status_code == 400
    assert "ALLOWED_HOSTS" in answer.content.decode()
    assert "evil.example" not in answer.content.decode()

"""The admin against strangers and against those who may not: throttled sign-ins, headers, TLS behind a proxy, roles."""

from collections.abc import Iterator
from typing import Any

import pytest
from axes.utils import reset
from django.contrib.auth.models import Group, Permission, User
from django.test import Client

from relay import roles
from tests.relay.rows import make_key, make_upstream

pytestmark = [pytest.mark.database, pytest.mark.django_db]
PROXY, TLS = "10.0.0.7", {"HTTP_X_FORWARDED_PROTO": "https"}


@pytest.fixture(autouse=True)
def fresh(settings: Any) -> Iterator[None]:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.TRUSTED_PROXIES = [PROXY]
    settings.AXES_FAILURE_LIMIT = 3
    reset()
    yield
    reset()


@pytest.fixture
def user() -> User:
    return User.objects.create_superuser("ada", "", "right")


def sign_in(password: str, *, name: str = "ada", **extra: str) -> Any:
    client = Client()
    answer = client.post("/admin/login/?next=/admin/", {"username": name, "password": password}, **extra)
    return answer, client


# ---- sign-ins


def test_sign_ins_that_fail_are_throttled_by_name_and_address(user: User) -> None:
    for _ in range(2):
        assert sign_in("wrong")[0].status_code == 200
    locked, _ = sign_in("wrong")
    assert locked.status_code == 429
    assert "Too many attempts" in locked.content.decode()
    assert sign_in("right")[0].status_code == 429
    assert sign_in("right", REMOTE_ADDR="192.0.2.9")[0].status_code == 302


def test_a_good_sign_in_forgets_the_bad_ones(user: User) -> None:
    for _ in range(2):
        for _ in range(2):
            sign_in("wrong")
        assert sign_in("right")[0].status_code == 302


def test_an_address_is_believed_from_a_trusted_proxy_alone(user: User) -> None:
    for number in range(3):
        sign_in("wrong", REMOTE_ADDR="192.0.2.1", HTTP_X_FORWARDED_FOR=f"198.51.100.{number}")
    assert sign_in("right", REMOTE_ADDR="192.0.2.1", HTTP_X_FORWARDED_FOR="203.0.113.5")[0].status_code == 429
    for number in range(3):
        sign_in("wrong", REMOTE_ADDR=PROXY, HTTP_X_FORWARDED_FOR=f"9.9.9.9, 198.51.100.{number}")
    assert sign_in("right", REMOTE_ADDR=PROXY, HTTP_X_FORWARDED_FOR="203.0.113.5")[0].status_code == 302


def test_a_password_is_in_no_row_of_a_failed_sign_in(user: User) -> None:
    from axes.models import AccessAttempt

    sign_in("hush-hush")
    (attempt,) = AccessAttempt.objects.all()
    assert "hush-hush" not in str(vars(attempt))


# ---- headers and cookies


@pytest.mark.parametrize("path", ["/admin/login/", "/admin/", "/api/errors/count", "/healthz"])
def test_every_page_carries_the_headers(client: Client, path: str) -> None:
    answer = client.get(path)
    policy = answer["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "same-origin"


def test_behind_tls_cookies_are_secure_and_the_browser_is_told_to_stay(user: User) -> None:
    answer, _ = sign_in("right", REMOTE_ADDR=PROXY, **TLS)
    assert answer["Strict-Transport-Security"] == "max-age=31536000"
    assert {name: bool(cookie["secure"]) for name, cookie in answer.cookies.items()} == {"csrftoken": True, "sessionid": True}
    assert answer.cookies["sessionid"]["httponly"]


@pytest.mark.parametrize("sender", [{}, {"REMOTE_ADDR": "192.0.2.1", **TLS}])
def test_without_tls_or_by_a_strangers_word_they_are_not(user: User, sender: dict[str, str]) -> None:
    answer, _ = sign_in("right", **sender)
    assert "Strict-Transport-Security" not in answer
    assert not answer.cookies["sessionid"]["secure"]


# ---- roles


@pytest.fixture
def member(client: Client) -> Any:
    """Signs a staff user of a role in."""
    roles.settle()

    def made(role: str) -> Client:
        person = User.objects.create_user(role, is_staff=True)
        person.groups.add(Group.objects.get(name=role))
        client.force_login(person)
        return client

    return made


READABLE = ["/admin/", "/admin/errorlog/errorgroup/", "/admin/auditlog/auditentry/", "/admin/relay/upstream/"]
READABLE += ["/admin/relay/credential/", "/admin/relay/route/", "/admin/relay/clientkey/", "/admin/relay/price/"]


@pytest.mark.parametrize("path", READABLE)
@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_both_roles_read_everything_of_the_gateway(member: Any, role: str, path: str) -> None:
    assert member(role).get(path).status_code == 200


def test_a_viewer_changes_nothing(member: Any) -> None:
    upstream, key = make_upstream(), make_key()
    viewer = member("viewer")
    for path in ("upstream/add/", "credential/add/", "route/add/", "clientkey/add/", "price/add/", f"clientkey/{key.pk}/rotate/"):
        assert viewer.get(f"/admin/relay/{path}").status_code == 403, path
    assert viewer.post(f"/admin/relay/upstream/{upstream.pk}/delete/", {"post": "yes"}).status_code == 403
    assert viewer.post(f"/admin/relay/upstream/{upstream.pk}/change/", {"name": "stolen"}).status_code == 403
    refused = viewer.delete("/api/errors")
    assert (refused.status_code, "errorlog.delete_errorgroup" in refused.content.decode()) == (403, True)
    assert viewer.delete("/api/audit/entries").status_code == 403
    assert viewer.patch("/api/audit/state", {"paused": True}, content_type="application/json").status_code == 403


def test_an_operator_configures_but_makes_no_users(member: Any) -> None:
    operator = member("operator")
    assert operator.get("/admin/relay/upstream/add/").status_code == 200
    assert operator.get("/admin/auth/user/").status_code == 403


def test_no_role_sees_payloads(member: Any) -> None:
    roles.settle()
    assert Permission.objects.filter(codename="view_payloads").exists()
    assert not Group.objects.filter(permissions__codename="view_payloads").exists()


def test_a_role_that_was_changed_stays_so() -> None:
    roles.settle()
    Group.objects.get(name="viewer").permissions.clear()
    roles.settle()
    assert not Group.objects.get(name="viewer").permissions.exists()


def test_every_permission_that_a_role_names_exists() -> None:
    known = set(Permission.objects.values_list("content_type__app_label", "codename"))
    named = {(app, code) for role in roles.ROLES.values() for app, codes in role.items() for code in codes}
    assert named <= known

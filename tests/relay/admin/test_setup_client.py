"""Which model the page *Set up a client* fills in: one that a route serves, or a placeholder, but never one that is gone."""

from __future__ import annotations

import re
from html import unescape

import pytest
from django.test import Client

from relay.first_upstreams import settle_demo
from relay.models import Route, Upstream
from tests.relay.rows import make_route, make_upstream

pytestmark = pytest.mark.django_db


def filled_in(client: Client) -> tuple[set[str], str]:
    """What the two fields for a model hold, and the model that the first lines to paste ask for."""
    page = unescape(client.get("/admin/setup/").content.decode())
    fields = [tag for tag in re.findall(r"<input[^>]*>", page) if 'name="model"' in tag]
    assert len(fields) == 2 and all('placeholder="your-model"' in tag for tag in fields)
    values = {found[1] if (found := re.search(r'value="([^"]*)"', tag)) else "" for tag in fields}
    return values, re.findall(r'"model": "([^"]*)"', page)[0]


def test_the_demo_is_filled_in_while_it_is_there(admin_client: Client) -> None:
    settle_demo(4321)
    assert filled_in(admin_client) == ({"demo"}, "demo")


def test_a_model_of_a_route_is_filled_in_once_the_demo_is_gone(admin_client: Client) -> None:
    settle_demo(4321)
    make_route("llama-3", make_upstream("mine"))
    settle_demo(4321)
    assert filled_in(admin_client) == ({"llama-3"}, "llama-3")


def test_an_upstream_that_is_switched_off_serves_nothing(admin_client: Client) -> None:
    make_route("off", make_upstream("off", enabled=False))
    make_route("on", make_upstream("on"))
    assert filled_in(admin_client) == ({"on"}, "on")


def test_where_no_route_says_a_name_there_is_a_placeholder(admin_client: Client) -> None:
    settle_demo(4321)
    Upstream.objects.all().delete()  # by hand; its routes stay, and lead nowhere
    assert Route.objects.filter(model="demo").exists()
    assert filled_in(admin_client) == ({""}, "your-model")
    make_route("my-*", make_upstream("mine"))
    assert filled_in(admin_client) == ({""}, "your-model")

"""The admin site: Django's own, with our first page and our order of the applications."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path

ORDER = ("errorlog", "auditlog", "relay", "auth", "axes")
NAMES = {"axes": "Sign-ins", "auth": "Users and groups"}


class EpitaphAdminSite(AdminSite):
    """What is read stands first, then what is configured, then who may do so."""

    site_title = site_header = "Epitaph"
    index_title = "Overview"
    site_url = None

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """The applications in our order, under names that say what they are for."""
        found = super().get_app_list(request, app_label)
        for app in found:
            app["name"] = NAMES.get(app["app_label"], app["name"])
        place = {label: number for number, label in enumerate(ORDER)}
        return sorted(found, key=lambda app: place.get(app["app_label"], len(ORDER)))

    def get_urls(self) -> list[Any]:
        own = [
            path("setup/", self.admin_view(self.setup_client), name="setup_client"),
            path("go/", self.admin_view(self.go_to), name="go_to"),
        ]
        return [*own, *super().get_urls()]

    def go_to(self, request: HttpRequest) -> HttpResponse:
        """What Ctrl K finds."""
        from relay.admin import go_to

        return go_to.view(request)

    def setup_client(self, request: HttpRequest) -> HttpResponse:
        """Lines to paste into a client, and a check of the whole path."""
        from relay.admin import setup_client

        return setup_client.view(self, request)

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """The overview."""
        from relay.admin import first_page  # registers on this site, so it is imported once the site exists

        return super().index(request, {**first_page.context(request), **(extra_context or {})})

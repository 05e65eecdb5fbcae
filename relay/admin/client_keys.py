"""Client keys: made by us, shown in the one answer that made them, rotated with or without a time for both.

A key travels in that answer's body alone: not in a message (which would lie in a cookie), a log entry or an address.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import models
from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from proxy_project.reader_zone import zone_name
from relay.admin.naming import NamedSplitDateTime
from relay.models import ClientKey, Spend


class RotationForm(forms.Form):
    """How long the present key stays valid beside the new one."""

    HOURS = ((0, "Revoke it at once"), (1, "One hour"), (24, "One day"), (168, "One week"), (720, "30 days"))

    hours = forms.TypedChoiceField(
        label="The present key stays valid for",
        choices=HOURS,
        coerce=int,
        initial=24,
        widget=forms.RadioSelect,
    )
    until = forms.SplitDateTimeField(
        label="or until",
        required=False,
        widget=NamedSplitDateTime(),
        help_text="When given, it decides.",
    )

    def clean_until(self) -> datetime | None:
        until = self.cleaned_data["until"]
        if until is not None and until <= timezone.now():
            raise forms.ValidationError("This time is over; to end the key now, leave it empty and revoke at once.")
        return until

    def end_of_present_key(self) -> datetime | None:
        """When the present key ends; None: at once."""
        if self.cleaned_data["until"]:
            return self.cleaned_data["until"]
        hours = self.cleaned_data["hours"]
        return timezone.now() + timedelta(hours=hours) if hours else None


@admin.register(ClientKey)
class ClientKeyAdmin(admin.ModelAdmin):
    list_display = ("label", "hint", "state", "limits", "allowed", "expires_at", "rotated_at", "created_at")
    list_filter = ("enabled",)
    search_fields = ("label", "hint")
    fields = (
        "label",
        "enabled",
        "expires_at",
        "allowed_models",
        "max_concurrency",
        "tokens_per_day",
        "used_today",
        "hint",
        "state",
        "created_at",
        "rotated_at",
    )
    readonly_fields = ("used_today", "hint", "state", "created_at", "rotated_at")
    change_form_template = "admin/relay/clientkey/change_form.html"
    formfield_overrides = {models.DateTimeField: {"widget": NamedSplitDateTime}}

    def get_fields(self, request: HttpRequest, obj: ClientKey | None = None) -> Any:
        return self.fields if obj else ("label", "expires_at", "allowed_models", "max_concurrency", "tokens_per_day")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ClientKey]:
        """With what each key used today, which is one look-up in a unique index a row."""
        today = Spend.objects.filter(client_key=OuterRef("pk"), day=datetime.now(UTC).date())
        return super().get_queryset(request).annotate(tokens_today=Coalesce(Subquery(today.values("tokens")), 0))

    @admin.display(description="limits")
    def limits(self, key: ClientKey) -> str:
        said = []
        if key.max_concurrency is not None:
            said.append(f"{key.max_concurrency:,} at once")
        if key.tokens_per_day is not None:
            said.append(f"{_used(key):,} of {key.tokens_per_day:,} tokens used today")
        return ", ".join(said) or "none"

    @admin.display(description="may ask for")
    def allowed(self, key: ClientKey) -> str:
        return ", ".join(key.allowed_globs) or "every model"

    @admin.display(description="tokens used today")
    def used_today(self, key: ClientKey) -> str:
        if key.tokens_per_day is None:
            return "not counted without a limit"
        return f"{_used(key):,} of {key.tokens_per_day:,}" + (": used up until 00:00 UTC" if _over_budget(key) else "")

    @admin.display(description="state")
    def state(self, key: ClientKey) -> str:
        now = timezone.now()
        if not key.enabled:
            return "off"
        if key.expires_at and key.expires_at <= now:
            return "expired"
        stands = "over budget until 00:00 UTC" if _over_budget(key) else "ready"
        if key.previous_expires_at and key.previous_expires_at > now:
            until = timezone.localtime(key.previous_expires_at)
            return f"{stands}; the earlier key {key.previous_hint} until {until:%-d %b %Y, %H:%M} {zone_name()}"
        return stands

    def save_model(self, request: HttpRequest, obj: ClientKey, form: Any, change: bool) -> None:
        if not change:
            request.new_client_key = obj.rotate()  # type: ignore[attr-defined]  # for response_add, in this request alone
            obj.rotated_at = None
        super().save_model(request, obj, form, change)

    def response_add(self, request: HttpRequest, obj: ClientKey, post_url_continue: str | None = None) -> HttpResponse:
        return self._show_once(request, obj, request.new_client_key, "created")  # type: ignore[attr-defined]

    def get_urls(self) -> list[URLPattern]:
        rotate = path("<path:object_id>/rotate/", self.admin_site.admin_view(self.rotate_view), name="relay_clientkey_rotate")
        return [rotate, *super().get_urls()]

    def rotate_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        key = self.get_object(request, object_id)
        if key is None:
            raise Http404("no such client key")
        if not self.has_change_permission(request, key):
            raise PermissionDenied
        form = RotationForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            end = form.end_of_present_key()
            fresh = key.rotate(end)
            key.save()
            said = f"valid until {end:%Y-%m-%d %H:%M} UTC" if end else "revoked at once"
            self.log_change(request, key, f"Rotated; the earlier key {key.previous_hint} {said}.")
            return self._show_once(request, key, fresh, "rotated")
        context = {
            **self.admin_site.each_context(request),
            "title": f"Rotate the key of {key.label}",
            "opts": self.opts,
            "key": key,
            "form": form,
            "media": self.media + form.media,
        }
        return TemplateResponse(request, "admin/relay/clientkey/rotate.html", context)

    def _show_once(self, request: HttpRequest, key: ClientKey, secret: str, done: str) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": f"The key of {key.label} was {done}",
            "opts": self.opts,
            "key": key,
            "secret": secret,
            "list_url": reverse("admin:relay_clientkey_changelist", current_app=self.admin_site.name),
        }
        return TemplateResponse(request, "admin/relay/clientkey/shown_once.html", context)


def _used(key: ClientKey) -> int:
    """The tokens that a key, as `get_queryset` finds it, has used today."""
    return key.tokens_today  # type: ignore[attr-defined]


def _over_budget(key: ClientKey) -> bool:
    return key.tokens_per_day is not None and _used(key) >= key.tokens_per_day

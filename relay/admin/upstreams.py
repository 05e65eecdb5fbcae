"""Upstreams and their credentials: secrets that can be set but not seen, and a button that tries one."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from relay import trial, validation
from relay.admin.naming import NamedFormSet
from relay.models import Credential, Upstream
from relay.vault import UnreadableSecret

MOST_TRIALS = 10  # at once: each may take some seconds


class CredentialForm(forms.ModelForm):
    """A credential whose secret is write-only: never sent to the browser, kept when the field is left empty."""

    secret = forms.CharField(
        required=False,
        strip=True,
        max_length=8192,
        validators=[validation.secret],
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "new-password", "size": 40}),
        help_text="Kept encrypted and never shown again. Empty: the one that is kept stays.",
    )

    class Meta:
        model = Credential
        fields = ("upstream", "label", "enabled", "max_concurrency", "proxy")

    def clean_secret(self) -> str:
        secret = self.cleaned_data["secret"]
        if not secret and not self.instance.sealed_secret:
            raise forms.ValidationError("A new credential needs its secret.")
        return secret

    def save(self, commit: bool = True) -> Credential:
        if self.cleaned_data["secret"]:
            self.instance.set_secret(self.cleaned_data["secret"])
        return super().save(commit)


class CredentialInline(admin.TabularInline):
    model = Credential
    form = CredentialForm
    formset = NamedFormSet
    fields = ("label", "secret", "enabled", "max_concurrency", "state")
    readonly_fields = ("state",)
    extra = 0
    show_change_link = True

    @admin.display(description="state")
    def state(self, credential: Credential) -> str:
        return marked(describe(credential)) if credential.pk else "–"


@admin.register(Upstream)
class UpstreamAdmin(admin.ModelAdmin):
    list_display = ("name", "protocol", "base_url", "enabled", "credential_count", "served_models")
    list_filter = ("protocol", "enabled")
    search_fields = ("name", "base_url")
    inlines = (CredentialInline,)
    fieldsets = (
        (None, {"fields": ("name", "protocol", "base_url", "enabled")}),
        (
            "Times",
            {
                "fields": (
                    ("connect_timeout", "first_byte_timeout"),
                    ("idle_timeout", "stalled_timeout"),
                    ("total_timeout", "write_timeout"),
                    "commit_after",
                ),
                "description": "All in seconds. A request keeps the times with which it began.",
            },
        ),
        ("Network", {"fields": ("proxy", "ca_bundle"), "classes": ("collapse",)}),
        ("Usage", {"fields": ("ask_for_usage",), "classes": ("collapse",)}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Upstream]:
        return super().get_queryset(request).prefetch_related("credentials", "steps__route")

    @admin.display(description="credentials")
    def credential_count(self, upstream: Upstream) -> str:
        credentials = list(upstream.credentials.all())
        usable = sum(credential.enabled for credential in credentials)
        if not credentials:
            return "none (asks for none)"
        return str(usable) if usable == len(credentials) else f"{usable} of {len(credentials)} on"

    @admin.display(description="serves")
    def served_models(self, upstream: Upstream) -> str:
        return ", ".join(step.route.model for step in upstream.steps.all()) or "no route leads here"


@admin.register(Credential)
class CredentialAdmin(admin.ModelAdmin):
    form = CredentialForm
    list_display = ("label", "upstream", "enabled", "state", "last_failure", "last_failure_at", "secret_set_at")
    list_filter = ("upstream", "enabled")
    list_select_related = ("upstream",)
    search_fields = ("label", "upstream__name")
    fields = (
        "upstream",
        "label",
        "secret",
        "enabled",
        "max_concurrency",
        "proxy",
        "state",
        "secret_set_at",
        "last_failure",
        "last_failure_at",
    )
    readonly_fields = ("state", "secret_set_at", "last_failure", "last_failure_at")
    actions = ("test_credentials",)

    @admin.display(description="state")
    def state(self, credential: Credential) -> str:
        return marked(describe(credential)) if credential.pk else "–"

    @admin.action(description="Test the selected credentials (one cheap call each)", permissions=["change"])
    def test_credentials(self, request: HttpRequest, chosen: QuerySet[Credential]) -> None:
        credentials = list(chosen.select_related("upstream")[: MOST_TRIALS + 1])
        if len(credentials) > MOST_TRIALS:
            self.message_user(request, f"At most {MOST_TRIALS} credentials are tested at once.", messages.ERROR)
            return
        self._test(request, credentials)

    def response_change(self, request: HttpRequest, obj: Credential) -> HttpResponse:
        if "_test" not in request.POST:
            return super().response_change(request, obj)
        self._test(request, [obj])
        return HttpResponseRedirect(request.path)

    def _test(self, request: HttpRequest, credentials: Iterable[Credential]) -> None:
        for credential in credentials:
            found = trial.try_credential(credential)
            level = messages.SUCCESS if found.good else messages.ERROR
            self.message_user(request, f"{credential}: {found.text} ({found.duration * 1000:.0f} ms)", level)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        only = Upstream.objects.all()[:2]
        return {"upstream": only[0].pk} if len(only) == 1 else {}


def describe(credential: Credential) -> str:
    """How a credential stands, in a few words."""
    try:
        credential.reveal()
    except UnreadableSecret:
        return "cannot be read: SECRET_KEY changed? Set the secret again"
    if not credential.enabled:
        return "off"
    if credential.cooling_until and credential.cooling_until > timezone.now():
        return f"{cools(credential, timezone.now())}: tried last"
    return "ready"


def cools(credential: Credential, now: datetime) -> str:
    """How long a credential that cools goes on doing so; at most a minute, so in seconds."""
    left = (credential.cooling_until - now).total_seconds() if credential.cooling_until else 0
    return f"cooling, again in {max(round(left), 1)} s"


def marked(state: str) -> SafeString:
    """The state in the colour of how it stands: ready, cooling, or in need of somebody."""
    css = {"ready": "healthy", "off": "off"}.get(state, "cooling" if state.startswith("cooling") else "degraded")
    return format_html('<span class="ep-health-state h-{}">{}</span>', css, state)

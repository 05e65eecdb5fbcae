"""The page *Set up a client*: this gateway's address, lines to paste, and a button that tries the whole path."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from relay.admin.snippets import KEY, snippets
from relay.bootstrap import own_address
from relay.first_upstreams import NO_MODEL, named_models
from relay.models import Protocol
from relay.path_check import Check, check_path, passing_key

MAY_MAKE_KEYS = "relay.add_clientkey"
CHECKED = [choice for choice in Protocol.choices if choice[0] != Protocol.OLLAMA]


class CheckForm(forms.Form):
    """What to try the path with."""

    model = forms.CharField(
        max_length=200, widget=forms.TextInput(attrs={"list": "models", "autocomplete": "off", "placeholder": NO_MODEL})
    )
    protocol = forms.ChoiceField(label="As a client of", choices=CHECKED)
    key = forms.CharField(
        label="Client key",
        required=False,
        max_length=500,
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "off"}),
    )

    def __init__(self, *args: Any, may_make_keys: bool, **options: Any) -> None:
        super().__init__(*args, **options)
        self.may_make_keys = may_make_keys
        self.fields["key"].help_text = (
            "Empty: a key is made for this check and deleted after it." if may_make_keys else "The key that the client will use."
        )

    def clean_key(self) -> str:
        key = self.cleaned_data["key"]
        if not key and not self.may_make_keys:
            raise forms.ValidationError("You may not make client keys, so the check needs one.")
        return key


def view(site: AdminSite, request: HttpRequest) -> HttpResponse:
    """The page, and the answer to its button."""
    known = named_models()
    model, protocol = next(iter(known.items()), ("", Protocol.OPENAI_CHAT.value))
    initial = {"model": request.GET.get("model", "")[:200] or model, "protocol": protocol}
    may = request.user.has_perm(MAY_MAKE_KEYS)
    form = CheckForm(request.POST or None, initial=initial, may_make_keys=may)
    check: Check | None = None
    if request.method == "POST" and form.is_valid():
        check = _checked(form.cleaned_data)
        initial["model"] = form.cleaned_data["model"]
    address = request.build_absolute_uri("/").rstrip("/")
    context = {
        **site.each_context(request),
        "title": "Set up a client",
        "address": address,
        "own_address": own_address(),
        "variable": KEY,
        "model": initial["model"],
        "models": known,
        "no_model": NO_MODEL,
        "snippets": snippets(address, initial["model"] or NO_MODEL),
        "form": form,
        "check": check,
    }
    return TemplateResponse(request, "admin/epitaph/setup_client.html", context)


def _checked(asked: dict[str, Any]) -> Check:
    if asked["key"]:
        return check_path(own_address(), asked["key"], asked["model"], asked["protocol"])
    with passing_key() as key:
        return check_path(own_address(), key, asked["model"], asked["protocol"])

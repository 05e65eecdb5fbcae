"""How long a group is muted when none of the offered times fits: until a moment, or until so many events in a period."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils import timezone

from errorlog.models import GroupQuerySet

PERIODS = [(3600, "an hour"), (86_400, "a day"), (7 * 86_400, "a week")]


class MuteForm(forms.Form):
    """Either `until`, in the reader's time, or `events` within `seconds`; with both, whichever comes first ends it."""

    until = forms.DateTimeField(required=False)
    events = forms.IntegerField(required=False, min_value=1, max_value=1_000_000)
    seconds = forms.TypedChoiceField(choices=PERIODS, coerce=int, empty_value="3600", required=False)

    def clean_until(self) -> Any:
        until = self.cleaned_data["until"]
        if until is not None and until <= timezone.now():
            raise forms.ValidationError("The time to mute until has passed.")
        return until

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if not self.errors and not given.get("until") and not given.get("events"):
            raise forms.ValidationError("Say until when, or until how many events.")
        return given

    def mute(self, groups: GroupQuerySet) -> int:
        """Mutes `groups` as the valid form says."""
        given = self.cleaned_data
        seconds = int(given["seconds"]) if given["events"] else None
        return groups.mute(until=given["until"], events=given["events"], seconds=seconds)

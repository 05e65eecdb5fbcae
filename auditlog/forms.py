"""The form of what is recorded: the share of normal completions as a percentage, what is kept, for how long."""

from __future__ import annotations

from typing import Any

from django import forms

from auditlog.models import RecordingState


class RecordingForm(forms.ModelForm):
    """Only what was changed is asked for, so that two people who change different things both get them."""

    percent = forms.DecimalField(
        label="Normal completions that are kept, %",
        min_value=0,
        max_value=100,
        decimal_places=4,
        help_text="Whatever ended otherwise is always kept.",
    )

    class Meta:
        model = RecordingState
        fields = ["enabled", "percent", "capacity", "keep_days", "capture", "payload_days"]
        labels = {
            "enabled": "Record requests",
            "capacity": "Entries that are kept",
            "keep_days": "Days that they are kept",
            "capture": "Capture payloads",
            "payload_days": "Days that payloads are kept",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["percent"].initial = f"{self.instance.sampling * 100:g}"
        self.fields["enabled"].help_text = "Requests that are not recorded are counted."
        self.fields["capacity"].help_text = "The oldest go first. Empty for no limit. Lowering it trims at once."
        self.fields["keep_days"].help_text = "Empty for no limit."
        self.fields["capture"].help_text = "What clients ask and are sent, redacted, at most 64 KiB of each. Shown by permission."
        self.fields["payload_days"].help_text = ""

    def asked(self) -> dict[str, Any]:
        """The rules that were changed."""
        given = {name: self.cleaned_data[name] for name in self.changed_data}
        if "percent" in given:
            given["sampling"] = float(given.pop("percent")) / 100
        return given

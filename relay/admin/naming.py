"""Names for controls that Django's admin leaves without one: rows inside a table, and the halves of a date with time.

Who cannot see the column's heading hears these.
"""

from typing import Any

from django.contrib.admin.widgets import AdminSplitDateTime
from django.forms import BaseInlineFormSet, ModelForm


class NamedFormSet(BaseInlineFormSet):
    """Rows in a table: each control carries its column's name."""

    def add_fields(self, form: ModelForm, index: int | None) -> None:
        super().add_fields(form, index)
        for name, field in form.fields.items():
            field.widget.attrs.setdefault("aria-label", str(field.label or name.replace("_", " ").capitalize()))


class NamedSplitDateTime(AdminSplitDateTime):
    """A date and a time, each with a name."""

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        for part, label in zip(context["widget"]["subwidgets"], ("Date", "Time"), strict=True):
            part["attrs"]["aria-label"] = label
        return context

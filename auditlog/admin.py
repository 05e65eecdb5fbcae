"""The Audit view: every request, newest first; a row opens on its ending and its evidence."""

import json

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from auditlog.models import AuditEntry


@admin.register(AuditEntry)
class AuditEntryAdmin(admin.ModelAdmin):
    list_display = [
        "request_id",
        "time",
        "ending",
        "cause",
        "fault",
        "model",
        "provider",
        "client_key",
        "status",
        "duration_ms",
    ]
    list_filter = ["outcome", "fault", "direction", "drill"]
    search_fields = ["request_id", "client_request_id", "error", "model"]
    ordering = ["-time", "-id"]
    show_full_result_count = False
    exclude = ["evidence", "payloads"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: AuditEntry | None = None) -> bool:
        return False

    def get_fields(self, request: HttpRequest, obj: AuditEntry | None = None) -> list[str]:
        names = [field.name for field in AuditEntry._meta.fields if field.name not in ("evidence", "payloads")]
        return ["error_event", *names, "evidence_json"]

    def get_readonly_fields(self, request: HttpRequest, obj: AuditEntry | None = None) -> list[str]:
        return self.get_fields(request, obj)

    @admin.display(description="Outcome", ordering="outcome")
    def ending(self, entry: AuditEntry) -> str:
        return entry.outcome or "in flight"

    @admin.display(description="Error event")
    def error_event(self, entry: AuditEntry) -> str:
        if not entry.error:
            return "none"
        address = reverse("admin:errorlog_errorgroup_changelist")
        return format_html('<a href="{}?q={}">{}</a>', address, entry.request_id, entry.error)

    @admin.display(description="Evidence")
    def evidence_json(self, entry: AuditEntry) -> str:
        return format_html("<pre>{}</pre>", json.dumps(entry.evidence, indent=2))

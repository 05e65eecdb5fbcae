"""The two groups that a gateway begins with: *viewer* reads, *operator* also configures and decides.

Neither may see captured payloads (`auditlog.view_payloads`): what users said is shown to those who are given that
permission by name. Users and groups are the administrator's. A group that exists is left as it is.
"""

from __future__ import annotations

from django.contrib.auth.models import Group, Permission

VIEWER: dict[str, tuple[str, ...]] = {
    "errorlog": ("view_errorgroup", "view_errorevent"),
    "auditlog": ("view_auditentry", "view_recordingstate"),
    "relay": ("view_upstream", "view_credential", "view_route", "view_routeupstream", "view_clientkey", "view_price"),
}
CONFIGURED = ("upstream", "credential", "route", "routeupstream", "clientkey", "price")
OPERATOR: dict[str, tuple[str, ...]] = {
    "errorlog": (*VIEWER["errorlog"], "change_errorgroup", "delete_errorgroup", "delete_errorevent"),
    "auditlog": (*VIEWER["auditlog"], "change_recordingstate", "end_stream"),
    "relay": (*VIEWER["relay"], *(f"{action}_{model}" for model in CONFIGURED for action in ("add", "change", "delete"))),
}
ROLES = {"viewer": VIEWER, "operator": OPERATOR}


def settle() -> None:
    """Create the groups that are missing. Needs the permissions, which Django makes after migrating."""
    for name, wanted in ROLES.items():
        group, made = Group.objects.get_or_create(name=name)
        if made:
            for app, codenames in wanted.items():
                group.permissions.add(*Permission.objects.filter(content_type__app_label=app, codename__in=codenames))

"""An entry as JSON says it: every column at the top, `evidence` an object. The same in the API, the exports and the page.

What must stay true: captured payloads are never part of it; they have a permission of their own.
"""

from __future__ import annotations

import json
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder

from auditlog.models import AuditEntry

COLUMNS = tuple(field.attname for field in AuditEntry._meta.concrete_fields if field.attname not in ("id", "payloads"))


def flat(entry: AuditEntry) -> dict[str, Any]:
    """The entry's columns by name; what is not known is None."""
    return {"id": str(entry.pk)} | {name: getattr(entry, name) for name in COLUMNS}


def as_json(value: Any, indent: int | None = None) -> str:
    """JSON text, dates in ISO 8601."""
    return json.dumps(value, indent=indent, ensure_ascii=False, cls=DjangoJSONEncoder)

"""Causes and faults are indexed only where there is one; what is abnormal, and what the gateway asked itself, have indexes of
their own. On PostgreSQL the writer goes on meanwhile; ten million entries take about two minutes."""

from django.db import migrations, models
from django.db.models import Q

from proxy_project.large_tables import AddIndex, RemoveIndex

ABNORMAL = Q(outcome__isnull=False) & ~Q(outcome="completed") & ~Q(outcome="incomplete") & ~Q(outcome="rejected")


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("auditlog", "0002_capture")]

    operations = [
        AddIndex("auditentry", models.Index(fields=["cause", "time", "id"], name="audit_caused", condition=Q(cause__isnull=False))),
        AddIndex("auditentry", models.Index(fields=["fault", "time", "id"], name="audit_faulty", condition=Q(fault__isnull=False))),
        AddIndex("auditentry", models.Index(fields=["time", "id"], name="audit_abnormal", condition=ABNORMAL)),
        AddIndex("auditentry", models.Index(fields=["time", "id"], name="audit_egress", condition=Q(direction="egress"))),
        RemoveIndex("auditentry", "audit_cause"),
        RemoveIndex("auditentry", "audit_fault"),
    ]

"""Indexes of large tables are changed beside a writer, and a change that was broken off can be begun again."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.db import connection

from auditlog.models import AuditEntry

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


def indexes() -> set[str]:
    with connection.cursor() as cursor:
        known = connection.introspection.get_constraints(cursor, AuditEntry._meta.db_table)
    return {name for name, found in known.items() if found["index"]}


def test_indexes_go_back_and_forth_also_where_some_are_there_already() -> None:
    mine = {index.name for index in AuditEntry._meta.indexes}
    assert mine <= indexes()
    call_command("migrate", "auditlog", "0002", verbosity=0)
    try:
        assert {"audit_cause", "audit_fault"} <= indexes()
        assert "audit_caused" not in indexes()
        with connection.cursor() as cursor:  # what a broken-off run leaves: one built, one dropped
            cursor.execute("CREATE INDEX audit_caused ON auditlog_auditentry (cause)")
            cursor.execute("DROP INDEX audit_fault")
    finally:
        call_command("migrate", "auditlog", verbosity=0)
    assert mine <= indexes()
    assert not {"audit_cause", "audit_fault"} & indexes()

"""Changes of the indexes of large tables that let the writer go on: for migrations, which must not be atomic then.

PostgreSQL builds and drops them CONCURRENTLY; SQLite has one writer anyway. What was broken off can be begun again: an
index is built anew where one of its name is left (on PostgreSQL it may be an invalid one), and dropped where there is one.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations, models


class AddIndex(migrations.AddIndex):
    """As Django's, beside a writer."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        model = to_state.apps.get_model(app_label, self.model_name)
        if self.allow_migrate_model(schema_editor.connection.alias, model):
            _build(schema_editor, model, self.index)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        model = from_state.apps.get_model(app_label, self.model_name)
        if self.allow_migrate_model(schema_editor.connection.alias, model):
            _drop(schema_editor, model, self.index)


class RemoveIndex(migrations.RemoveIndex):
    """As Django's, beside a writer."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        model = from_state.apps.get_model(app_label, self.model_name)
        if self.allow_migrate_model(schema_editor.connection.alias, model):
            _drop(schema_editor, model, from_state.models[app_label, self.model_name_lower].get_index_by_name(self.name))

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        model = to_state.apps.get_model(app_label, self.model_name)
        if self.allow_migrate_model(schema_editor.connection.alias, model):
            _build(schema_editor, model, to_state.models[app_label, self.model_name_lower].get_index_by_name(self.name))


def _build(schema_editor: Any, model: type[models.Model], index: models.Index) -> None:
    _drop(schema_editor, model, index)
    schema_editor.add_index(model, index, **_beside_a_writer(schema_editor))


def _drop(schema_editor: Any, model: type[models.Model], index: models.Index) -> None:
    with schema_editor.connection.cursor() as cursor:
        known = schema_editor.connection.introspection.get_constraints(cursor, model._meta.db_table)
    if index.name in known:
        schema_editor.remove_index(model, index, **_beside_a_writer(schema_editor))


def _beside_a_writer(schema_editor: Any) -> dict[str, bool]:
    return {"concurrently": True} if schema_editor.connection.vendor == "postgresql" else {}

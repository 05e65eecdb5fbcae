import django.db.models.deletion
from django.db import migrations, models


def by_id(apps, schema_editor):
    """What is on record under a label goes to the key that has it; what no key has any more goes."""
    keys = dict(apps.get_model("relay", "ClientKey").objects.values_list("label", "pk"))
    spends = apps.get_model("relay", "Spend").objects
    for row in spends.all():
        spends.filter(pk=row.pk).update(client_key=keys.get(row.label))
    spends.filter(client_key=None).delete()


def by_label(apps, schema_editor):
    labels = dict(apps.get_model("relay", "ClientKey").objects.values_list("pk", "label"))
    spends = apps.get_model("relay", "Spend").objects
    for row in spends.all():
        spends.filter(pk=row.pk).update(label=labels.get(row.client_key_id, ""))


def key(**options):
    return models.ForeignKey(
        db_constraint=False,
        db_index=False,
        on_delete=django.db.models.deletion.CASCADE,
        related_name="+",
        to="relay.clientkey",
        **options,
    )


class Migration(migrations.Migration):

    dependencies = [
        ("relay", "0008_quotas"),
    ]

    operations = [
        migrations.RemoveConstraint("spend", "spend_of_a_day_stands_once"),
        migrations.RenameField("spend", "client_key", "label"),
        migrations.AlterField("spend", "label", models.CharField(max_length=100, default="")),
        migrations.AddField("spend", "client_key", key(null=True)),
        migrations.RunPython(by_id, by_label),
        migrations.RemoveField("spend", "label"),
        migrations.AlterField("spend", "client_key", key()),
        migrations.AddConstraint(
            "spend", models.UniqueConstraint(fields=("client_key", "day"), name="spend_of_a_day_stands_once")
        ),
    ]

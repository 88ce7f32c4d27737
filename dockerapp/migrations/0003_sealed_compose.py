"""Compose files lie sealed: people write passwords into them."""

from collections.abc import Callable
from typing import Any

from django.db import migrations, models

from compute.sealing import seal, unseal


def _secure(connection: Any) -> None:
    if connection.vendor == "sqlite":
        # What is written over is zeroed, not left in free pages.
        connection.cursor().execute("PRAGMA secure_delete=ON")


def _deployments(apps: Any, connection: Any, made: Callable[[str], Any]) -> None:
    operations = apps.get_model("compute", "Operation").objects.using(connection.alias)
    for pk, params in list(operations.filter(action="stack.deploy").values_list("pk", "params")):
        if params.get("compose"):
            operations.filter(pk=pk).update(params={**params, "compose": made(params["compose"])})


def forwards(apps: Any, schema_editor: Any) -> None:
    connection = schema_editor.connection
    _secure(connection)
    stacks = apps.get_model("dockerapp", "Stack").objects.using(connection.alias)
    for row in stacks.all():
        stacks.filter(pk=row.pk).update(compose="", compose_sealed=seal(row.compose))
    _deployments(apps, connection, seal)


def backwards(apps: Any, schema_editor: Any) -> None:
    connection = schema_editor.connection
    stacks = apps.get_model("dockerapp", "Stack").objects.using(connection.alias)
    for row in stacks.all():
        stacks.filter(pk=row.pk).update(compose=unseal(row.compose_sealed) or "", compose_sealed="")
    _deployments(apps, connection, unseal)


class Migration(migrations.Migration):
    dependencies = [
        ("dockerapp", "0002_registries"),
        ("compute", "0028_sealed_variables"),
    ]

    operations = [
        migrations.AddField(
            model_name="stack",
            name="compose_sealed",
            field=models.TextField(blank=True, default="", editable=False),
            preserve_default=False,
        ),
        migrations.RunPython(forwards, backwards),
        migrations.RemoveField(model_name="stack", name="compose"),
    ]

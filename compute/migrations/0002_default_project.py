"""Every site has one project from the start, so that small sites never see projects at all."""

from typing import Any

from django.db import migrations


def forwards(apps: Any, schema_editor: Any) -> None:
    apps.get_model("compute", "Project").objects.get_or_create(is_default=True, defaults={"name": "default"})


class Migration(migrations.Migration):
    dependencies = [("compute", "0001_initial")]
    operations = [migrations.RunPython(forwards, migrations.RunPython.noop)]

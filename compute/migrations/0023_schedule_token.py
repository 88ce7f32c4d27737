"""A schedule that was written with a personal token knows which one."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models

from compute.states import TOKEN_SCOPES


def tokens_find(apps: Any, schema_editor: Any) -> None:
    """Of those written before, the one token of the owner that lets through what was kept. Where there is none,
    or several, nobody knows, and the schedule is paused until somebody resumes it."""
    Schedule, ApiToken = apps.get_model("compute", "Schedule"), apps.get_model("compute", "ApiToken")
    for row in Schedule.objects.filter(scope__isnull=False, token_uid=None):
        found = [
            token for token in ApiToken.objects.filter(user_id=row.owner_id) if _kept(token) == row.scope
        ]
        if len(found) == 1:
            Schedule.objects.filter(pk=row.pk).update(token_uid=found[0].pk)


def _kept(token: Any) -> dict[str, Any]:
    words = {right.value for word in token.scopes for right in TOKEN_SCOPES.get(word, ())}
    projects = None if token.project_uids is None else sorted(token.project_uids)
    return {"permissions": sorted(words), "projects": projects}


class Migration(migrations.Migration):
    dependencies = [("compute", "0022_alert_kinds")]

    operations = [
        migrations.AddField(
            model_name="schedule",
            name="token_uid",
            field=models.UUIDField(db_index=True, editable=False, null=True),
        ),
        migrations.RunPython(tokens_find, migrations.RunPython.noop),
    ]

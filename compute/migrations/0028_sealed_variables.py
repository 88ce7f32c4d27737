"""What answers mask of a container's variables lies sealed from now on: seal what lies open. The pattern is
that of the day; what it does not know is sealed when the instance is next looked at."""

import re
from collections.abc import Callable
from typing import Any

from django.db import migrations

from compute.sealing import seal, unseal

_MAPPINGS = ("env", "log_options")
_SECRET = re.compile(
    r"pass|secret|token|(?:api|access)_?key|[_-]key$|[_-]pwd$|private|credential|auth|dsn|database_url",
    re.IGNORECASE,
)
_WITHIN_ADDRESS = re.compile(r"://[^/\s@:]{0,200}:[^/\s@]{1,200}@")
_WITH_CONFIG = ("instance.create", "instance.recreate")


def _sealed(key: str, value: Any) -> Any:
    if not value or isinstance(value, dict):
        return value
    return {"sealed": seal(value)} if _SECRET.search(key) or _WITHIN_ADDRESS.search(str(value)) else value


def _opened(key: str, value: Any) -> Any:
    return unseal(value["sealed"]) if isinstance(value, dict) else value


def _each(config: dict[str, Any], made: Callable[[str, Any], Any]) -> dict[str, Any]:
    kept = [name for name in _MAPPINGS if isinstance(config.get(name), dict)]
    return {**config, **{name: {k: made(k, v) for k, v in config[name].items()} for name in kept}}


def _all(apps: Any, schema_editor: Any, made: Callable[[str, Any], Any]) -> None:
    connection = schema_editor.connection
    if connection.vendor == "sqlite":
        # What is written over is zeroed, not left in free pages.
        connection.cursor().execute("PRAGMA secure_delete=ON")
    instances = apps.get_model("compute", "Instance").objects.using(connection.alias)
    for pk, config in list(instances.values_list("pk", "config")):
        changed = _each(config or {}, made)
        if changed != config:
            instances.filter(pk=pk).update(config=changed)
    operations = apps.get_model("compute", "Operation").objects.using(connection.alias)
    asked = operations.filter(action__in=_WITH_CONFIG).values_list("pk", "params")
    for pk, params in list(asked):
        changed = {**params, "config": _each(params.get("config") or {}, made)}
        if "config" in params and changed != params:
            operations.filter(pk=pk).update(params=changed)


def forwards(apps: Any, schema_editor: Any) -> None:
    _all(apps, schema_editor, _sealed)


def backwards(apps: Any, schema_editor: Any) -> None:
    _all(apps, schema_editor, _opened)


class Migration(migrations.Migration):
    dependencies = [("compute", "0027_adoption_rule_token")]

    operations = [migrations.RunPython(forwards, backwards)]

"""Standing rules of adoption from before 0027, which kept the token that one was written with.

The audit says of each how it was written last. Of those written with a personal token it is the owner's one
token, if there is just one; else the rule rests until somebody saves it and thereby owns it.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations
from django.utils import timezone

from compute.states import TOKEN_SCOPES

ASK = (
    "{} wrote it with a personal token, before LibGo kept with which. It rests: whoever saves it is its owner."
)
UNKNOWN = "{} wrote it before LibGo kept with which token. It acts with all rights of {}: save it once."
_WRITTEN = ("adoption_rule.create", "adoption_rule.update")


def tokens_find(apps: Any, schema_editor: Any) -> None:
    Rule, Audit = apps.get_model("compute", "AdoptionRule"), apps.get_model("compute", "AuditEvent")
    Token = apps.get_model("compute", "ApiToken")
    for rule in Rule.objects.filter(scope__isnull=True, token_uid=None).exclude(owner=None).select_related("owner"):
        written = Audit.objects.filter(target_uid=rule.pk, action__in=_WRITTEN).order_by("-pk").first()
        if written is not None and written.method != "token":
            continue
        name, tokens = rule.owner.username, list(Token.objects.filter(user_id=rule.owner_id)[:2])
        if written is None:
            columns = {"problem": UNKNOWN.format(name, name), "problem_at": timezone.now()}
        elif len(tokens) == 1:
            columns = {"token_uid": tokens[0].pk, "scope": _kept(tokens[0])}
        else:
            columns = {"is_enabled": False, "problem": ASK.format(name), "problem_at": timezone.now()}
        Rule.objects.filter(pk=rule.pk).update(**columns)


def _kept(token: Any) -> dict[str, Any]:
    words = {right.value for word in token.scopes for right in TOKEN_SCOPES.get(word, ())}
    projects = None if token.project_uids is None else sorted(token.project_uids)
    return {"permissions": sorted(words), "projects": projects}


class Migration(migrations.Migration):
    dependencies = [("compute", "0028_sealed_variables")]

    operations = [migrations.RunPython(tokens_find, migrations.RunPython.noop)]

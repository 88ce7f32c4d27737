"""Standing rules: made and changed by administrators, applied to what appears and, when asked, to what
is there.

The mirror marks what appears (``adoption_due``); the watcher of its node lets the rules look at it
once. So nothing is missed when a process dies in between, and what was refused stays visible, by the
rule's ``problem``, a fact and an audit event, instead of being tried again for ever.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, Max
from django.utils import timezone

from compute.actor import SYSTEM, Actor
from compute.audit import audit, changes_of
from compute.backends.registry import backend_names
from compute.errors import ComputeError, InvalidInput, NameConflict, PermissionDenied, Unauthenticated
from compute.events import Fact, event_publish
from compute.models import AdoptionRule, Instance, Node
from compute.selectors.access import action_require, actor_for
from compute.selectors.adoption import (
    AdoptionFilter,
    adoption_rule_dict,
    adoption_rule_filter,
    adoption_rule_get,
    adoption_rules_enabled,
    adoption_rules_page,
    unmanaged_matching,
)
from compute.selectors.nodes import node_get
from compute.selectors.page import Page
from compute.services.adoption import Verdict, adopt_what_fits, adoption_filter_check
from compute.services.bulk import credential_again, scope_kept
from compute.services.instance_body import name_check
from compute.services.projects import project_get
from compute.tell import tell

_RULES_MAX = 200
_PATTERNS = {"name": "instance_name", "image": "image", "network": "network"}


def adoption_rules_list(actor: Actor, page: int = 1, page_size: int = 50) -> Page:
    action_require(actor, "adoption_rule.read")
    return adoption_rules_page(page, page_size)


def adoption_rule_read(actor: Actor, id_or_name: str | uuid.UUID) -> AdoptionRule:
    """Raises ``NotFound``."""
    action_require(actor, "adoption_rule.read")
    return adoption_rule_get(id_or_name)


def adoption_rule_create(actor: Actor, given: Mapping[str, Any]) -> AdoptionRule:
    """Behind the others unless ``position`` says otherwise. Raises ``InvalidInput``, ``NameConflict``,
    ``NotFound``."""
    action_require(actor, "adoption_rule.create")
    if AdoptionRule.objects.count() >= _RULES_MAX:
        raise InvalidInput(f"There are {_RULES_MAX} rules there already, which is the most.")
    last = AdoptionRule.objects.aggregate(last=Max("position"))["last"]
    row = AdoptionRule(position=0 if last is None else last + 1)
    return _saved(actor, row, given, "adoption_rule.create")


def adoption_rule_update(actor: Actor, id_or_name: str | uuid.UUID, given: Mapping[str, Any]) -> AdoptionRule:
    """Merge what is given; a ``filter`` replaces the old one. Whoever changes it is its owner then."""
    action_require(actor, "adoption_rule.update")
    return _saved(actor, adoption_rule_get(id_or_name), given, "adoption_rule.update")


def adoption_rule_delete(actor: Actor, id_or_name: str | uuid.UUID) -> None:
    """What it adopted stays where it is."""
    action_require(actor, "adoption_rule.delete")
    row = adoption_rule_get(id_or_name)
    with transaction.atomic():
        audit(actor, "adoption_rule.delete", row.name, target_uid=row.pk)
        row.delete()


def adoption_rule_apply(actor: Actor, id_or_name: str | uuid.UUID) -> list[Verdict]:
    """To all that is unmanaged now, as whoever asks. Raises ``NotFound``."""
    action_require(actor, "adoption_rule.apply")
    row = adoption_rule_get(id_or_name)
    with transaction.atomic():
        return _apply(actor, row, unmanaged_matching(actor, adoption_rule_filter(row)))


def arrivals_adopt(node: Node) -> int:
    """Let the rules look at what appeared on a node; how many were adopted. The first that matches
    decides; what none matches stays as it is."""
    due = Instance.objects.filter(node=node, adoption_due=True).exclude(engine_id="")
    if not due.exists():
        return 0
    adopted = 0
    with transaction.atomic():
        rows = list(due.filter(managed=False).select_related("node", "project").order_by("name"))
        due.update(adoption_due=False)
        for rule in adoption_rules_enabled():
            wanted = adoption_rule_filter(rule)
            mine = [row for row in rows if wanted.matches(row)]
            rows = [row for row in rows if row not in mine]
            adopted += _by_itself(rule, mine)
    return adopted


def _by_itself(rule: AdoptionRule, rows: Sequence[Instance]) -> int:
    if not rows:
        return 0
    try:
        actor = _owner_again(rule)
        action_require(actor, "instance.adopt")
    except (PermissionDenied, Unauthenticated) as error:
        _told(SYSTEM, rule, [Verdict(row, error) for row in rows])
        return 0
    return sum(verdict.error is None for verdict in _apply(actor, rule, rows))


def _owner_again(rule: AdoptionRule) -> Actor:
    """With the rights of now, within those of the token that the rule was written with. Raises
    ``PermissionDenied`` when the account cannot be used, ``Unauthenticated`` when the token cannot."""
    if rule.owner is None or not rule.owner.is_active:
        raise PermissionDenied("The account that made this rule is gone or was switched off.")
    credential = credential_again(rule.token_uid, rule.scope)
    return replace(actor_for(rule.owner, credential=credential), via="rule")


def _apply(actor: Actor, rule: AdoptionRule, rows: Sequence[Instance]) -> list[Verdict]:
    verdicts = adopt_what_fits(actor, rule.project, rows, {"rule": rule.name})
    _told(actor, rule, verdicts)
    return verdicts


def _told(actor: Actor, rule: AdoptionRule, verdicts: Sequence[Verdict]) -> None:
    """Keep what came of it with the rule; what was refused is told to everybody who looks."""
    if not verdicts:
        return
    now, good = timezone.now(), sum(each.error is None for each in verdicts)
    columns: dict[str, Any] = {"problem": "", "problem_at": None}
    refused = [(each.row, each.error) for each in verdicts if each.error is not None]
    if refused:
        reason, rest = _reason(*refused[0]), len(refused) - 1
        problem = tell(f"{reason} And {rest} more.") if rest else reason
        columns = {"problem": problem[:1000], "problem_at": now}
    if good:
        columns |= {"adopted_total": F("adopted_total") + good, "last_adopted_at": now}
    AdoptionRule.objects.filter(pk=rule.pk).update(**columns)
    for row, error in refused:
        # The reason may name what those who read facts may not see; it stands with the rule.
        text = f"{row.name} was not adopted by a standing rule."
        event_publish(Fact("instance.adoption_refused", text, instance=row, details={"code": error.code}))
        details = {"rule": rule.name, "message": error.message, "wanted": rule.project.name}
        audit(actor, "instance.adopt", row.name, target_uid=row.pk, result=error.code, details=details)


def _reason(row: Instance, error: ComputeError) -> str:
    return f"{row.name} on {row.node.name}: {error.message}"


def _saved(actor: Actor, row: AdoptionRule, given: Mapping[str, Any], action: str) -> AdoptionRule:
    is_new = row._state.adding
    before = {} if is_new else _settings(row)
    if "name" in given:
        row.name = name_check(given["name"])
    if "project" in given:
        row.project = project_get(actor, given["project"])
    if "position" in given:
        row.position = given["position"]
    if "enabled" in given:
        row.is_enabled = given["enabled"]
    if "filter" in given:
        _conditions(actor, row, adoption_filter_of(given["filter"]))
    row.owner_id, row.token_uid = actor.user_id, actor.credential.token_id
    row.scope = scope_kept(actor).get("scope")
    # It was of the rule as it was.
    row.problem, row.problem_at = "", None
    try:
        with transaction.atomic():
            row.save()
            row = adoption_rule_get(row.pk)
            after = _settings(row)
            details = after if is_new else changes_of(before, after)
            audit(actor, action, row.name, target_uid=row.pk, details=details)
    except IntegrityError as error:
        raise NameConflict(f"There is already an adoption rule “{row.name}”.", name=row.name) from error
    return row


def adoption_filter_of(given: Mapping[str, Any]) -> AdoptionFilter:
    """Of a checked body."""
    return AdoptionFilter(**{name: value for name, value in given.items() if value})


def _conditions(actor: Actor, row: AdoptionRule, wanted: AdoptionFilter) -> None:
    wanted = adoption_filter_check(actor, wanted)
    if wanted.backend and wanted.backend not in backend_names():
        known = ", ".join(backend_names())
        raise InvalidInput.field("filter.backend", f"“{wanted.backend}” is not one of {known}.")
    row.node = node_get(actor, wanted.node) if wanted.node else None
    row.backend, row.labels = wanted.backend, dict(wanted.labels)
    for name, column in _PATTERNS.items():
        setattr(row, column, getattr(wanted, name))


def _settings(row: AdoptionRule) -> dict[str, Any]:
    shown = adoption_rule_dict(row)
    return {name: shown[name] for name in ("name", "position", "enabled", "filter")} | {
        "project": row.project.name
    }

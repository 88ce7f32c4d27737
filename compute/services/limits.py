"""Limits of the site, of projects, users and nodes, checked under one lock so that two creates cannot
both take the last place."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from django.utils.formats import get_format
from django.utils.text import capfirst

from compute.backends.types import Resources
from compute.errors import ResourceLimitExceeded
from compute.models import Instance, Node, Project
from compute.selectors.limits import (
    RESERVES,
    Scope,
    SiteRules,
    node_scope,
    project_scope,
    site_rules,
    site_scope,
    usage_of,
    user_scope,
)
from compute.selectors.prepared import Prepared
from compute.wording import word_text

__all__ = ["RESERVES", "Amounts", "Claim", "NodeFull", "limits_check", "limits_lock"]

_WORDS = {
    "instances": "instances",
    "cpu_cores": "CPU cores",
    "memory_bytes": "memory",
    "storage_bytes": "storage",
}
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


_LOCKED = Prepared(
    lambda: Project.objects.select_for_update(no_key=True).filter(is_default=True).order_by("pk")[:1], keys=0
)


class NodeFull(ResourceLimitExceeded):
    """The node has no room by its over-commit ratio; another may have."""


@dataclass(frozen=True)
class Amounts:
    """What would come on top of what is used."""

    instances: int = 0
    cpu_cores: float = 0
    memory_bytes: int = 0
    storage_bytes: int = 0

    @staticmethod
    def new(resources: Resources, rules: SiteRules | None = None) -> Amounts:
        """One more instance; what it does not state counts as the site assumes."""
        rules = rules or site_rules()
        cpu, memory = resources.cpu_cores, resources.memory_bytes
        return Amounts(
            instances=1,
            cpu_cores=rules.assumed_cpu_cores if cpu is None else cpu,
            memory_bytes=rules.assumed_memory_bytes if memory is None else memory,
            storage_bytes=resources.storage_bytes or 0,
        )

    @staticmethod
    def of(instance: Instance, rules: SiteRules) -> Amounts:
        stated = Resources(instance.cpu_cores, instance.memory_bytes, instance.storage_bytes)
        return Amounts.new(stated, rules)

    def times(self, count: int) -> Amounts:
        return Amounts(**{name: value * count for name, value in asdict(self).items()})

    def plus(self, other: Amounts) -> Amounts:
        return Amounts(**{name: value + getattr(other, name) for name, value in asdict(self).items()})

    def beyond(self, other: Amounts) -> Amounts:
        """By how much it is more, nothing where it is less."""
        return Amounts(**{name: max(0, value - getattr(other, name)) for name, value in asdict(self).items()})


@dataclass(frozen=True)
class Claim:
    """What is asked for, to whose account. Without a node only people's limits are asked."""

    amounts: Amounts
    project: Project | None = None
    user_id: uuid.UUID | None = None
    node: Node | None = None

    @property
    def reserves(self) -> dict[str, Any]:
        """For the params of the operation that will add it, under ``RESERVES``."""
        more = {"user": str(self.user_id)} if self.user_id else {}
        return {**asdict(self.amounts), **more}


def limits_lock() -> None:
    """Serialise everything that adds instances or resources, until the transaction ends. ``no_key``, here
    and elsewhere: rows that refer to the locked one may be written meanwhile."""
    _LOCKED.first()


def limits_check(claim: Claim, rules: SiteRules | None = None) -> None:
    """Raises ``ResourceLimitExceeded``, of a node that is full ``NodeFull``. Call under
    ``limits_lock``; ``rules`` as they were read under it."""
    rules = rules or site_rules()
    scopes = [scope for scope in claim_scopes(claim, rules) if scope.is_bounded]
    for scope, used in zip(scopes, usage_of(scopes, rules), strict=True):
        _check(scope, used, claim.amounts)


def claim_scopes(claim: Claim, rules: SiteRules) -> list[Scope]:
    """All that it counts for."""
    scopes = [site_scope(rules)]
    if claim.project is not None:
        scopes.append(project_scope(claim.project))
    own = user_scope(claim.user_id) if claim.user_id else None
    if own is not None:
        scopes.append(own)
    if claim.node is not None:
        scopes.append(node_scope(claim.node, rules))
    return scopes


def growth_check(instance: Instance, resources: Resources) -> dict[str, Any]:
    """``RESERVES`` of an operation that gives an instance these limits (None: as they are): what it grows
    by. What was over its limit already may shrink. Raises ``ResourceLimitExceeded``."""
    rules = site_rules()
    stated = {
        field.name: getattr(instance if getattr(resources, field.name) is None else resources, field.name)
        for field in fields(Resources)
    }
    more = Amounts.new(Resources(**stated), rules).beyond(Amounts.of(instance, rules))
    return _more(instance, more)


def storage_check(instance: Instance, more_bytes: int) -> dict[str, Any]:
    """The same for so much more storage."""
    return _more(instance, Amounts(storage_bytes=more_bytes))


def volume_check(project: Project, user_id: uuid.UUID | None, node: Node, size_bytes: int) -> dict[str, Any]:
    """The same for storage that belongs to no instance."""
    limits_lock()
    claim = Claim(Amounts(storage_bytes=size_bytes), project, user_id, node)
    limits_check(claim)
    return claim.reserves


def arrival_check(instance: Instance, node: Node) -> dict[str, Any]:
    """The same for an instance that moves to another node: only that must have room."""
    limits_lock()
    rules = site_rules()
    scope, amounts = node_scope(node, rules), Amounts.of(instance, rules)
    _check(scope, usage_of([scope], rules)[0], amounts)
    return {**asdict(amounts), "node": str(node.pk)}


class AdoptionRoom:
    """What a project has room for, while instances that exist become its own one after the other: only
    its own limits are asked, the site counts them already. Who takes for good holds ``limits_lock``."""

    def __init__(self, project: Project) -> None:
        self._project, self._rules, self._taken = project, site_rules(), Amounts()
        self._scope = project_scope(project)
        self._used = usage_of([self._scope], self._rules)[0]

    def take(self, instance: Instance) -> None:
        """Raises ``ResourceLimitExceeded``, and takes nothing then."""
        if instance.project_id == self._project.pk:
            return
        total = self._taken.plus(Amounts.of(instance, self._rules))
        _check(self._scope, self._used, total)
        self._taken = total


def _more(instance: Instance, more: Amounts) -> dict[str, Any]:
    limits_lock()
    claim = Claim(more, instance.project, instance.created_by_id, instance.node)
    limits_check(claim)
    return claim.reserves


def _check(scope: Scope, used: Mapping[str, float], wanted: Amounts) -> None:
    for limit, amount, maximum in scope.limits:
        now, asked = used[amount], getattr(wanted, amount)
        # Sums of fractions of cores must not fail by their rounding.
        if maximum is None or not asked or now + asked <= maximum + 1e-9:
            continue
        kind = NodeFull if scope.kind == "node" else ResourceLimitExceeded
        shown = {"maximum": maximum, "used": round(now, 6), "asked": asked}
        told = {name: amount_text(amount, value) for name, value in shown.items()}
        raise kind(
            f"The {scope.title} allows {_WORDS[amount]} up to {told['maximum']}; {told['used']} is used and "
            f"{told['asked']} more was asked for. Ask for less, remove something, or have the limit raised.",
            limit=limit,
            scope=scope.title,
            **shown,
        )


def amount_text(amount: str, value: float) -> str:
    """``3``, ``0.5``, ``1.5 GiB``, with the reader's sign for the point."""
    point = get_format("DECIMAL_SEPARATOR")
    if not amount.endswith("_bytes"):
        return f"{value:.6g}".replace(".", point)
    step = 0
    while value >= 1024 and step < len(_UNITS) - 1:
        value, step = value / 1024, step + 1
    return f"{value:.4g} {_UNITS[step]}".replace(".", point)


def claim_shown(claim: Claim) -> list[dict[str, Any]]:
    """For pages, before anyone presses: each account with its bars, ``{"title", "bars": [{"word", "used",
    "asked", "left", "maximum", "used_percent", "asked_percent", "is_over"}]}``; texts are for people."""
    rules = site_rules()
    scopes = claim_scopes(claim, rules)
    return [
        {
            "title": f"{word_text(scope.kind)} {scope.name}".strip(),
            "kind": scope.kind,
            "bars": scope_bars(scope, used, claim.amounts),
        }
        for scope, used in zip(scopes, usage_of(scopes, rules), strict=True)
    ]


def scope_bars(scope: Scope, used: Mapping[str, float], asked: Amounts) -> list[dict[str, Any]]:
    """Only what has a limit."""
    return [
        amount_bar(amount, used.get(amount, 0), maximum, getattr(asked, amount))
        for _, amount, maximum in scope.limits
        if maximum is not None
    ]


def amount_bar(amount: str, used: float, maximum: float, asked: float = 0) -> dict[str, Any]:
    """One of ``claim_shown``'s bars."""
    whole = maximum or 1e-9
    used_percent = min(100, round(100 * used / whole))
    texts = {"used": used, "asked": asked, "maximum": maximum, "left": max(0, maximum - used - asked)}
    return {
        "word": capfirst(word_text(_WORDS[amount])),
        **{name: amount_text(amount, value) for name, value in texts.items()},
        "used_percent": used_percent,
        "asked_percent": min(100 - used_percent, round(100 * asked / whole)),
        "is_asked": bool(asked),
        "is_over": used + asked > maximum + 1e-9,
    }

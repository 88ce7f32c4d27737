"""What a guest is told at its first start: sealed until the worker writes it, shown without its secrets,
changed afterwards."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from django.db import transaction

from compute.actor import Actor
from compute.errors import InvalidInput, InvalidState
from compute.models import Instance, Operation
from compute.sealing import seal
from compute.selectors.access import action_require
from compute.services.guards import content_guarded
from compute.services.nodes import node_require
from compute.services.operations import Intent, operation_submit
from kvm.cloud_init import (
    FIELDS,
    META_DATA,
    NETWORK_CONFIG,
    STRUCTURED,
    USER_DATA,
    cloud_init_check,
    structured,
    user_data,
)
from kvm.seed_mask import hide, reveal
from kvm.selectors.machines import machine_get
from kvm.selectors.nodes import kvm_of

TEXTS = {"user_data": USER_DATA, "meta_data": META_DATA, "network_config": NETWORK_CONFIG}


def cloud_init_sealed(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with its ``cloud_init`` (passwords, keys, scripts) sealed; ``fields`` says what
    is in it."""
    given = config.get("cloud_init")
    if not given or "sealed" in given:
        return dict(config)
    return {**config, "cloud_init": {"sealed": seal(given), "fields": sorted(given)}}


@dataclass(frozen=True)
class Seed:
    """The texts of a machine's seed, and what is secret in each."""

    row: Instance
    files: dict[str, str]
    is_there: bool

    def hidden(self, field: str) -> tuple[str, list[str]]:
        return hide(self.files.get(TEXTS[field], ""))


def cloud_init_shown(actor: Actor, id_or_name: str | uuid.UUID) -> dict[str, Any]:
    """``{has_seed, instance_id, structured, user_data, meta_data, network_config, hostname, users ...}``
    without secrets: each stands as ``<hidden:N>``, which a change may send back. The single fields are
    null where the texts say more than they can. Raises ``PermissionDenied`` without ``console``."""
    seed = _seed(actor, id_or_name)
    texts = {field: seed.hidden(field)[0] for field in TEXTS}
    fields = structured(texts["user_data"]) if seed.is_there else None
    meta = _mapping(texts["meta_data"])
    shown: dict[str, Any] = {name: (fields or {}).get(name) for name in STRUCTURED}
    shown["hostname"] = shown["hostname"] or meta.get("local-hostname")
    return {
        "has_seed": seed.is_there,
        "instance_id": meta.get("instance-id"),
        "structured": fields is not None,
        **texts,
        **shown,
    }


def cloud_init_change(actor: Actor, id_or_name: str | uuid.UUID, body: Mapping[str, Any]) -> Operation:
    """Ask for another seed: the fields given are merged into what is there. The guest sees it when it
    next starts; with ``rerun`` it takes that for its first start. Raises ``InvalidInput`` with lines,
    ``InvalidState`` for a machine without a seed."""
    with transaction.atomic():
        seed = _seed(actor, id_or_name)
        action_require(actor, "instance.cloud_init", seed.row.project_id)
        if not seed.is_there:
            raise InvalidState(
                f"{seed.row.name} has no cloud-init drive: it was not made by LibGo, or without one.",
                reason="no_seed",
            )
        files = _changed(seed, body)
        params = {"sealed": seal(files), "fields": sorted(key for key in body if key in FIELDS)}
        return operation_submit(actor, Intent("instance.cloud_init", seed.row.node, seed.row, params))


def _seed(actor: Actor, id_or_name: str | uuid.UUID) -> Seed:
    row = machine_get(actor, id_or_name)
    action_require(actor, "instance.seed_read", row.project_id)
    node_require(row.node)
    if not row.engine_id:
        raise InvalidState(f"{row.name} is still being made.", state=row.state)
    content_guarded(actor, row)
    files = kvm_of(row.node).seed_get(row.engine_id)
    return Seed(row, files or {}, files is not None)


def _changed(seed: Seed, body: Mapping[str, Any]) -> dict[str, str]:
    """The files that the seed will hold."""
    given = {name: body[name] for name in FIELDS if body.get(name) is not None}
    for name, value in given.items():
        given[name] = reveal(name, value, seed.hidden(name if name in TEXTS else "user_data")[1])
    checked = cloud_init_check("", given)
    files = {USER_DATA: _user_data(seed, given, checked), META_DATA: _meta_data(seed, body, checked)}
    network = seed.files.get(NETWORK_CONFIG, "")
    if "network_config" in given:
        network = checked.get("network_config", "")
    return {**files, NETWORK_CONFIG: network} if network else files


def _meta_data(seed: Seed, body: Mapping[str, Any], checked: Mapping[str, Any]) -> str:
    """As the person wrote it, unless something has to be added or changed."""
    old = seed.files.get(META_DATA, "")
    text = checked.get("meta_data", old)
    meta = _mapping(text)
    meta.setdefault("instance-id", _mapping(old).get("instance-id", str(seed.row.pk)))
    if "hostname" in checked:
        meta["local-hostname"] = checked["hostname"]
    if body.get("rerun"):
        meta["instance-id"] = f"{seed.row.pk}-{uuid.uuid4().hex[:8]}"
    if meta == _mapping(text):
        return text
    return str(yaml.safe_dump(meta, sort_keys=False, allow_unicode=True))


def _user_data(seed: Seed, given: Mapping[str, Any], checked: Mapping[str, Any]) -> str:
    if "user_data" in given:
        return user_data(checked)
    old = seed.files.get(USER_DATA, "")
    changes = {name: checked.get(name) for name in STRUCTURED if name in given}
    fields = structured(old)
    if not changes or (fields is None and changes.keys() == {"hostname"}):
        return old
    if fields is None:
        raise InvalidInput.field(
            next(iter(changes)), "cannot be merged into raw user-data that says more: send user_data."
        )
    return user_data({**fields, **changes})


def _mapping(text: str) -> dict[str, Any]:
    """What is in the seed was checked when it was written; what was put there otherwise may be odd."""
    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}

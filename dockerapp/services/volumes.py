"""Asked-for changes of volumes: what is asked for is checked, whose they are, what the policy says."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any

from django.db import transaction

from compute.actor import Actor
from compute.backends.types import LABEL_PROJECT
from compute.errors import InvalidInput, PolicyDenied, VolumeInUse
from compute.models import Operation, Resource
from compute.sealing import seal
from compute.selectors.resource_users import names_used, used_condition, users_visible
from compute.selectors.resources import resources_visible
from compute.services.idempotency import Idempotency, idempotency_lookup
from compute.services.instance_body import labels_check
from compute.services.limits import limits_lock
from compute.services.resource_work import (
    Pruning,
    Work,
    change_require,
    count_check,
    name_free,
    work_submit,
)
from compute.tell import tell
from dockerapp.selectors.volumes import KIND, volume_dicts, volume_row
from dockerapp.services.common import prune_where, where
from dockerapp.services.driver_options import text_options

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{1,127}")
_LIKE_AN_ID = re.compile(r"[0-9a-f]{12,64}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DRIVER = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_./:-]{0,127}")
_LOCAL = "local"
# Words of our own addresses.
_RESERVED = frozenset({"prune", "new"})


def volume_create(
    actor: Actor,
    body: Mapping[str, Any],
    *,
    node: str = "",
    project: str | None = None,
    idempotency: Idempotency | None = None,
) -> Operation:
    """Ask for a new volume of a project; without a name it gets one like the engine's. Raises
    ``InvalidInput``, ``PolicyDenied``, ``NameConflict``."""
    at = where(actor, "volume.create", node=node, project=project)
    wanted = volume_check(body)
    if not actor.is_admin:
        volume_policy(wanted)
    with transaction.atomic():
        limits_lock()
        earlier = idempotency_lookup(actor, idempotency)
        if earlier is not None:
            return earlier
        count_check(at, KIND)
        name_free(at.node, KIND, wanted["name"])
        # Options may hold the password of a share.
        params = {**wanted, "options": seal(wanted["options"])}
        work = Work("volume.create", wanted["name"], params)
        return work_submit(actor, at, work, idempotency=idempotency)


def volume_delete(actor: Actor, name: str, *, node: str = "", force: bool = False) -> Operation:
    """Ask for removal, with the content. ``force`` also removes what the volume's driver has lost.
    Raises ``VolumeInUse`` naming those that the actor sees, ``PermissionDenied``."""
    row = volume_row(actor, name, node)
    at = change_require(actor, row, "volume.delete")
    unused_require(actor, row)
    params = {"name": row.name, "mark": mark_of(row), "force": force}
    return work_submit(actor, at, Work("volume.delete", row.name, params))


def volumes_prune(
    actor: Actor, *, node: str = "", project: str | None = None, every: bool = False, dry_run: bool = False
) -> Pruning:
    """What nobody uses, with its content: what the engine named itself, and with ``every`` also what
    has a name of its own. The project's, for administrators the node's unless they name a project."""
    at, wanted = prune_where(actor, "volume.prune", node=node, project=project)
    rows = resources_visible(actor, KIND).filter(wanted, node=at.node)
    rows = rows.exclude(used_condition([at.node.pk], KIND))
    if not every:
        rows = rows.filter(data__anonymous=True)
    found = list(rows.order_by("name"))
    if dry_run:
        return Pruning(volume_dicts(actor, found))
    things = [{"name": row.name, "mark": mark_of(row), "size_bytes": row.size_bytes} for row in found]
    return Pruning([], work_submit(actor, at, Work("volume.prune", at.node.name, {"things": things})))


def unused_require(actor: Actor, row: Resource) -> None:
    """Raises ``VolumeInUse`` naming the users that the actor sees."""
    place = (row.node_id, row.name)
    users = users_visible(actor, KIND, [place])[place]
    if users or row.name in names_used([row.node_id], KIND)[row.node_id]:
        names = ", ".join(user["name"] for user in users[:10]) or tell("containers that you do not see")
        raise VolumeInUse(
            f"{row.name} is used by {names}. Remove them first.",
            containers=[{"id": user["id"], "name": user["name"]} for user in users],
        )


def mark_of(row: Resource) -> str:
    """The project that is written on it: the worker acts only while the same is written there."""
    return str((row.data.get("labels") or {}).get(LABEL_PROJECT, ""))


def volume_check(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a create request, typed, as ``VolumeWanted`` takes it. Raises ``InvalidInput``."""
    name = str(body.get("name") or "")
    if name and (not _NAME.fullmatch(name) or name in _RESERVED or _LIKE_AN_ID.fullmatch(name)):
        raise InvalidInput.field(
            "name",
            "must be 2 to 128 letters, digits, dots, dashes or underscores, start with a letter or "
            "digit, and not be like an id or “prune”.",
        )
    driver = str(body.get("driver") or _LOCAL)
    if not _DRIVER.fullmatch(driver):
        raise InvalidInput.field("driver", "must be the name of a driver such as “local”.")
    return {
        "name": name or secrets.token_hex(32),
        "driver": driver,
        "options": text_options("options", body.get("options") or {}),
        "labels": labels_check("labels", body.get("labels") or {}),
    }


def volume_policy(wanted: Mapping[str, Any]) -> None:
    """What an operator may not ask for: the options of a volume mount what they name, also the host's
    own files. Raises ``PolicyDenied`` naming the rule."""
    if wanted["driver"] != _LOCAL:
        raise PolicyDenied(
            f"Only administrators may use the volume driver “{wanted['driver'][:50]}”; others use “local”.",
            rule="volume_driver",
        )
    if wanted["options"]:
        raise PolicyDenied(
            "Only administrators may set options of a volume: they mount what they name, also the host's "
            "own files.",
            rule="volume_options",
        )

"""Asked-for changes of storage pools: they are the host's, so administrators make and change them."""

from __future__ import annotations

import os
import posixpath
import re
import uuid
from collections.abc import Mapping
from typing import Any

from django.db import transaction

from compute.actor import Actor
from compute.errors import InvalidInput, OperationNotSupported, VolumeInUse
from compute.models import Operation, Resource
from compute.selectors.access import action_require
from compute.selectors.nodes import node_config
from compute.services.idempotency import Idempotency, idempotency_lookup
from compute.services.limits import limits_lock
from compute.services.nodes import node_require
from compute.services.projects import project_for
from compute.services.resource_work import Where, Work, name_free, work_submit
from compute.tell import tell
from kvm.selectors.nodes import kvm_of
from kvm.selectors.storage import POOL, pool_row, users_may_be_gone
from kvm.services.common import where

POOL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_PATH = re.compile(r"/[A-Za-z0-9_.+@-]+(?:/[A-Za-z0-9_.+@-]+)*")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.:-]{0,252}[A-Za-z0-9])?")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:+-]{0,222}")
# What each type needs; the rest of what may be given is optional.
_NEEDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "dir": (("path",), ()),
    "fs": (("path", "source.device"), ("source.format",)),
    "netfs": (("path", "source.host", "source.dir"), ("source.format",)),
    "logical": (("source.name",), ("path", "source.device", "source.format")),
    "iscsi": (("source.host", "source.device"), ("path",)),
    "zfs": (("source.name",), ("source.device",)),
}
# Where the system itself lives. A pool there would show its files as volumes, and delete them.
_SYSTEM = tuple(
    f"/{name}"
    for name in (
        *("bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "root"),
        *("run", "sbin", "sys", "usr", "var"),
    )
)
_ALLOWED_IN_SYSTEM = ("/var/lib/libvirt", "/var/tmp", "/var/lib/libgo-pools", "/var/vm", "/var/lib/vz")  # nosec B108 # folders to compare with, nothing is made there
_LIBVIRTS_OWN = ("boot", "dnsmasq", "lockd", "lxc", "network", "nvram", "qemu", "sanlock", "secrets", "swtpm")
# Only folders inside these, not they themselves.
_SHARED = ("/home", "/media", "/mnt", "/opt", "/srv", "/tmp", "/var/tmp", "/var/lib/libvirt")  # nosec B108 # folders to compare with, nothing is made there
# Words of our own addresses.
_RESERVED = frozenset({"new", "types"})


def pool_create(
    actor: Actor, body: Mapping[str, Any], *, node: str = "", idempotency: Idempotency | None = None
) -> Operation:
    """Ask for a new pool. Raises ``InvalidInput``, ``NameConflict``, ``OperationNotSupported`` for a
    type that LibGo makes none of."""
    at = _where(actor, node)
    wanted = pool_check(body)
    is_local = node_config(at.node).url.partition("?")[0].endswith(("///system", "///session"))
    if is_local and wanted["path"] and wanted["type"] != "logical":
        # What the path leads to on this host counts, not how it is written.
        path_check("path", os.path.realpath(wanted["path"]))
    with transaction.atomic():
        limits_lock()
        earlier = idempotency_lookup(actor, idempotency)
        if earlier is not None:
            return earlier
        name_free(at.node, POOL, wanted["name"])
        params = {**wanted, "uuid": str(uuid.uuid4())}
        return work_submit(actor, at, Work("pool.create", wanted["name"], params), idempotency=idempotency)


def pool_act(actor: Actor, name: str, action: str, *, node: str = "", force: bool = False) -> Operation:
    """``start``, ``stop``, ``refresh`` or ``delete``; the content of a pool stays in any case. Raises
    ``VolumeInUse`` for one that machines need, unless ``force``."""
    action_require(actor, "pool.change")
    row = pool_row(actor, name, node)
    node_require(row.node)
    if action == "delete" and row.data.get("in_use") and not force and not users_may_be_gone(row):
        raise VolumeInUse(
            f"Machines have disks in the pool {row.name}. Delete them first, or force it: libvirt then "
            "forgets the pool, its files stay.",
            pool=row.name,
        )
    at = Where(row.node, project_for(actor, None))
    return work_submit(actor, at, Work(f"pool.{action}", row.name, {"name": row.name, "force": force}))


def pool_types(actor: Actor, *, node: str = "") -> list[dict[str, Any]]:
    """``{type, supported, missing, needs[]}`` on this host, now."""
    at = where(actor, "pool.read", node=node)
    return [
        {**item, "needs": list(_NEEDS[item["type"]][0])}
        for item in kvm_of(at.node).pools.types()
        if item["type"] in _NEEDS
    ]


def pool_check(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a create request, typed: ``name, type, path, source, autostart``."""
    name = str(body.get("name") or "")
    if not POOL_NAME.fullmatch(name) or name in _RESERVED or _is_uuid(name):
        raise InvalidInput.field(
            "name",
            "must be 1 to 64 letters, digits, dots, dashes or underscores, and begin with a letter or digit.",
        )
    kind = str(body.get("type") or "dir")
    if kind not in _NEEDS:
        raise OperationNotSupported(
            f"LibGo makes pools of the types {', '.join(_NEEDS)}, not “{kind[:40]}”.", capability=kind[:40]
        )
    given = {f"source.{key}": value for key, value in (body.get("source") or {}).items() if value}
    if body.get("path"):
        given["path"] = body["path"]
    needed, optional = _NEEDS[kind]
    for key in needed:
        if key not in given:
            raise InvalidInput.field(key, f"is needed for a pool of type {kind}.")
    for key in given:
        if key not in (*needed, *optional):
            raise InvalidInput.field(key, f"is not used by pools of type {kind}.")
    checked = {key: _value_check(kind, key, str(value)) for key, value in given.items()}
    source = {key.partition(".")[2]: value for key, value in checked.items() if key != "path"}
    return {
        "name": name,
        "type": kind,
        "path": checked.get("path", ""),
        "source": source,
        "autostart": bool(body.get("autostart", True)),
    }


def path_check(key: str, path: str) -> str:
    """A folder of the host that may be a pool. Raises ``InvalidInput``."""
    if not _PATH.fullmatch(path) or posixpath.normpath(path) != path or len(path) > 500:
        raise InvalidInput.field(
            key,
            "must be an absolute path of letters, digits and . _ - + @, without “..” or a slash at its end.",
        )
    if path in _SHARED:
        raise InvalidInput.field(key, f"must be a folder of its own inside {path}.")
    if _inside(path, _SYSTEM) and not _inside(path, _ALLOWED_IN_SYSTEM):
        raise InvalidInput.field(key, "lies among the files of the system; take a folder such as /srv/vms.")
    if _inside(path, tuple(f"/var/lib/libvirt/{name}" for name in _LIBVIRTS_OWN)):
        raise InvalidInput.field(key, "is libvirt's own; take a folder such as /srv/vms.")
    return path


def _value_check(kind: str, key: str, value: str) -> str:
    if key == "path":
        if kind in ("logical", "iscsi"):
            return _matching(
                re.compile(r"/dev/[A-Za-z0-9_.+/-]{1,200}"), key, value, tell("a path below /dev")
            )
        return path_check(key, value)
    if key == "source.host":
        return _matching(_HOST, key, value, tell("a host name or address"))
    if key == "source.dir":
        return _matching(_PATH, key, value, tell("an absolute path on that host"))
    if key == "source.device" and kind != "iscsi":
        return _matching(
            re.compile(r"/dev/[A-Za-z0-9_.:+/-]{1,200}"), key, value, tell("a device below /dev")
        )
    return _matching(_WORD, key, value, tell("a word of letters, digits and . _ : + -"))


def _matching(pattern: re.Pattern[str], key: str, value: str, what: str) -> str:
    if not pattern.fullmatch(value) or ".." in value.split("/"):
        raise InvalidInput.field(key, f"must be {what}.")
    return value


def _inside(path: str, folders: tuple[str, ...]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def _where(actor: Actor, node: str) -> Where:
    action_require(actor, "pool.create")
    return where(actor, "pool.create", node=node)


def pool_open_require(row: Resource) -> None:
    """Raises ``InvalidInput`` for a pool that does not run."""
    if row.data.get("state") not in ("running", "degraded"):
        raise InvalidInput.field("pool", f"{row.name} does not run. Start it first.")

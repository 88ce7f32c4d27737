"""The one matrix: every action, the right it needs, and where it holds. Pure data.

A *role* holds *rights* (``ROLE_PERMISSIONS``), an *action* needs one of them, in a *reach*. API, pages,
sockets and the Django admin ask ``compute.selectors.access.action_require``, which reads this table and
nothing else; ``docs/permissions.md`` is written from it by ``manage.py access_matrix``.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from compute.states import ROLE_PERMISSIONS, Permission, Role, Word


class Reach(Word):
    """Where an action happens, and with it who is asked for the right."""

    PUBLIC = "public"
    # Any account, on what is its own.
    OWN = "own"
    # Any account; what is shown is narrowed to what it may see.
    SHARED = "shared"
    # The project of the thing. What has no project is the host's: members look, site admins change.
    PROJECT = "project"
    SITE = "site"


@dataclass(frozen=True)
class Rule:
    """``permission`` is the right a role (or a token's scope) must hold there."""

    permission: Permission
    reach: Reach = Reach.PROJECT


@dataclass(frozen=True)
class Cell:
    """Somebody of the matrix: a role in a project, or one of the others."""

    name: str
    role: Role | None = None
    is_site_admin: bool = False
    is_logged_in: bool = True


SITE_ADMIN = Cell("site admin", is_site_admin=True)
PROJECT_ADMIN = Cell("project admin", Role.ADMIN)
OPERATOR = Cell("operator", Role.OPERATOR)
VIEWER = Cell("viewer", Role.VIEWER)
FOREIGNER = Cell("member elsewhere")
NOBODY = Cell("nobody", is_logged_in=False)
CELLS = (SITE_ADMIN, PROJECT_ADMIN, OPERATOR, VIEWER, FOREIGNER, NOBODY)

# The verbs of each noun by the right they need.
_IN_PROJECT: dict[str, dict[Permission, str]] = {
    "instance": {
        Permission.READ: "read",
        Permission.CREATE: "create",
        Permission.UPDATE: "update recreate restore migrate snapshot network storage devices cloud_init",
        Permission.DELETE: "delete snapshot_delete prune",
        Permission.START: "start restart unpause",
        Permission.STOP: "stop pause kill reset save save_discard",
        Permission.CONSOLE: "console exec logs screen processes definition guest seed_read",
        Permission.EXPORT: "export clone commit backup files changes guest_files",
    },
    "operation": {Permission.READ: "read", Permission.UPDATE: "cancel"},
    "event": {Permission.READ: "read"},
    "usage": {Permission.READ: "read"},
    "image": {
        Permission.READ: "read",
        Permission.CREATE: "pull build tag",
        Permission.EXPORT: "push save",
    },
    "disk_image": {Permission.READ: "read", Permission.CREATE: "create", Permission.DELETE: "delete"},
    "network": {
        Permission.READ: "read",
        Permission.CREATE: "create",
        Permission.DELETE: "delete prune",
    },
    "volume": {
        Permission.READ: "read",
        Permission.CREATE: "create clone",
        Permission.UPDATE: "update upload",
        Permission.DELETE: "delete wipe prune",
        Permission.EXPORT: "content",
    },
    "stack": {
        Permission.READ: "read",
        Permission.CREATE: "create validate",
        Permission.UPDATE: "update scale pull",
        Permission.DELETE: "delete",
        Permission.START: "start restart",
        Permission.STOP: "stop",
        Permission.CONSOLE: "logs",
    },
    "export": {Permission.READ: "read", Permission.EXPORT: "download delete"},
    "template": {
        Permission.READ: "read",
        Permission.CREATE: "create use",
        Permission.UPDATE: "update",
        Permission.DELETE: "delete",
    },
    "schedule": {
        Permission.READ: "read",
        Permission.CREATE: "create",
        Permission.UPDATE: "update run",
        Permission.DELETE: "delete",
    },
    "backup": {
        Permission.READ: "read",
        Permission.EXPORT: "restore verify",
        Permission.DELETE: "delete",
    },
    "alert": {
        Permission.READ: "read",
        Permission.CREATE: "create",
        Permission.UPDATE: "update acknowledge",
        Permission.DELETE: "delete",
    },
    "project": {Permission.READ: "read", Permission.ADMIN: "update member"},
    # A project's administrators read what happened in it.
    "audit": {Permission.ADMIN: "read"},
}

# What is the site's: changed by its administrators alone.
_OF_SITE: dict[str, str] = {
    "user": "read create update delete",
    "project": "create delete limits",
    "node": "create update delete drain test",
    "image": "load import delete prune download",
    "host_network": "create change",
    "pool": "create change",
    "registry": "create update delete test",
    "system": "prune",
    "instance": "define adopt",
    "adoption_rule": "read create update delete apply",
    "audit": "verify",
    "backup_target": "create update delete test",
    "channel": "create update delete test",
    "site": "limits metrics admin",
}

# What any account may do: look at what is shared, and see to itself.
_SHARED = ("node.read", "registry.read", "pool.read", "system.read", "site.read", "backup_target.read")
_OWN = ("profile.read", "profile.update", "profile.password", "profile.tokens", "profile.sessions")
_PUBLIC = ("auth.login", "site.health", "site.docs")


def _table() -> dict[str, Rule]:
    found: dict[str, Rule] = {}
    for noun, rights in _IN_PROJECT.items():
        for permission, verbs in rights.items():
            found |= {f"{noun}.{verb}": Rule(permission) for verb in verbs.split()}
    for noun, verbs in _OF_SITE.items():
        found |= {f"{noun}.{verb}": Rule(Permission.ADMIN, Reach.SITE) for verb in verbs.split()}
    for reach, names in ((Reach.SHARED, _SHARED), (Reach.OWN, _OWN), (Reach.PUBLIC, _PUBLIC)):
        found |= {name: Rule(Permission.READ, reach) for name in names}
    return dict(sorted(found.items()))


ACTIONS: dict[str, Rule] = _table()


def rule_of(action: str) -> Rule:
    """Raises ``KeyError`` for what is no action: a mistake of ours, never of a client."""
    return ACTIONS[action]


def holds(permissions: Container[Permission], action: str) -> bool:
    """Whether somebody with these rights in a project may do it to the project's things."""
    return rule_of(action).permission in permissions


def is_allowed(cell: Cell, action: str, *, is_foreign: bool, is_hosts: bool = False) -> bool:
    """What the matrix says: in the own project, in a foreign one, or to a thing of the host."""
    rule = rule_of(action)
    if rule.reach is Reach.PUBLIC or cell.is_site_admin:
        return True
    if not cell.is_logged_in or rule.reach is Reach.SITE:
        return False
    if rule.reach in (Reach.OWN, Reach.SHARED):
        return True
    if is_hosts:
        return rule.permission is Permission.READ
    if is_foreign or cell.role is None:
        return False
    return rule.permission in ROLE_PERMISSIONS[cell.role]

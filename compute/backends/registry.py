"""Which backends exist, by name; loaded on first use, so a missing library disables one backend.

``dockerapp`` and ``kvm`` register a dotted path in ``AppConfig.ready``. Third parties use the
entry-point group ``libgo.backends``; their name becomes the backend's.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import entry_points

from compute.backends.base import Backend
from compute.backends.types import NodeConfig
from compute.errors import BackendUnavailable, InvalidBackend

ENTRY_POINT_GROUP = "libgo.backends"


@dataclass(frozen=True)
class Registration:
    """``disabled_reason`` is set for a backend that the site's configuration switched off. The rest
    are dotted paths of what else its app brings, imported on first use: ``handlers`` is a module whose
    ``HANDLERS`` carry out the app's own actions, ``guard``, ``content_guard`` and ``snapshot_guard``
    functions as in ``services/guards.py``, ``form`` the class of the form that makes an instance,
    ``tabs`` the function that names further tabs of an instance's page (``views/tabs.py``), ``owner``
    tells the mirror whose an instance is that appears on a node, ``marks`` whose a listed thing is that
    the engine cannot mark (``execution/resources.py``), ``secrets`` looks up what a create needs and
    nobody stores (``execution/secrets.py``), ``node_panel`` is a template for
    the page of a node, ``actions`` a module that registers what schedules can do to its nodes
    (``services/actions.py``)."""

    name: str
    dotted_path: str
    disabled_reason: str = ""
    handlers: str = ""
    guard: str = ""
    form: str = ""
    tabs: str = ""
    content_guard: str = ""
    snapshot_guard: str = ""
    owner: str = ""
    marks: str = ""
    secrets: str = ""
    node_panel: str = ""
    actions: str = ""


_registrations: dict[str, Registration] = {}
_instances: dict[str, tuple[NodeConfig, Backend]] = {}
_lock = threading.Lock()


def backend_register(name: str, dotted_path: str, **more: str) -> None:
    """Announce a backend. ``dotted_path`` is ``package.module.Class``; it is not imported yet. ``more``
    are further fields of :class:`Registration`."""
    _registrations[name] = Registration(name, dotted_path, **more)


def backend_registrations() -> list[Registration]:
    """All announced backends, by name."""
    return [_registrations[name] for name in backend_names()]


def backend_registration(name: str) -> Registration:
    """What was announced under this name; an empty one when nothing was."""
    return _registrations.get(name) or Registration(name, "")


def backend_node_panel(name: str) -> str:
    """The template with what only this backend shows of a node; empty without one."""
    return _registrations[name].node_panel if name in _registrations else ""


def backend_register_entry_points() -> None:
    """Announce the backends of installed third-party packages; ours keep their names."""
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        if entry.name not in _registrations:
            backend_register(entry.name, entry.value.replace(":", "."))


def backend_names() -> list[str]:
    """All announced backends, switched off ones included, in a stable order."""
    return sorted(_registrations)


def backend_known(name: str) -> str:
    """The name. Raises ``InvalidBackend`` for one that nobody announced."""
    if name not in _registrations:
        known = ", ".join(backend_names()) or "none"
        raise InvalidBackend(
            f"There is no backend “{name[:50]}”. Known backends: {known}.", backend=name[:50]
        )
    return name


def backend_class(name: str) -> type[Backend]:
    """The class. Raises ``InvalidBackend`` for an unknown name, ``BackendUnavailable`` with the
    reason for one that is switched off or whose library is missing."""
    registration = _registrations[backend_known(name)]
    if registration.disabled_reason:
        raise BackendUnavailable(registration.disabled_reason, backend=name)
    module_name, _, class_name = registration.dotted_path.rpartition(".")
    try:
        loaded = getattr(importlib.import_module(module_name), class_name)
    except ImportError as error:
        raise BackendUnavailable(
            f"The {name} backend is off: the Python package “{error.name}” is not installed. "
            "Run ./libgo doctor to see how to add it.",
            backend=name,
        ) from error
    if not (isinstance(loaded, type) and issubclass(loaded, Backend)):
        raise InvalidBackend(f"The backend “{name}” is not a LibGo backend.", backend=name)
    return loaded


def backend_problem(name: str) -> str:
    """Why the backend cannot be used at all, or "" when it can."""
    try:
        backend_class(name)
    except (BackendUnavailable, InvalidBackend) as error:
        return error.message
    return ""


def backend_for(node: NodeConfig) -> Backend:
    """The pooled object for this node; a changed address or option makes a new one."""
    cls = backend_class(node.backend)
    with _lock:
        known = _instances.get(node.id)
        if known is not None and known[0] == node:
            return known[1]
        backend = cls(node)
        _instances[node.id] = (node, backend)
    if known is not None:
        known[1].close()
    return backend


def backend_forget(node_id: str) -> None:
    """Close and drop the pooled object of a removed node."""
    with _lock:
        known = _instances.pop(node_id, None)
    if known is not None:
        known[1].close()


def backends_retain(node_ids: Iterable[str]) -> None:
    """Close and drop the pooled objects of all other nodes: removed ones, and those switched off."""
    kept = set(node_ids)
    with _lock:
        gone = [node_id for node_id in _instances if node_id not in kept]
    for node_id in gone:
        backend_forget(node_id)

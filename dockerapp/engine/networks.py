"""Networks of one engine."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from docker import APIClient
from docker.errors import APIError, NotFound

from compute.backends.types import (
    LABEL_OPERATION,
    LABEL_PROJECT,
    Grants,
    NetworkInfo,
    NetworkJoin,
    ResourceInfo,
)
from compute.errors import (
    BackendTimeout,
    ComputeError,
    InstanceNotFound,
    InvalidInput,
    InvalidState,
    NameConflict,
    NetworkInUse,
    NetworkNotFound,
)
from dockerapp.engine.client import EngineClient, as_list, rows_of
from dockerapp.engine.errors import reason
from dockerapp.engine.inspect import networks_of, time_parse
from dockerapp.engine.secrets import secrets_masked

# The engine's own; ``default`` is its other word for ``bridge``.
PREDEFINED = frozenset({"bridge", "host", "none"})
OPEN_TO_ALL = frozenset({"bridge", "none", "default"})
_FORBIDDEN = 403
_LET_GO_S, _LOOK_EVERY_S = 5.0, 0.1
# Inside the class ``list`` is a method.
Rows = list[Mapping[str, Any]]


@dataclass(frozen=True)
class NetworkWanted:
    """A network as asked for, already checked. ``ipam``: ``{subnet, gateway, ip_range}`` each."""

    name: str
    driver: str = "bridge"
    internal: bool = False
    attachable: bool = False
    ipv6: bool = False
    ipam: tuple[Mapping[str, str], ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


class Networks:
    """What one engine can do with networks. Every method raises only ``ComputeError``."""

    def __init__(self, client: EngineClient) -> None:
        self._client = client

    def list(self) -> list[ResourceInfo]:
        return [network_info(row) for row in rows_of(self._client.call(lambda api: api.networks()))]

    def get(self, engine_id: str, *, quick: bool = False) -> ResourceInfo:
        """As the engine shows it now. Raises ``NetworkNotFound``."""
        return network_info(self._document(engine_id, quick=quick))

    def members(self, engine_id: str, *, quick: bool = False) -> dict[str, NetworkInfo]:
        """Who is on it now, by the engine id of the container; only what runs has an address."""
        document = self._document(engine_id, quick=quick)
        return {
            str(key): NetworkInfo(
                network=str(document.get("Name", "")),
                mac_address=str(item.get("MacAddress") or ""),
                ip_address=str(item.get("IPv4Address") or "").partition("/")[0],
                ipv6_address=str(item.get("IPv6Address") or "").partition("/")[0],
            )
            for key, item in (document.get("Containers") or {}).items()
        }

    def named(self, name: str) -> Rows:
        """What the engine has of exactly this name; its own filter also finds parts of names."""
        rows = self._client.call(lambda api: api.networks(names=[name]))
        return [row for row in rows if row.get("Name") == name]

    def create(self, wanted: NetworkWanted, *, project_id: str, operation_id: str) -> str:
        """The engine id of a new one, marked from birth. Raises ``NameConflict``, also when somebody
        else made one of this name at the same time; ``InvalidInput`` for a subnet that overlaps."""
        if self.named(wanted.name):
            raise name_taken(wanted.name)
        labels = {**wanted.labels, LABEL_PROJECT: project_id, LABEL_OPERATION: operation_id}
        try:
            self._call("create", _create_call(wanted, labels))
        except BackendTimeout:
            # It may have been made: the label tells.
            if not self._own(wanted.name, operation_id):
                raise
        own = self._own(wanted.name, operation_id)
        # An engine may let two of one name pass that were made at once: the older one stays.
        first = min(self.named(wanted.name), key=lambda row: (str(row.get("Created")), str(row["Id"])))
        if not own or first["Id"] != own[0]["Id"]:
            self.undo(wanted.name, operation_id)
            raise name_taken(wanted.name)
        return str(own[0]["Id"])

    def remove(self, engine_id: str) -> None:
        """Gone afterwards; absent is fine. Raises ``NetworkInUse``, ``InvalidState`` for the engine's own.

        An engine lets go of a network a moment after the last container on it has ended: that is awaited."""
        deadline = time.monotonic() + _LET_GO_S
        while True:
            try:
                self._call("remove", lambda api: api.remove_network(engine_id))
                return
            except NetworkNotFound:
                return
            except NetworkInUse:
                if time.monotonic() > deadline or self._is_used(engine_id):
                    raise
            time.sleep(_LOOK_EVERY_S)

    def undo(self, name: str, operation_id: str) -> None:
        """Remove what an operation made: only with that operation's label, and while nobody uses it."""
        for row in self._own(name, operation_id):
            try:
                self.remove(str(row["Id"]))
            except NetworkInUse:
                continue

    def attach(self, container: str, join: NetworkJoin, grants: Grants, project_id: str) -> None:
        """``container`` is on the network afterwards. Raises ``NetworkNotFound``, ``InvalidInput`` for
        an address that is taken or outside, ``InvalidState`` for a container that shares the
        network of something else."""
        engine_id = self.allowed(join.network, grants, project_id)
        there = self._endpoint(container, join.network)
        if there is not None:
            if all(asked in ("", known) for asked, known in _addresses(join, there)):
                return
            raise InvalidState(
                f"The container is already on “{join.network}” with another address. Take it off first."
            )
        endpoint: dict[str, Any] = {"Aliases": list(join.aliases)}
        fixed = {"IPv4Address": join.ip_address, "IPv6Address": join.ipv6_address}
        if any(fixed.values()):
            endpoint["IPAMConfig"] = {key: value for key, value in fixed.items() if value}
        body = {"Container": container, "EndpointConfig": endpoint}

        def connect(api: APIClient) -> None:
            api._raise_for_status(api._post_json(api._url("/networks/{0}/connect", engine_id), data=body))

        self._call("connect", connect)

    def detach(self, container: str, network: str, *, force: bool) -> None:
        """``container`` is off the network afterwards; what is not on it, or no network, is fine."""
        if self._endpoint(container, network) is None:
            return
        body = {"Container": container, "Force": force}

        def disconnect(api: APIClient) -> None:
            api._raise_for_status(api._post_json(api._url("/networks/{0}/disconnect", network), data=body))

        self._call("disconnect", disconnect)

    def allowed(self, name: str, grants: Grants, project_id: str) -> str:
        """The engine id of the network of this name that a project may use, as the engine has it
        now. Raises ``NetworkNotFound`` alike for one that is not there and one of somebody else."""
        for row in self.named("bridge" if name == "default" else name):
            mark = str((row.get("Labels") or {}).get(LABEL_PROJECT, ""))
            if name in OPEN_TO_ALL or grants.allows("network", name, mark, project_id):
                return str(row["Id"])
        raise network_absent(name)

    def _is_used(self, engine_id: str) -> bool:
        """Whether a container that is not over is on it."""
        with contextlib.suppress(NetworkNotFound):
            return any(self._goes_on(key) for key in self.members(engine_id))
        return False

    def _goes_on(self, container: str) -> bool:
        with contextlib.suppress(InstanceNotFound):
            state = self._client.call(lambda api: api.inspect_container(container)).get("State") or {}
            return bool(state.get("Running") or state.get("Restarting"))
        return False

    def _own(self, name: str, operation_id: str) -> Rows:
        found = self.named(name)
        return [row for row in found if (row.get("Labels") or {}).get(LABEL_OPERATION) == operation_id]

    def _document(self, engine_id: str, *, quick: bool) -> Mapping[str, Any]:
        document: Mapping[str, Any] = self._client.call(
            lambda api: api.inspect_network(engine_id), quick=quick
        )
        return document

    def _endpoint(self, container: str, network: str) -> NetworkInfo | None:
        document = self._client.call(lambda api: api.inspect_container(container))
        settings = document.get("NetworkSettings") or {}
        return next((n for n in networks_of(settings.get("Networks") or {}) if n.network == network), None)

    def _call(self, what: str, method: Callable[[APIClient], Any]) -> Any:
        """The engine says 403 for whatever does not suit it; these are the user's to mend."""

        def translated(api: APIClient) -> Any:
            try:
                return method(api)
            except NotFound as error:
                if what == "create" and "plugin" in str(error.explanation).lower():
                    raise InvalidInput.field("driver", "is not on this engine.") from error
                if "network" in str(error.explanation).lower():
                    raise NetworkNotFound("The engine has no such network any more.") from error
                raise
            except APIError as error:
                known = _problem(what, reason(str(error.explanation or error)))
                if known is not None:
                    raise known from error
                if error.status_code == _FORBIDDEN:
                    raise InvalidState(f"The engine refused: {reason(str(error.explanation))}") from error
                raise

        return self._client.call(translated)


def network_absent(name: str) -> NetworkNotFound:
    return NetworkNotFound(f"There is no network “{name[:100]}”.", name=name[:100])


def name_taken(name: str) -> NameConflict:
    return NameConflict(f"There is already a network “{name}” on this node. Take another name.", name=name)


def network_info(row: Mapping[str, Any]) -> ResourceInfo:
    """One entry of the list, or one inspected network."""
    labels = {str(key): str(value) for key, value in (row.get("Labels") or {}).items()}
    pools = [
        {
            "subnet": str(item.get("Subnet", "")),
            "gateway": str(item.get("Gateway", "")),
            "ip_range": str(item.get("IPRange", "")),
        }
        for item in as_list((row.get("IPAM") or {}).get("Config"))
    ]
    name = str(row.get("Name", ""))
    return ResourceInfo(
        kind="network",
        engine_id=str(row["Id"]),
        name=name,
        project_id=labels.get(LABEL_PROJECT, ""),
        created_at=time_parse(str(row.get("Created", ""))),
        data={
            "driver": str(row.get("Driver", "")),
            "scope": str(row.get("Scope", "")),
            "internal": bool(row.get("Internal")),
            "attachable": bool(row.get("Attachable")),
            "ipv6": bool(row.get("EnableIPv6")),
            "predefined": name in PREDEFINED,
            "ipam": pools,
            "options": secrets_masked(row.get("Options") or {}),
            "labels": secrets_masked(labels),
        },
    )


def _create_call(wanted: NetworkWanted, labels: Mapping[str, str]) -> Callable[[APIClient], Any]:
    keys = {"subnet": "Subnet", "gateway": "Gateway", "ip_range": "IPRange"}
    pools = [{keys[key]: value for key, value in pool.items() if value} for pool in wanted.ipam]
    body: dict[str, Any] = {
        "Name": wanted.name,
        "CheckDuplicate": True,
        "Driver": wanted.driver,
        "Internal": wanted.internal,
        "Attachable": wanted.attachable,
        "EnableIPv6": wanted.ipv6,
        "Options": dict(wanted.options),
        "Labels": dict(labels),
    }
    if pools:
        body["IPAM"] = {"Driver": "default", "Config": pools}

    def create(api: APIClient) -> None:
        api._raise_for_status(api._post_json(api._url("/networks/create"), data=body))

    return create


def _addresses(join: NetworkJoin, there: NetworkInfo) -> list[tuple[str, str]]:
    return [(join.ip_address, there.ip_address), (join.ipv6_address, there.ipv6_address)]


def endpoints_left(text: str) -> bool:
    """Whether the engine says that somebody is still on a network."""
    return "active endpoints" in text.lower()


def _problem(what: str, text: str) -> ComputeError | None:
    lowered = text.lower()
    if endpoints_left(lowered):
        return NetworkInUse("Containers are still on this network. Take them off first.")
    if "overlap" in lowered and "pool" in lowered:
        if "ipv6" in lowered:
            return InvalidInput.field("ipam", "needs an IPv6 subnet: this engine does not choose one itself.")
        return InvalidInput.field(
            "ipam", "overlaps with a network that is there already; take another subnet."
        )
    if what == "create" and "already exists" in lowered:
        return NameConflict("There is already a network of this name on this node. Take another name.")
    if what == "connect" and ("cannot be connected" in lowered or "sharing network namespace" in lowered):
        return InvalidState(
            "A container without a network of its own (none, host, or another container's) joins no other. "
            "Take it off “none” first, or make it anew."
        )
    if what == "connect" and "address already in use" in lowered:
        return InvalidInput.field("ip_address", "is taken by another container; take another.")
    return None

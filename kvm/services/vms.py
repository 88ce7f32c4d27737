"""From the bodies of the API from before Docker to the services that every door goes through."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compute.actor import Actor
from compute.errors import InvalidInput
from compute.models import Operation
from compute.services.idempotency import Idempotency
from compute.services.instances import InstanceCreate, instance_act, instance_create, instance_delete
from compute.states import Action
from kvm.selectors.nodes import BACKEND
from kvm.selectors.vms import vm_row

_MIB, _GIB = 1024**2, 1024**3
# The machine type has no IDE; SATA is what replaced it.
_BUSES = {"ide": "sata"}
# Which of the older fields a complaint about ours belongs to; the longest beginning decides.
_FIELDS = {
    "config.disk.size": "disk.sizeBytes",
    "config.disk.pool": "disk.storagePool",
    "config.disk.cache": "disk.cacheMode",
    "config.disk.read_only": "disk.readOnly",
    "config.disk": "disk",
    "config.image": "disk.sourceImage",
    "config.networks": "network",
    "config.network": "network",
    "config.cpu_model": "cpu.model",
    "config.cpu_topology": "cpu",
    "config.cloud_init.user_data": "cloudInit.userData",
    "config.cloud_init.meta_data": "cloudInit.metaData",
    "config.cloud_init.network_config": "cloudInit.networkConfig",
    "config.cloud_init.ssh_keys": "cloudInit.sshKeys",
    "config.cloud_init": "cloudInit",
    "config.description": "description",
    "resources.cpu.cores": "cpu.count",
    "resources.memory.limit": "memory.sizeBytes",
    "resources.storage.total_space": "disk.sizeBytes",
}


def vm_create(actor: Actor, body: Mapping[str, Any], *, idempotency: Idempotency | None = None) -> Operation:
    """Ask for a machine, by the same policy as every other door. Raises as ``instance_create``, with
    the fields called as in ``body``."""
    wanted = InstanceCreate(
        name=str(body["name"]),
        backend=BACKEND,
        config=_config(body),
        resources={
            "cpu": {"cores": float(body["cpu"]["count"])},
            "memory": {"limit": _size("memory", body["memory"], 128 * _MIB)},
        },
    )
    try:
        return instance_create(actor, wanted, idempotency=idempotency)
    except InvalidInput as error:
        raise _renamed(error) from error


def vm_act(actor: Actor, name: str, action: Action, options: Mapping[str, Any]) -> Operation | None:
    """Ask for a lifecycle change; None when it is as wanted already."""
    return instance_act(actor, vm_row(actor, name).pk, action, options)


def vm_delete(actor: Actor, name: str) -> Operation:
    """Ask for removal with its disks, running or not, as this API always did."""
    return instance_delete(actor, vm_row(actor, name).pk, force=True)


def _config(body: Mapping[str, Any]) -> dict[str, Any]:
    config: dict[str, Any] = {"disk": _disk(body["disk"])}
    image, template = body["disk"].get("sourceImage") or "", body.get("template") or ""
    if image and template and image != template:
        raise InvalidInput.field("template", "and disk.sourceImage name two images; give one.")
    if image or template:
        config["image"] = image or template
    if body.get("description"):
        config["description"] = body["description"]
    config |= _cpu(body["cpu"])
    if body.get("network"):
        config["networks"] = [_nic(body["network"])]
    seed = _seed(body.get("cloudInit") or {})
    if seed:
        config["cloud_init"] = seed
    return config


def _disk(given: Mapping[str, Any]) -> dict[str, Any]:
    disk: dict[str, Any] = {"size": _size("disk", given, _GIB), "format": given["format"]}
    bus = given.get("bus") or ""
    words = {"pool": given.get("storagePool"), "bus": _BUSES.get(bus, bus), "cache": given.get("cacheMode")}
    disk |= {key: value for key, value in words.items() if value}
    flags = {"read_only": given.get("readOnly"), "shareable": given.get("shareable")}
    return disk | {key: True for key, value in flags.items() if value}


def _cpu(given: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"cpu_model": given["model"]} if given.get("model") else {}
    parts = {"sockets": given.get("socket"), "cores": given.get("cores"), "threads": given.get("threads")}
    if not any(parts.values()):
        return found
    topology = {key: int(value or 1) for key, value in parts.items()}
    product = topology["sockets"] * topology["cores"] * topology["threads"]
    if product != given["count"]:
        raise InvalidInput.field(
            "cpu.count", f"must be socket x cores x threads, which is {product}; leave those away, or match."
        )
    return {**found, "cpu_topology": topology, "max_vcpus": product}


def _nic(given: Mapping[str, Any]) -> dict[str, Any]:
    nic = {"type": given["type"], "source": given["source"]}
    more = {"model": given.get("model"), "mac_address": given.get("macAddress")}
    return nic | {key: value for key, value in more.items() if value}


def _seed(given: Mapping[str, Any]) -> dict[str, Any]:
    words = {
        "user_data": given.get("userData"),
        "meta_data": given.get("metaData"),
        "network_config": given.get("networkConfig"),
        "ssh_keys": list(given.get("sshKeys") or []),
    }
    return {key: value for key, value in words.items() if value}


def _size(part: str, given: Mapping[str, Any], least: int) -> int:
    size = given.get("sizeBytes")
    if size is None:
        size = (given.get("sizeMB") or 0) * _MIB
    if size < least:
        raise InvalidInput.field(f"{part}.sizeBytes", f"must be at least {least} bytes.")
    return int(size)


def _renamed(error: InvalidInput) -> InvalidInput:
    fields = {_older(name): text for name, text in error.details.get("fields", {}).items()}
    if not fields:
        return error
    return InvalidInput("; ".join(f"{name}: {text}" for name, text in fields.items()), fields=fields)


def _older(name: str) -> str:
    for ours in sorted(_FIELDS, key=len, reverse=True):
        if name == ours or name.startswith(f"{ours}."):
            return _FIELDS[ours]
    return name

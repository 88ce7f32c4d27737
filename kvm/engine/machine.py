"""What kinds of machines a host can make: firmware, security chip, CPU models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import libvirt

from compute.errors import BackendUnavailable, ComputeError, InvalidInput, OperationNotSupported
from kvm.engine.connection import Connection
from kvm.engine.domain_xml import CPU_MODES, parse
from kvm.engine.virt_type import virt_type_of

# The first question makes libvirt examine its emulators; later ones come out of its cache.
_FACTS_TIMEOUT_S = 30.0
_PROBE_TIMEOUT_S = 1.5


def machine_facts(connection: Connection, timeout_s: float = _FACTS_TIMEOUT_S) -> dict[str, Any]:
    """``{"firmware": [..], "secure_boot": bool, "tpm": bool, "cpu_models": [..], "max_vcpus": n}``; empty
    where the driver does not tell.

    Source: https://libvirt.org/formatdomaincaps.html
    """
    if connection.is_test_driver:
        return {}
    virt_type = virt_type_of(connection)

    def method(conn: libvirt.virConnect) -> str:
        return str(conn.getDomainCapabilities(None, "x86_64", "q35", virt_type, 0))

    root = parse(connection.call(method, timeout_s))
    tpm = root.find("./devices/tpm")
    models = [] if tpm is None else [item.text for item in tpm.iterfind("./enum[@name='backendModel']/value")]
    vcpu = root.find("./vcpu")
    return {
        "firmware": [
            "bios",
            *(["uefi"] if "efi" in _values(root, "./os/enum[@name='firmware']/value") else []),
        ],
        "secure_boot": "yes" in _values(root, "./os/loader/enum[@name='secure']/value"),
        "tpm": "emulator" in models,
        "cpu_models": sorted(_values(root, "./cpu/mode[@name='custom']/model")),
        "max_vcpus": int(vcpu.get("max", 0)) if vcpu is not None else 0,
    }


def machine_facts_quick(connection: Connection) -> dict[str, Any]:
    """The same for a probe, which must not wait for a host that looks at its emulators first. Raises
    ``BackendUnavailable``: who cannot be reached is not called again, and the probe ends in half the time."""
    try:
        return machine_facts(connection, _PROBE_TIMEOUT_S)
    except BackendUnavailable:
        raise
    except ComputeError:
        return {}


def machine_check(config: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Raises ``OperationNotSupported`` saying what the host lacks, ``InvalidInput`` for a CPU that it does
    not know. Without facts libvirt decides."""
    if not facts:
        return
    model = config.get("cpu_model", "")
    if model and model not in CPU_MODES and model not in facts["cpu_models"]:
        raise InvalidInput.field(
            "config.cpu_model", f"this node knows no CPU “{model}”; it has those that virsh cpu-models lists."
        )
    if config.get("firmware") == "uefi" and "uefi" not in facts["firmware"]:
        raise OperationNotSupported(
            "This node has no UEFI firmware for guests. Install it there (package ovmf), or choose bios.",
            capability="uefi",
        )
    if config.get("secure_boot") and not facts["secure_boot"]:
        raise OperationNotSupported(
            "This node has no UEFI firmware with secure boot. Install it there (package ovmf), or do "
            "without.",
            capability="secure_boot",
        )
    if config.get("tpm") and not facts["tpm"]:
        raise OperationNotSupported(
            "This node cannot give guests a TPM: swtpm is missing there. Install it (packages swtpm and "
            "swtpm-tools), or leave the TPM away.",
            capability="tpm",
        )


def _values(root: Any, path: str) -> set[str]:
    return {str(item.text) for item in root.iterfind(path)}

"""What only virtual machines have, for the worker and for reads that ask the host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compute.backends.types import Reporter
from compute.errors import InvalidInput
from kvm.engine import definition, devices, hardware_spec
from kvm.engine.connection import Connection


class Machines:
    """The machines of one host; every method within the deadlines of its connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @staticmethod
    def nic_check(wanted: Mapping[str, Any], *, allow_root_equivalent: bool) -> str | dict[str, str]:
        """A NIC to be plugged in. Raises ``InvalidInput``; ``PolicyDenied`` for the host's own networks."""
        nic = hardware_spec.nic_check("nic", wanted)
        hardware_spec.nics_policy([nic], allow_root_equivalent=allow_root_equivalent)
        return nic

    @staticmethod
    def io_limits_check(wanted: Mapping[str, Any]) -> dict[str, int]:
        """Raises ``InvalidInput``."""
        limits: dict[str, int] = hardware_spec.io_limits("io_limits", wanted)
        for unit in ("bytes", "iops"):
            both, single = f"total_{unit}_sec", [f"{way}_{unit}_sec" for way in ("read", "write")]
            if limits.get(both) and any(limits.get(name) for name in single):
                raise InvalidInput.field(
                    f"io_limits.{both}", "is one limit for both ways: give it alone, or give the other two."
                )
        return limits

    @staticmethod
    def bandwidth_check(wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Raises ``InvalidInput``."""
        return dict(hardware_spec.bandwidth("bandwidth", wanted))

    def disk_change(
        self, engine_id: str, target: str, size: int | None, limits: Mapping[str, int], report: Reporter
    ) -> None:
        """Grow it, then set its limits. Raises ``InvalidInput`` for less than it has."""
        if size is not None:
            devices.disk_grow(self._connection, engine_id, target, size, report)
        if limits:
            report.progress(70, f"Limiting {target}")
            devices.disk_limits(self._connection, engine_id, target, limits)

    def nic_attach(self, engine_id: str, nic: str | Mapping[str, Any], report: Reporter) -> str:
        return devices.nic_attach(self._connection, engine_id, nic, report)

    def nic_detach(self, engine_id: str, mac: str, report: Reporter) -> None:
        devices.nic_detach(self._connection, engine_id, mac, report)

    def nic_bandwidth(self, engine_id: str, mac: str, limits: Mapping[str, Mapping[str, int]]) -> None:
        devices.nic_bandwidth(self._connection, engine_id, mac, limits)

    def medium_change(self, engine_id: str, *, target: str, image: str, force: bool, report: Reporter) -> str:
        return devices.medium_change(
            self._connection, engine_id, target=target, image=image, force=force, report=report
        )

    def drive_remove(self, engine_id: str, target: str) -> None:
        devices.drive_remove(self._connection, engine_id, target)

    def xml_read(self, engine_id: str) -> str:
        return definition.domain_xml_read(self._connection, engine_id)

    def xml_live(self, engine_id: str) -> str:
        return definition.domain_xml_live(self._connection, engine_id)

    def xml_check(self, engine_id: str, xml: str) -> definition.XmlChange:
        return definition.domain_xml_check(self._connection, engine_id, xml)

    def xml_write(self, engine_id: str, xml: str, before: str) -> str:
        return definition.domain_xml_write(self._connection, engine_id, xml, before)

"""The networks of a libvirt host."""

from __future__ import annotations

import contextlib

import libvirt

from compute.errors import InvalidInput


def network_ensure(conn: libvirt.virConnect, name: str) -> None:
    """Started afterwards. Raises ``InvalidInput`` when there is none of that name."""
    if name == "user":
        return
    try:
        network = conn.networkLookupByName(name)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_NETWORK:
            raise
        known = ", ".join(sorted(item.name() for item in conn.listAllNetworks(0))) or "none"
        raise InvalidInput.field(
            "config.network", f"there is no network “{name}”; there are: {known}."
        ) from error
    if not network.isActive():
        with contextlib.suppress(libvirt.libvirtError):
            # Two creates may start it at once; what counts is that it runs afterwards.
            network.create()
        if not network.isActive():
            network.create()

"""What a libvirt host says of itself."""

from __future__ import annotations

import libvirt

from compute.backends.capabilities import Capability
from compute.backends.types import ImageInfo, NodeInfo
from kvm.engine import storage
from kvm.engine.connection import Connection
from kvm.engine.machine import machine_facts_quick

# libvirt's test driver has no consoles, no usage, no hot-plug, no renaming and no other host; serial logs
# are files of the host itself.
_NOT_ON_TEST = frozenset(
    {
        Capability.CONSOLE,
        Capability.EXEC,
        Capability.CLONE,
        Capability.EXPORT,
        Capability.IMPORT,
        Capability.GRAPHICS,
        Capability.LOGS,
        Capability.MIGRATE,
        Capability.NETWORK_ATTACH,
        Capability.RENAME,
        Capability.STATS,
        Capability.VOLUME,
    }
)
# So do the descriptors of screens.
_NOT_REMOTE = frozenset({Capability.GRAPHICS, Capability.LOGS})


def pool_name_of(connection: Connection) -> str:
    """The pool of the node's machines: disks and images that name none are in it."""
    return str(connection.node.options.get("pool_name", "default"))


def node_info(connection: Connection, capabilities: frozenset[Capability]) -> NodeInfo:
    """Within the connection deadline."""
    pool_name = pool_name_of(connection)
    machine = machine_facts_quick(connection)

    def method(conn: libvirt.virConnect) -> NodeInfo:
        _, memory_mib, cpus, *_ = conn.getInfo()
        total, used = _pool_size(conn, pool_name)
        missing = (
            _NOT_ON_TEST if connection.is_test_driver else frozenset() if connection.is_local else _NOT_REMOTE
        )
        return NodeInfo(
            version=_dotted(conn.getVersion()),
            api_version=_dotted(conn.getLibVersion()),
            hostname=conn.getHostname(),
            capabilities=capabilities - missing,
            cpu_cores=float(cpus),
            memory_bytes=int(memory_mib) * 1024**2,
            storage_total_bytes=total,
            storage_used_bytes=used,
            details={
                "hypervisor": conn.getType(),
                "pool": pool_name,
                "uri": conn.getURI(),
                **({"machine": machine} if machine else {}),
            },
        )

    return connection.call(method, connection.node.connect_timeout_s + 2)


def image_list(connection: Connection) -> list[ImageInfo]:
    pool_name = pool_name_of(connection)
    return connection.call(lambda conn: storage.image_infos(storage.pool_ensure(conn, pool_name)))


def _pool_size(conn: libvirt.virConnect, name: str) -> tuple[int | None, int | None]:
    try:
        _, capacity, allocation, _ = conn.storagePoolLookupByName(name).info()
    except libvirt.libvirtError:
        # The pool is made with the first VM.
        return None, None
    return (int(capacity), int(allocation)) if capacity else (None, None)


def _dotted(number: int) -> str:
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"

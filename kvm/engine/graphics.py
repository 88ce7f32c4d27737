"""The screen of a domain: as a stream of RFB, and as a picture."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import libvirt

from compute.backends.types import ByteStream
from compute.errors import BackendError, InvalidState
from kvm.engine.connection import Connection
from kvm.engine.domain_xml import parse
from kvm.engine.domains import active_require, lookup

_CHUNK = 64 * 1024
_PICTURE_MAX = 64 * 1024**2
_PICTURE_WITHIN_S = 10.0


class ScreenStream(ByteStream):
    """One VNC client's way to QEMU; any number of them may be open."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def read(self) -> bytes:
        try:
            return await self._reader.read(_CHUNK)
        except OSError:
            # QEMU is gone.
            return b""

    async def write(self, data: bytes) -> None:
        """Waits while QEMU does not take it."""
        with contextlib.suppress(OSError):
            self._writer.write(data)
            await self._writer.drain()

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


async def graphics_open(connection: Connection, engine_id: str) -> ScreenStream:
    """A socket pair between LibGo and QEMU: no port, no password, nothing that another program could
    reach. Works only where both share a kernel. Raises ``InvalidState`` without a VNC screen."""
    descriptor = await asyncio.to_thread(_descriptor, connection, engine_id)
    # libvirt makes a pair of Unix sockets, which the loops of libuv do not take for others.
    reader, writer = await asyncio.open_unix_connection(sock=socket.socket(fileno=descriptor))
    return ScreenStream(reader, writer)


def _descriptor(connection: Connection, engine_id: str) -> int:
    active_require(connection, engine_id)

    def method(conn: libvirt.virConnect) -> int:
        domain = lookup(conn, engine_id)
        screens = parse(domain.XMLDesc(0)).findall("./devices/graphics")
        index = next((n for n, item in enumerate(screens) if item.get("type") == "vnc"), None)
        if index is None:
            raise InvalidState("This VM has no VNC screen.", reason="no_screen")
        return int(domain.openGraphicsFD(index, libvirt.VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH))

    return connection.call(method)


def screenshot(connection: Connection, engine_id: str) -> bytes:
    """What the first screen shows, as the hypervisor made it (PNG, of old ones PPM). Raises
    ``InvalidState`` when it is off or has no screen."""
    active_require(connection, engine_id)

    def method(conn: libvirt.virConnect) -> bytes:
        domain = lookup(conn, engine_id)
        if parse(domain.XMLDesc(0)).find("./devices/video") is None and not connection.is_test_driver:
            raise InvalidState("This VM has no screen.", reason="no_screen")
        stream = conn.newStream(0)
        domain.screenshot(stream, 0)
        parts, size = [], 0
        while part := stream.recv(_CHUNK):
            parts.append(part)
            size += len(part)
            if size > _PICTURE_MAX:
                stream.abort()
                raise BackendError("The picture of the screen is larger than LibGo takes.")
        stream.finish()
        return b"".join(parts)

    return connection.call(method, _PICTURE_WITHIN_S)

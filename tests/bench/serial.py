"""The echo of a key in the serial console of a machine: by LibGo's socket, by libvirt's own stream."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing

import libvirt

from kvm.engine.names import serial_log_path
from tests.bench.figures import Row, difference, row
from tests.bench.machines import asked, prompt_wait
from tests.bench.run import Found, Site
from tests.sockets import socket_open

_KEYS = 60


def serial(site: Site) -> Found:
    """First by one, then by the other: the line has one reader."""
    name = site.name()
    made = asked(site.console, name)
    try:
        prompt_wait(site.console, made, serial_log_path(made["id"]), time.perf_counter())
        ours = row("LibGo: a key and its echo in a guest", asyncio.run(_by_libgo(site, made["id"])))
        own = row("libvirt: a key and its echo in the same guest", _by_libvirt(name, site.few(_KEYS)))
        yield from _rows(own, ours)
    finally:
        site.console.api("DELETE", f"/compute/instances/{name}?force=true&wait=60")


def _rows(own: Row, ours: Row) -> list[Row]:
    added = difference("what LibGo adds to the echo of a key in a guest", ours, own)
    return [own, ours.beside(own), added.at_most(5)]


async def _by_libgo(site: Site, pk: str) -> list[float]:
    session = await socket_open(site.console, f"/instances/{pk}/console")
    times = []
    while True:
        try:
            await asyncio.wait_for(session.recv(), 1)
        except TimeoutError:
            break
    for number in range(site.few(_KEYS)):
        began = time.perf_counter()
        await session.send(_key(number))
        while not isinstance(await asyncio.wait_for(session.recv(), 10), bytes):
            continue
        times.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(0.02)
    await session.close()
    return times


def _by_libvirt(name: str, keys: int) -> list[float]:
    with closing(libvirt.open("qemu:///system")) as conn:
        stream = conn.newStream()
        conn.lookupByName(name).openConsole(None, stream, libvirt.VIR_DOMAIN_CONSOLE_FORCE)
        times = []
        for number in range(keys):
            began = time.perf_counter()
            stream.send(_key(number))
            assert stream.recv(1)
            times.append((time.perf_counter() - began) * 1000)
            time.sleep(0.02)
        stream.abort()
    return times


def _key(number: int) -> bytes:
    return bytes([97 + number % 26])

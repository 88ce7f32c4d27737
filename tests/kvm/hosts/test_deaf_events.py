"""libvirt's events stop coming although its connection lives: what changes is seen all the same."""

from __future__ import annotations

import contextlib
import threading
import time

import libvirt
import pytest

from compute.backends.types import EngineEvent, NodeConfig
from kvm.backend import KvmBackend
from kvm.engine import events
from tests.live import until

_NET = "<network><name>libgo-t-deaf</name></network>"


def test_what_no_event_tells_is_found_by_comparing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_COMPARE_EVERY_S", 0.5)
    backend = KvmBackend(NodeConfig("t-deaf", "deaf", "kvm", "test:///default"))
    heard: list[EngineEvent] = []
    stop, ready = threading.Event(), threading.Event()

    def follow() -> None:
        for event in backend.events(stop, ready.set):
            heard.append(event)

    reading = threading.Thread(target=follow)
    reading.start()
    try:
        assert ready.wait(10)
        conn = backend._connection.open()
        for number in range(20):
            with contextlib.suppress(libvirt.libvirtError, KeyError):
                conn.domainEventDeregisterAny(number)
            with contextlib.suppress(libvirt.libvirtError, KeyError):
                conn.networkEventDeregisterAny(number)
        domain = conn.lookupByName("test")
        domain.suspend()
        time.sleep(0.3)
        assert not [event for event in heard if event.action == "suspend"], "nobody tells of it"
        until(lambda: EngineEvent(domain.UUIDString(), "compare") in heard, "it is found", 5)
        network = conn.networkDefineXML(_NET)
        until(lambda: EngineEvent("", "compare", kind="network") in heard, "the network is found", 5)
        network.undefine()
        domain.resume()
    finally:
        stop.set()
        reading.join(10)
        backend.close()
    assert not reading.is_alive()

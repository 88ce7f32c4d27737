"""Messages to a broker that hangs: a broker of the test's own, stopped in the middle of them."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from channels.layers import get_channel_layer

from compute import layer
from libgo_site.launch.broker import broker_command, broker_wait
from tests.live import until

_COUNT = 300


@pytest.fixture
def broker(tmp_path: Path, settings: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A broker at a socket of its own, which the channel layer goes to."""
    path = tmp_path / "broker.sock"
    process = subprocess.Popen(broker_command(path), stdout=subprocess.DEVNULL)
    assert broker_wait(path)
    backend = "channels_redis.pubsub.RedisPubSubChannelLayer"
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": backend, "CONFIG": {"hosts": [f"unix://{path}"]}}}
    yield process
    process.send_signal(signal.SIGCONT)
    process.terminate()
    process.wait(10)


class Listener:
    """The numbers of all messages that reach the group."""

    def __init__(self, path: Path) -> None:
        self.numbers: list[int] = []
        self._hub = redis.Redis(unix_socket_path=str(path)).pubsub()
        self._hub.psubscribe("*")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        serializer: Any = get_channel_layer()
        while not self._over.is_set():
            told = self._hub.get_message(ignore_subscribe_messages=True, timeout=0.2)
            if told is not None:
                self.numbers.append(serializer.deserialize(told["data"])["number"])

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        self._hub.close()


@pytest.fixture
def listener(broker: subprocess.Popen[bytes], tmp_path: Path) -> Iterator[Listener]:
    made = Listener(tmp_path / "broker.sock")
    yield made
    made.close()


def _tell(first: int, count: int) -> float:
    """The seconds that it took to tell of so many."""
    began = time.monotonic()
    numbers = range(first, first + count)
    layer.messages_send("facts", [{"type": "fact", "number": number} for number in numbers])
    return time.monotonic() - began


def test_a_broker_that_hangs_costs_the_message_at_hand_and_not_the_rest_of_its_batch(
    broker: subprocess.Popen[bytes], listener: Listener
) -> None:
    assert _tell(0, 1) < 1
    os.kill(broker.pid, signal.SIGSTOP)
    took = _tell(1, _COUNT)
    assert 1.5 < took < 3, "who tells waits two seconds"
    time.sleep(0.5)
    assert _tell(_COUNT + 1, 1) < 0.5, "and the next one not at all, while it hangs"
    os.kill(broker.pid, signal.SIGCONT)
    until(lambda: listener.numbers[-1:] == [_COUNT + 1], "the last one has come", 10)
    # The first was given up after two seconds, and the broker may have it all the same.
    assert [number for number in listener.numbers if number > 2] == list(range(3, _COUNT + 2))


def test_what_waits_for_a_broker_is_bounded(
    broker: subprocess.Popen[bytes], listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layer, "_WAITING_MAX", 20)
    os.kill(broker.pid, signal.SIGSTOP)
    _tell(0, 20)
    assert _tell(20, 20) < 0.5, "they are too many"
    os.kill(broker.pid, signal.SIGCONT)
    until(lambda: listener.numbers[-1:] == [19], "the others have come", 10)
    _tell(40, 1)
    until(lambda: listener.numbers[-1:] == [40], "it goes on", 10)
    assert not set(range(20, 40)) & set(listener.numbers)

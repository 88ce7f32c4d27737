"""Messages over a broker that hangs or ends: one of the test's own, stopped in the middle of them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from asgiref.sync import sync_to_async
from redis.exceptions import RedisError

from compute import broadcast
from compute.broadcast import messages_heard
from tests.brokers import Broker
from tests.live import strain, until

_COUNT = 300


@pytest.fixture
def broker(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Broker]:
    """A broker at a socket of its own, which all messages of this process go over."""
    made = Broker(tmp_path)
    made.start()
    settings.REDIS_URL = made.url
    monkeypatch.setattr(broadcast, "_sender", broadcast._Sender())
    yield made
    made.end()


class Listener:
    """The numbers of all messages that come over the broker."""

    def __init__(self, broker: Broker) -> None:
        self.numbers: list[int] = []
        self._hub = broker.client.pubsub()
        self._hub.psubscribe("*")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        while not self._over.is_set():
            told = self._hub.get_message(ignore_subscribe_messages=True, timeout=0.2)
            if told is not None:
                self.numbers.append(orjson.loads(told["data"])["number"])

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        self._hub.close()


@pytest.fixture
def listener(broker: Broker) -> Iterator[Listener]:
    made = Listener(broker)
    yield made
    made.close()


def _tell(first: int, count: int) -> float:
    """The seconds that it took to tell of so many."""
    began = time.monotonic()
    numbers = range(first, first + count)
    broadcast.messages_send("facts", [{"type": "fact", "number": number} for number in numbers])
    return time.monotonic() - began


def test_a_broker_that_hangs_costs_the_message_at_hand_and_not_the_rest_of_its_batch(
    broker: Broker, listener: Listener
) -> None:
    assert _tell(0, 1) < 1 * strain()
    with broker.hanging():
        took = _tell(1, _COUNT)
        assert 1.5 < took < 3 * strain(), "who tells waits two seconds"
        time.sleep(0.5)
        assert _tell(_COUNT + 1, 1) < 0.5 * strain(), "and the next one not at all, while it hangs"
    until(lambda: listener.numbers[-1:] == [_COUNT + 1], "the last one has come", 10)
    # The first was given up after two seconds, and the broker may have it all the same.
    assert [number for number in listener.numbers if number > 2] == list(range(3, _COUNT + 2))


def test_what_waits_for_a_broker_is_bounded(
    broker: Broker, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broadcast, "_WAITING_MAX", 20)
    with broker.hanging():
        _tell(0, 20)
        assert _tell(20, 20) < 0.5 * strain(), "they are too many"
    until(lambda: listener.numbers[-1:] == [19], "the others have come", 10)
    _tell(40, 1)
    until(lambda: listener.numbers[-1:] == [40], "it goes on", 10)
    assert not set(range(20, 40)) & set(listener.numbers)


async def test_who_listens_hears_that_the_broker_was_lost_and_can_begin_anew(broker: Broker) -> None:
    tell = sync_to_async(_tell)
    async with messages_heard("facts") as messages:
        await tell(0, 1)
        assert await anext(messages) == {"type": "fact", "number": 0}
        broker.kill()
        began = time.monotonic()
        with pytest.raises((RedisError, OSError)):
            await anext(messages)
        assert time.monotonic() - began < 1 * strain()
    with pytest.raises((RedisError, OSError)):
        async with messages_heard("facts"):
            raise AssertionError("nobody is there")
    await sync_to_async(broker.start)()
    async with messages_heard("facts") as messages:
        await tell(1, 1)
        assert await anext(messages) == {"type": "fact", "number": 1}


async def test_sites_that_share_a_redis_do_not_hear_each_other(broker: Broker, settings: Any) -> None:
    tell = sync_to_async(_tell)
    async with messages_heard("facts") as messages:
        settings.REDIS_URL = f"{broker.url}?db=1"
        async with messages_heard("facts") as others:
            await tell(0, 1)
            assert await anext(others) == {"type": "fact", "number": 0}
        settings.REDIS_URL = broker.url
        await tell(1, 1)
        assert await anext(messages) == {"type": "fact", "number": 1}, "the other site's was not for us"


async def test_a_broker_that_hangs_is_lost_and_one_that_only_has_nothing_to_tell_is_not(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broadcast, "_SILENT_S", 1.0)
    async with messages_heard("facts") as messages:
        hearing = asyncio.ensure_future(anext(messages))
        await asyncio.sleep(3.5)
        assert not hearing.done(), "it was asked some times, and answered"
        with broker.hanging(), pytest.raises((RedisError, OSError)):
            await asyncio.wait_for(hearing, 20)
    with broker.hanging(), pytest.raises((RedisError, OSError)):
        async with messages_heard("facts"):
            raise AssertionError("it has not answered")

"""Messages to every process that listens, over the broker's pub/sub. Code that has no event loop tells by
one loop of its own in each process.

What is told while the broker is away is lost, and who listens hears that it was away.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import threading
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import asynccontextmanager
from typing import Any

import orjson
import structlog
from django.conf import settings
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as BrokerGone
from redis.exceptions import RedisError

from compute.topics import topic_name

log = structlog.get_logger(__name__)

# How long the broker may take for one message, and how long anybody waits who only wants to tell.
_SEND_S = 2.0
# So many messages may wait for a broker that hangs: some 20 MB.
_WAITING_MAX = 10_000
# Who hears nothing for so long asks the broker whether it is there, and waits as long for its answer.
_SILENT_S = 2.5
# While no more than these wait, nobody waits for them; when the process ends they get their time.
_WAITING_FEW = 50

Message = tuple[str, bytes]


class _Sender:
    """An event loop in a thread, made at the first use, which sends one message after the other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turn = asyncio.Lock()
        self._broker: Redis | None = None
        self._waiting = 0
        self._last: Future[None] | None = None
        # The last message was not taken in time: nobody needs to wait for the next.
        self._stuck = False

    def send(self, messages: Sequence[Message]) -> None:
        with self._lock:
            if self._waiting + len(messages) > _WAITING_MAX:
                log.warning("messages_not_sent", lost=len(messages), reason="Too many wait for the broker.")
                return
            self._waiting += len(messages)
            are_few = self._waiting <= _WAITING_FEW
        sending = asyncio.run_coroutine_threadsafe(self._send(messages), self._running())
        self._last = sending
        if not are_few:
            with contextlib.suppress(FutureTimeout):
                sending.result(0 if self._stuck else _SEND_S)

    def flush(self) -> None:
        """Give what waits its time."""
        if self._last is not None:
            with contextlib.suppress(FutureTimeout):
                self._last.result(_SEND_S)

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="broadcast", daemon=True).start()
            return self._loop

    async def _send(self, messages: Sequence[Message]) -> None:
        """Each by itself: one that is lost takes no other along."""
        lost: list[str] = []
        async with self._turn:
            # Once more at once: the connection that stood may be to a broker that ended meanwhile.
            broker = self._broker = self._broker or _broker(tries_again=1)
            for topic, data in messages:
                try:
                    await asyncio.wait_for(broker.publish(topic_name(topic), data), _SEND_S)
                    self._stuck = False
                except asyncio.TimeoutError:
                    self._stuck = True
                    lost.append("The broker does not answer.")
                except (RedisError, OSError) as error:
                    lost.append(str(error))
                finally:
                    with self._lock:
                        self._waiting -= 1
        if lost:
            log.warning("messages_not_sent", lost=len(lost), of=len(messages), reason=lost[0])


_sender = _Sender()
atexit.register(_sender.flush)


def messages_send(topic: str, messages: Iterable[Mapping[str, Any]]) -> None:
    """Send each message, in order, to whoever listens: soon, by another thread. Only when many wait this
    returns when they are sent, at the latest after ``_SEND_S``. What is lost is logged: screens catch up by
    ``seq``."""
    pairs = [(topic, orjson.dumps(message, default=str)) for message in messages]
    if pairs:
        _sender.send(pairs)


@asynccontextmanager
async def messages_heard(topic: str) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    """Entered when nothing that is told from now on is missed. Both this and the messages raise
    ``RedisError`` or ``OSError`` once the broker is lost; a new one then begins anew."""
    async with _broker(tries_again=0) as broker, broker.pubsub() as heard:
        await heard.subscribe(topic_name(topic))
        if await heard.get_message(timeout=_SILENT_S) is None:
            raise BrokerGone("The broker does not answer.")
        yield _messages(heard)


async def _messages(heard: PubSub) -> AsyncIterator[dict[str, Any]]:
    is_asked = False
    while True:
        said = await heard.get_message(timeout=_SILENT_S)
        if said is None and is_asked:
            raise BrokerGone("The broker does not answer.")
        is_asked = said is None
        if said is None:
            await heard.ping()
        elif said["type"] == "message":
            yield orjson.loads(said["data"])


def _broker(*, tries_again: int) -> Redis:
    retry = Retry(NoBackoff(), tries_again)
    return Redis.from_url(settings.REDIS_URL, retry=retry, socket_connect_timeout=_SEND_S)

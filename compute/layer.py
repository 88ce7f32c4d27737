"""The channel layer for code that has no event loop: one loop of its own in each process.

``async_to_sync`` would make a loop for every message, and with it a connection to the broker.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

import structlog
from channels.layers import get_channel_layer
from redis.exceptions import ConnectionError as BrokerGone
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

# How long the broker may take for one message, and how long anybody waits who only wants to tell.
_SEND_S = 2.0
# So many messages may wait for a broker that hangs: some 20 MB.
_WAITING_MAX = 10_000

Message = tuple[str, dict[str, Any]]


class _Sender:
    """An event loop in a thread, made at the first use, which sends one message after the other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turn = asyncio.Lock()
        self._waiting = 0
        # The last message was not taken in time: nobody needs to wait for the next.
        self._stuck = False

    def send(self, messages: Sequence[Message]) -> None:
        with self._lock:
            if self._waiting + len(messages) > _WAITING_MAX:
                log.warning("messages_not_sent", lost=len(messages), reason="Too many wait for the broker.")
                return
            self._waiting += len(messages)
        sending = asyncio.run_coroutine_threadsafe(self._send(messages), self._running())
        with contextlib.suppress(FutureTimeout):
            sending.result(0 if self._stuck else _SEND_S)

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="layer", daemon=True).start()
            return self._loop

    async def _send(self, messages: Sequence[Message]) -> None:
        """Each by itself: one that is lost takes no other along."""
        lost: list[str] = []
        async with self._turn:
            for group, message in messages:
                try:
                    await asyncio.wait_for(_group_send(group, message), _SEND_S)
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


def messages_send(group: str, messages: Iterable[Mapping[str, Any]]) -> None:
    """Send each message to the group, in order. Returns when they are sent, at the latest after
    ``_SEND_S``; what then still waits is sent later. What is lost is logged: screens catch up by ``seq``."""
    pairs = [(group, dict(message)) for message in messages]
    if pairs:
        _sender.send(pairs)


async def _group_send(group: str, message: dict[str, Any]) -> None:
    layer = get_channel_layer()
    if layer is None:
        return
    try:
        await layer.group_send(group, message)
    except BrokerGone:
        # The connection that stood since the last message is to a broker that ended meanwhile.
        await layer.group_send(group, message)

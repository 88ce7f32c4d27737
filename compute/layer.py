"""The channel layer for code that has no event loop: one loop of its own in each process.

``async_to_sync`` would make a loop for every message, and with it a connection to the broker.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

from channels.layers import get_channel_layer
from redis.exceptions import ConnectionError as BrokerGone

# A broker that hangs must not hold who only wants to tell.
_SEND_S = 2.0


class _Loop:
    """An event loop in a thread, made at the first use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def get(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="layer", daemon=True).start()
            return self._loop


_loop = _Loop()


def messages_send(messages: Iterable[tuple[Iterable[str], Mapping[str, Any]]]) -> None:
    """Send each message to its groups, in order. Raises ``redis.RedisError`` or ``OSError`` when the broker
    is away; ``TimeoutError``, which is one, when it does not answer within ``_SEND_S``."""
    pairs = [(group, dict(message)) for groups, message in messages for group in groups]
    sending = asyncio.run_coroutine_threadsafe(_send(pairs), _loop.get())
    try:
        sending.result(_SEND_S)
    except FutureTimeout as error:
        sending.cancel()
        raise TimeoutError("The broker does not answer.") from error


async def _send(pairs: list[tuple[str, dict[str, Any]]]) -> None:
    layer = get_channel_layer()
    if layer is None:
        return
    for group, message in pairs:
        try:
            await layer.group_send(group, message)
        except BrokerGone:
            # The connection that stood since the last message is to a broker that ended meanwhile.
            await layer.group_send(group, message)

"""What all sockets share: who is there, a bounded way out, rights that are asked again."""

from __future__ import annotations

import asyncio
import contextlib
import time
import weakref
from collections import Counter, OrderedDict
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import orjson
import structlog
from asgiref.sync import sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.utils import timezone

from compute.actor import Actor, Credential
from compute.audit_net import refusal_audit
from compute.bells import BellWatch, rights_bell
from compute.errors import ComputeError, InvalidInput, RateLimited, Unauthenticated
from compute.selectors.page import time_text
from compute.services.accounts import access_token_open, ticket_open
from compute.services.sign_ins import actor_again
from compute.services.tokens import token_open

log = structlog.get_logger(__name__)
T = TypeVar("T")

SUB_PROTOCOL = "libgo.v1"
CLOSE_CODES = {
    "INVALID_INPUT": 4400,
    "UNAUTHENTICATED": 4401,
    "PERMISSION_DENIED": 4403,
    "POLICY_DENIED": 4403,
    "OPERATION_NOT_SUPPORTED": 4400,
    "INVALID_STATE": 4409,
    "INSTANCE_BUSY": 4409,
    "RATE_LIMITED": 4429,
    "BACKEND_ERROR": 4503,
    "BACKEND_UNAVAILABLE": 4503,
    "BACKEND_TIMEOUT": 4503,
}
_NOT_VISIBLE, _TOO_SLOW = 4404, 4408
_PENDING_MAX = 512
_SOCKETS_PER_USER = 100
_RECHECK_EVERY_S = 5.0
_STALL_MAX_S = 30.0
_QUERY_FIELDS_MAX = 100

_open_sockets: Counter[Any] = Counter()


class Socket(AsyncWebsocketConsumer):
    """Authenticates, then runs ``start``. Sub-classes send with ``push`` and ``push_bytes``."""

    actor: Actor
    # There is no channel layer: facts come by the hub (``compute.facthub``).
    channel_layer_alias = ""
    _stalled_since = 0.0

    async def connect(self) -> None:
        self._pending: OrderedDict[Any, str | bytes] = OrderedDict()
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._closing, self._counted, self._number = False, False, 0
        self._accepted = asyncio.Event()
        self._rights: BellWatch | None = None
        offered = self.scope.get("subprotocols", [])
        problem: ComputeError | None = None
        async with contextlib.AsyncExitStack() as taken:
            # Of a socket that never opened, nobody tells the end.
            taken.push_async_callback(self.disconnect, 1011)
            try:
                await self._begin(offered)
            except ComputeError as error:
                problem = error
            taken.pop_all()
        # Accepted only now: a client that is let in is subscribed already and misses nothing.
        await self.accept(SUB_PROTOCOL if SUB_PROTOCOL in offered else None)
        self._accepted.set()
        if problem is not None:
            await self.fail(problem)
            return
        self.run(self._write_out())
        assert self._rights is not None
        self.run(self._recheck(self._rights))

    async def _begin(self, offered: list[str]) -> None:
        # Before anything is asked: a change from now on is heard of.
        self._rights = rights_bell.join()
        found = await self._authenticate(offered)
        self.actor = replace(found, user_agent=self._header(b"user-agent"))
        self._rights.about(self.actor.user_id)
        self._count()
        await self.start()

    async def start(self) -> None:
        """Subscribe, open streams. Raises ``ComputeError``."""
        raise AssertionError("every socket says what it does")

    async def still_allowed(self) -> None:
        """Asked every few seconds. Raises ``ComputeError`` when the right was taken away."""

    async def revoked(self, error: ComputeError) -> None:
        """The right was taken away, or what it was about is gone."""
        await self.fail(error)

    async def finish(self) -> None:
        """Give back what ``start`` opened."""

    async def disconnect(self, code: int) -> None:
        self._closing = True
        if self._counted:
            _open_sockets[self.actor.user_id] -= 1
            self._counted = False
        for task in self._tasks:
            task.cancel()
        rights, self._rights = self._rights, None
        if rights is not None:
            rights_bell.leave(rights)
        await self.finish()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it beside the socket; it ends with the socket."""
        self._tasks.append(asyncio.get_running_loop().create_task(work))

    def push(self, kind: str, data: Mapping[str, Any], *, key: Any = None) -> None:
        """Queue one envelope. A newer one with the same ``key`` replaces one that still waits."""
        envelope = {"type": kind, "timestamp": time_text(timezone.now()), "data": data}
        self.push_text(orjson.dumps(envelope, default=str).decode(), key=key)

    def push_text(self, text: str, *, key: Any = None) -> None:
        """Queue an envelope that is text already, as many sockets share it."""
        self._queue(key, text)

    def push_bytes(self, data: bytes) -> None:
        self._queue(None, data)

    async def deliver(self, item: str | bytes) -> None:
        """Send it past the queue, once the client has room: for streams that can wait for their
        reader. One that takes nothing for long is dropped. Ends the task when the socket is over."""
        await self._accepted.wait()
        if self._closing:
            raise asyncio.CancelledError
        # No wait_for: before Python 3.12 it may swallow that the task is cancelled.
        self._stalled_since = time.monotonic()
        try:
            if isinstance(item, bytes):
                await self.send(bytes_data=item)
            else:
                await self.send(text_data=item)
        except (RuntimeError, OSError):
            # It left; the server tells us next.
            return
        finally:
            self._stalled_since = 0.0

    async def fail(self, error: ComputeError) -> None:
        """Say why, then close with the code for it."""
        await self._accepted.wait()
        if error.code in ("PERMISSION_DENIED", "POLICY_DENIED") and hasattr(self, "actor"):
            action = str(error.details.get("action") or "socket")
            record = sync_to_async(refusal_audit, thread_sensitive=False)
            await record(self.actor, action, self.scope["path"], error.code)
        with contextlib.suppress(RuntimeError):
            envelope = {
                "type": "error",
                "timestamp": time_text(timezone.now()),
                "data": {"code": error.code, "message": error.message, "details": error.details},
            }
            await self.send(text_data=orjson.dumps(envelope, default=str).decode())
        code = _NOT_VISIBLE if error.code.endswith("NOT_FOUND") else CLOSE_CODES.get(error.code, 4503)
        await self.end(code, error.message)

    async def end(self, code: int, reason: str = "") -> None:
        await self._accepted.wait()
        if not self._closing:
            self._closing = True
            # The protocol allows 123 bytes of reason (RFC 6455, 5.5).
            await self.close(code, reason.encode()[:120].decode("utf-8", "ignore"))

    def _header(self, name: bytes) -> str:
        return dict(self.scope.get("headers", [])).get(name, b"").decode("latin-1")

    def query(self, name: str) -> str | None:
        values = self.query_all().get(name)
        return values[0] if values else None

    def query_all(self) -> dict[str, list[str]]:
        text = self.scope.get("query_string", b"").decode("latin-1")
        try:
            return parse_qs(text, keep_blank_values=True, max_num_fields=_QUERY_FIELDS_MAX)
        except ValueError as error:
            raise InvalidInput("The query has too many fields.") from error

    def _count(self) -> None:
        if _open_sockets[self.actor.user_id] >= _SOCKETS_PER_USER:
            raise RateLimited("You have too many sockets open; close some.", retry_after=5)
        _open_sockets[self.actor.user_id] += 1
        self._counted = True

    def _queue(self, key: Any, item: str | bytes) -> None:
        if self._closing:
            return
        self._number += 1
        if key is not None:
            self._pending.pop(key, None)
        self._pending[key if key is not None else self._number] = item
        if len(self._pending) > _PENDING_MAX:
            self._pending.clear()
            self.run(self.end(_TOO_SLOW, "You read too slowly; connect again."))
        self._wake.set()

    async def _write_out(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._pending:
                _, item = self._pending.popitem(last=False)
                if isinstance(item, bytes):
                    await self.send(bytes_data=item)
                else:
                    await self.send(text_data=item)

    async def _recheck(self, rights: BellWatch) -> None:
        while True:
            # When rights changed; else all at the same moments, so that the sockets of one person share
            # the answers.
            await rights.changed(_RECHECK_EVERY_S - time.monotonic() % _RECHECK_EVERY_S)
            if self._stalled_since and time.monotonic() - self._stalled_since > _STALL_MAX_S:
                await self.end(_TOO_SLOW, "You read too slowly; connect again.")
                return
            try:
                again = partial(sync_to_async(actor_again, thread_sensitive=False), self.actor)
                key = ("actor", self.actor.user_id, self.actor.remote_address, self.actor.credential)
                self.actor = await ask_once(key, again)
                await self.still_allowed()
            except ComputeError as error:
                await self.revoked(error)
                return

    async def _authenticate(self, offered: list[str]) -> Actor:
        """By a ticket, ``bearer.<access token>`` or ``token.<personal token>``, or the pages' cookie."""
        ticket = self.query("ticket")
        words = [word for word in offered if word.startswith(("bearer.", "token."))]
        self._origin_check(has_token=bool(ticket or words))
        address = str((self.scope.get("client") or ("", 0))[0])
        if words:
            found = partial(_actor_by_word, words[0], address)
        elif ticket:
            found = partial(ticket_open, ticket, address)
        else:
            user, session = self.scope.get("user"), self.scope.get("session")
            if user is None or not user.is_authenticated:
                raise Unauthenticated("Log in first, or bring a ticket or a token.")
            key = getattr(session, "session_key", "") or ""
            found = partial(_actor_of, user.pk, address, Credential(session_key=key))
        return await sync_to_async(found, thread_sensitive=False)()

    def _origin_check(self, *, has_token: bool) -> None:
        """A page of another site must not use our cookies; programs have no Origin but a token."""
        origin, host = self._header(b"origin"), self._header(b"host")
        if not origin:
            if not has_token:
                raise Unauthenticated("Without an Origin only tickets and tokens are accepted.")
            return
        if urlsplit(origin).netloc != host and origin not in settings.CSRF_TRUSTED_ORIGINS:
            raise Unauthenticated("This page may not open sockets here.")


_answers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Any, tuple[float, Any]]] = (
    weakref.WeakKeyDictionary()
)


async def ask_once(key: Any, question: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """The answer that another socket got to the same question a moment ago, or a new one."""
    loop = asyncio.get_running_loop()
    known, key = _answers.setdefault(loop, {}), (rights_bell.rung, key)
    fresh_since = loop.time() - _RECHECK_EVERY_S / 5
    at, answer = known.get(key, (0.0, None))
    if answer is None or at < fresh_since:
        for old in [each for each, (asked, _) in known.items() if asked < fresh_since]:
            del known[old]
        answer = loop.create_task(question())
        known[key] = (loop.time(), answer)
    found: T = await asyncio.shield(answer)
    return found


def _actor_by_word(word: str, address: str) -> Actor:
    kind, _, text = word.partition(".")
    user, credential = token_open(text, address) if kind == "token" else access_token_open(text)
    return _actor_of(user.pk, address, credential)


def _actor_of(user_id: Any, address: str, credential: Credential) -> Actor:
    return actor_again(Actor(user_id, "", remote_address=address, credential=credential))

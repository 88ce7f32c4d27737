"""Bodies that stream past the views: the layer alone, against clients that are slow, rude or gone."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from compute.actor import Actor
from compute.api import bodies, transfers
from compute.api.transfers import (
    Download,
    Told,
    TransferMiddleware,
    Upload,
    operation_upload,
    transfer_leave,
)
from compute.errors import BackendError, BackendUnavailable, PermissionDenied
from compute.execution import handlers, sweep
from compute.execution.handlers import Work
from compute.execution.runner import operation_recover
from compute.models import Node, Operation, Project
from compute.places import Places
from compute.services.operations import Intent, operation_submit
from tests.attacks.catalogue import attack

MIB = 1024**2
Left = Download | Upload | None


@dataclass
class Client:
    """One request: what it sends, what it gets. ``leaves`` is set when it hangs up."""

    pieces: list[bytes] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    pause_s: float = 0
    drops_out: bool = False
    method: str = "GET"
    path: str = "/api/v1/t/1"
    got: list[dict[str, Any]] = field(default_factory=list)
    asked: int = 0
    leaves: asyncio.Event = field(default_factory=asyncio.Event)
    reads: asyncio.Event = field(default_factory=asyncio.Event)

    async def receive(self) -> dict[str, Any]:
        self.asked += 1
        if self.pieces:
            await asyncio.sleep(self.pause_s)
            piece = self.pieces.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(self.pieces) or self.drops_out}
        if not self.drops_out:
            await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.got.append(dict(message))
        if message.get("more_body"):
            await self.reads.wait()

    def scope(self) -> dict[str, Any]:
        headers = [(name.encode(), value.encode()) for name, value in self.headers.items()]
        return {"type": "http", "method": self.method, "path": self.path, "headers": headers}

    @property
    def status(self) -> int:
        return int(self.got[0]["status"])

    @property
    def answered(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.got[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.got[1:])

    @property
    def is_complete(self) -> bool:
        last = self.got[-1] if self.got else {"type": ""}
        return last["type"] == "http.response.body" and not last.get("more_body")

    @property
    def code(self) -> str:
        return str(json.loads(self.body)["error"]["code"])


def _app(left: Left, seen: list[bytes], status: int = 200) -> Callable[..., Awaitable[None]]:
    """A view that reads what it is given and leaves ``left``."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((await receive())["body"])
        headers = [(b"content-type", b"text/plain"), (b"content-length", b"0"), (b"x-request-id", b"r1")]
        if left is not None:
            headers += [(k.lower().encode(), v.encode()) for k, v in transfer_leave(left).items()]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if left else b"plain"})

    return app


async def _talk(client: Client, left: Left = None, status: int = 200) -> list[bytes]:
    """Run one request to its end; what the view saw of its body."""
    seen: list[bytes] = []
    client.reads.set()
    await asyncio.wait_for(
        TransferMiddleware(_app(left, seen, status))(client.scope(), client.receive, client.send), 20
    )
    return seen


def _sends(*pieces: bytes, **more: Any) -> Client:
    return Client(list(pieces), {"content-length": str(sum(map(len, pieces)))}, method="PUT", **more)


@pytest.fixture
def uploads(monkeypatch: pytest.MonkeyPatch) -> None:
    """``PUT /api/v1/t/…`` takes bodies that stream."""
    monkeypatch.setattr(transfers, "_upload_routes", [])
    transfers.upload_route("PUT", "t/[^/]+")


async def _read_all(chunks: AsyncIterator[bytes]) -> tuple[int, dict[str, Any]]:
    size = 0
    async for chunk in chunks:
        size += len(chunk)
    return 201, {"size": size}


class Source:
    """Chunks of an engine that can be seen to be closed."""

    def __init__(self, *steps: bytes | BaseException, pause_s: float = 0) -> None:
        self.steps, self.pause_s = steps, pause_s
        self.is_closed = False
        self.given = 0

    async def open(self) -> AsyncIterator[bytes]:
        try:
            for step in self.steps:
                await asyncio.sleep(self.pause_s)
                if isinstance(step, BaseException):
                    raise step
                self.given += 1
                yield step
        finally:
            self.is_closed = True


# -- ordinary requests ----------------------------------------------------------------------------


async def test_a_small_body_reaches_its_view_whole() -> None:
    client = _sends(b"one ", b"two")
    assert await _talk(client) == [b"one two"]
    assert (client.status, client.body) == (200, b"plain")


async def test_a_request_without_a_body_asks_the_client_for_nothing() -> None:
    client = Client()
    await _talk(client)
    assert client.asked == 0 and client.status == 200


@attack("S53 S83", "a body too large for memory", refused="413")
@pytest.mark.parametrize("headers", [{"transfer-encoding": "chunked"}, {"content-length": str(9 * MIB)}])
async def test_a_body_too_large_for_memory_is_refused(headers: dict[str, str], settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * MIB
    client = Client([b"x" * MIB] * 9, {**headers, "x-request-id": "mine"}, method="POST")
    assert await _talk(client) == [], "no view may see it"
    assert (client.status, client.code) == (413, "PAYLOAD_TOO_LARGE")
    assert client.answered["x-request-id"] == "mine" and client.answered["connection"] == "close"
    assert client.pieces == [], "the rest was read away, so that the sender sees the answer"


async def test_a_slow_body_waits_before_it_takes_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "_SMALL_WITHIN_S", 0.2)
    monkeypatch.setattr(bodies, "_LINGER_S", 0.1)
    client = _sends(*[b"x"] * 50, pause_s=0.05)
    assert await _talk(client) == []
    assert (client.status, client.code) == (400, "INVALID_INPUT")


async def test_a_client_that_leaves_while_it_sends_is_not_answered() -> None:
    client = _sends(b"half", drops_out=True)
    assert await _talk(client) == [] and client.got == []


# -- downloads ------------------------------------------------------------------------------------


async def test_a_download_streams_in_the_place_of_the_body() -> None:
    source, client = Source(b"ab", b"cd"), Client()
    await _talk(client, Download(source.open))
    assert client.body == b"abcd" and client.is_complete and source.is_closed
    assert "content-length" not in client.answered, "the view's own empty body does not count"
    assert transfers.TRANSFER_HEADER.lower() not in client.answered
    assert client.answered["x-request-id"] == "r1"


async def test_an_empty_download_is_complete() -> None:
    client = Client()
    await _talk(client, Download(Source().open, told=Told(length=0)))
    assert client.body == b"" and client.is_complete and client.answered["content-length"] == "0"


async def test_head_tells_the_length_and_reads_no_further() -> None:
    source, client = Source(b"ab", b"cd"), Client(method="HEAD")
    await _talk(client, Download(source.open, told=Told(length=4)))
    assert client.answered["content-length"] == "4" and client.body == b""
    assert source.given == 1 and source.is_closed


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (BackendUnavailable("away"), 503, "BACKEND_UNAVAILABLE"),
        (PermissionDenied("no"), 403, "PERMISSION_DENIED"),
        (OSError("a surprise"), 500, "INTERNAL"),
    ],
)
async def test_an_error_before_the_first_chunk_is_an_answer(error: Any, status: int, code: str) -> None:
    client = Client()
    await _talk(client, Download(Source(error).open, told=Told(length=12)))
    assert (client.status, client.code) == (status, code)
    assert client.answered["content-type"] == "application/json"
    assert client.answered["content-length"] == str(len(client.body))
    assert client.answered["x-request-id"] == "r1"


@pytest.mark.parametrize("error", [BackendError("lost"), OSError("a surprise")])
async def test_an_error_later_never_looks_like_the_end(error: Any) -> None:
    source, client = Source(b"ab", error), Client()
    await _talk(client, Download(source.open))
    assert client.body == b"ab" and not client.is_complete and source.is_closed


@pytest.mark.parametrize("length", [3, 5])
async def test_a_length_that_was_a_lie_breaks_it_off(length: int) -> None:
    client = Client()
    await _talk(client, Download(Source(b"ab", b"cd").open, told=Told(length=length)))
    assert not client.is_complete


async def test_a_reader_that_stands_still_holds_back_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfers, "RECHECK_EVERY_S", 0.05)
    monkeypatch.setattr(transfers, "IDLE_MAX_S", 0.2)
    source, client = Source(*[b"x"] * 1000), Client()
    app = TransferMiddleware(_app(Download(source.open), []))
    await asyncio.wait_for(app(client.scope(), client.receive, client.send), 20)
    assert source.given == 1 and source.is_closed and not client.is_complete


@pytest.mark.parametrize("steps", [(b"x", b"y"), ()])
async def test_a_client_that_leaves_closes_the_source(steps: tuple[bytes, ...]) -> None:
    """After its first chunk, and while it still waits for one."""
    waits: Source = Source(*steps, *[b"late"], pause_s=0 if steps else 60)
    client = Client()
    running = asyncio.ensure_future(
        TransferMiddleware(_app(Download(waits.open), []))(client.scope(), client.receive, client.send)
    )
    await asyncio.sleep(0.05)
    client.leaves.set()
    await asyncio.wait_for(running, 20)
    assert waits.is_closed and not client.is_complete


async def test_a_right_that_is_taken_away_ends_a_long_download(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfers, "RECHECK_EVERY_S", 0.05)
    asked: list[int] = []

    async def still_allowed() -> None:
        asked.append(1)
        if len(asked) == 3:
            raise PermissionDenied("not any more")

    source, client = Source(*[b"x"] * 1000, pause_s=0.01), Client()
    await _talk(client, Download(source.open, still_allowed))
    assert len(asked) == 3 and source.is_closed and not client.is_complete


async def test_what_nobody_takes_up_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfers, "_LEFT_MAX_S", -1.0)
    monkeypatch.setattr(transfers, "_left", {})
    for _ in range(3):
        transfer_leave(Download(Source().open))
    assert len(transfers._left) == 1


# -- uploads --------------------------------------------------------------------------------------


async def test_an_upload_streams_past_its_view(uploads: None) -> None:
    client = _sends(b"ab", b"cde")
    assert await _talk(client, Upload(_read_all, headers={"Location": "/there"})) == [b""]
    assert (client.status, json.loads(client.body)) == (201, {"size": 5})
    assert client.answered["location"] == "/there" and client.answered["x-request-id"] == "r1"
    assert "connection" not in client.answered


async def test_a_refused_upload_is_answered_before_it_is_read(
    uploads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "_LINGER_S", 0.2)
    client = _sends(*[b"x"] * 1000, pause_s=0.02)
    await _talk(client, None, 403)
    assert client.status == 403 and client.answered["connection"] == "close"
    assert client.body == b"plain" and client.is_complete
    assert client.asked < 50, "a body that nobody wants is not read for ever"


@attack("S53", "an upload over its limit, without a length", refused="413")
@pytest.mark.parametrize("headers", [{"transfer-encoding": "chunked"}, {"content-length": "5"}])
async def test_an_upload_over_its_limit_is_too_large(uploads: None, headers: dict[str, str]) -> None:
    client = Client([b"ab", b"cde"], headers, method="PUT")
    await _talk(client, Upload(_read_all, max_bytes=4))
    assert (client.status, client.code) == (413, "PAYLOAD_TOO_LARGE")


async def test_an_upload_that_breaks_off_tells_who_reads_it(uploads: None) -> None:
    seen: list[str] = []

    async def run(chunks: AsyncIterator[bytes]) -> tuple[int, dict[str, Any]]:
        try:
            return await _read_all(chunks)
        except Exception as error:
            seen.append(str(error))
            raise

    client = _sends(b"half", drops_out=True)
    await _talk(client, Upload(run))
    assert seen == ["The body of the request ended before it was complete."] and client.got == []


@attack("S53", "an upload that stalls", refused="given up")
async def test_an_upload_that_stalls_is_given_up(uploads: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "IDLE_MAX_S", 0.1)
    monkeypatch.setattr(bodies, "_LINGER_S", 0.1)
    client = _sends(b"a", b"b", pause_s=1)
    await _talk(client, Upload(_read_all))
    assert (client.status, client.code) == (400, "INVALID_INPUT")


@attack(
    "S53", "an upload of a byte now and then, which never stalls", refused="given up; what comes fast is not"
)
async def test_an_upload_that_trickles_is_given_up(uploads: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "IDLE_MAX_S", 0.2)
    monkeypatch.setattr(bodies, "_LINGER_S", 0.1)
    monkeypatch.setattr(bodies, "PACE_MIN_BYTES", 100)
    client = _sends(*[b"a"] * 40, pause_s=0.02)
    await _talk(client, Upload(_read_all))
    assert (client.status, client.code) == (400, "INVALID_INPUT")
    assert client.pieces, "it was not read to its end"
    quick = _sends(*[b"a" * 100] * 40, pause_s=0.02)
    await _talk(quick, Upload(_read_all))
    assert quick.status == 201 and not quick.pieces


async def test_an_upload_is_read_only_as_fast_as_it_is_used(uploads: None) -> None:
    most: list[int] = []
    client = _sends(*[b"x" * 1000] * 40)

    async def run(chunks: AsyncIterator[bytes]) -> tuple[int, dict[str, Any]]:
        used = 0
        async for _ in chunks:
            await asyncio.sleep(0.001)
            used += 1
            most.append(client.asked - used)
        return 200, {}

    await _talk(client, Upload(run))
    assert max(most) == 0


async def test_a_right_that_is_taken_away_ends_a_long_upload(
    uploads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "RECHECK_EVERY_S", 0.05)

    async def still_allowed() -> None:
        raise PermissionDenied("not any more")

    client = _sends(*[b"x"] * 20, pause_s=0.02)
    await _talk(client, Upload(_read_all, still_allowed=still_allowed))
    assert (client.status, client.code) == (403, "PERMISSION_DENIED")


async def test_a_surprise_in_an_upload_is_an_error_in_our_words(uploads: None) -> None:
    async def run(chunks: AsyncIterator[bytes]) -> tuple[int, dict[str, Any]]:
        raise OSError("a surprise")

    client = _sends(b"ab")
    await _talk(client, Upload(run))
    assert (client.status, client.code) == (500, "INTERNAL") and b"surprise" not in client.body


@attack("S53", "more transfers at once than there may be", refused="429, and when to come again")
async def test_too_many_transfers_at_once_are_refused(uploads: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfers, "_TRANSFERS_AT_ONCE", 0)
    sends, reads = _sends(b"ab"), Client()
    await _talk(sends, Upload(_read_all))
    await _talk(reads, Download(Source(b"ab").open))
    assert (sends.status, sends.code) == (reads.status, reads.code) == (429, "RATE_LIMITED")
    assert reads.answered["retry-after"] == "5"


async def test_one_person_has_a_share_of_the_transfers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has them all waits; others, and the same person later, do not."""
    monkeypatch.setattr(transfers, "_TRANSFERS_SHARE", 2)
    greedy, other, held = uuid.uuid4(), uuid.uuid4(), [Client(), Client()]
    layer = TransferMiddleware(_app(Download(Source(b"ab", b"c").open, person=greedy), []))
    running = [asyncio.ensure_future(layer(each.scope(), each.receive, each.send)) for each in held]
    await asyncio.sleep(0.05)

    async def ask(person: uuid.UUID) -> Client:
        client = Client()
        client.reads.set()
        layer._app = _app(Download(Source(b"ab").open, person=person), [])
        await asyncio.wait_for(layer(client.scope(), client.receive, client.send), 20)
        return client

    refused = await ask(greedy)
    assert (refused.status, refused.code) == (429, "RATE_LIMITED")
    assert json.loads(refused.body)["error"]["details"] == {"retry_after": 5, "scope": "person", "limit": 2}
    assert (await ask(other)).body == b"ab"
    for each in held:
        each.reads.set()
    await asyncio.wait_for(asyncio.gather(*running), 20)
    assert (await ask(greedy)).body == b"ab"


# -- uploads that an operation works on -----------------------------------------------------------


@pytest.fixture
def sums(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The action ``t.sum`` counts the bytes of its body; ``slow`` makes it go on for a while."""
    how: dict[str, Any] = {"slow": 0.0, "stop_at": None}

    def handler(work: Work) -> dict[str, Any]:
        size = 0
        for chunk in work.body:
            size += len(chunk)
            if how["stop_at"] is not None and size >= how["stop_at"]:
                raise BackendError("that is no image")
        work.report._lost.wait(how["slow"])
        return {"size": size}

    monkeypatch.setitem(handlers._handlers, "t.sum", handler)
    yield how


@pytest.fixture
def operation(transactional_db: Any, admin: Actor, fake_node: Node, project: Project) -> Operation:
    return operation_submit(admin, Intent("t.sum", fake_node, target="body", project=project, here=True))


def _now(operation: Operation) -> Operation:
    return Operation.objects.get(pk=operation.pk)


def _upload(client: Client, operation: Operation, wait_s: float = 5) -> None:
    asyncio.run(_talk(client, operation_upload(operation, wait_s, "200+result")))


def test_a_body_is_the_input_of_an_operation(uploads: None, sums: Any, operation: Operation) -> None:
    client = _sends(*[b"x" * 1000] * 20)
    _upload(client, operation)
    assert client.status == 200 and json.loads(client.body)["size"] == 20_000
    assert client.answered["location"] == f"/api/v1/operations/{operation.pk}"
    assert _now(operation).state == "succeeded"


def test_uploads_over_a_persons_share_end_at_once_and_say_why(
    uploads: None, sums: Any, operation: Operation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfers, "_upload_places", Places("uploads", most=9, share=1))
    client = _sends(b"ab")
    with transfers._upload_places.take(operation.user_id):
        _upload(client, operation)
    assert (client.status, client.code) == (429, "RATE_LIMITED") and client.answered["retry-after"] == "5"
    assert (_now(operation).state, _now(operation).error_code) == ("failed", "RATE_LIMITED")
    with transfers._upload_places.take(operation.user_id):
        pass


def test_long_work_is_answered_once_the_body_is_read(
    uploads: None, sums: dict[str, Any], operation: Operation
) -> None:
    sums["slow"] = 1.0
    client = _sends(b"ab")

    async def run() -> None:
        await _talk(client, operation_upload(operation, 0.1))
        await asyncio.sleep(1.2)

    asyncio.run(run())
    assert client.status == 202 and json.loads(client.body)["operation"]["state"] == "running"
    assert _now(operation).state == "succeeded", "it goes on without the client"


def test_a_body_that_ends_early_fails_its_operation(uploads: None, sums: Any, operation: Operation) -> None:
    _upload(_sends(b"half", drops_out=True), operation)
    assert (_now(operation).state, _now(operation).error_code) == ("failed", "INVALID_INPUT")


def test_an_operation_that_has_seen_enough_answers_before_the_end(
    uploads: None, sums: dict[str, Any], operation: Operation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "_LINGER_S", 0.2)
    sums["stop_at"] = 3
    client = _sends(*[b"x"] * 2000, pause_s=0.01)
    _upload(client, operation)
    assert (client.status, client.code) == (502, "BACKEND_ERROR") and client.asked < 100
    assert _now(operation).state == "failed"


def test_a_body_over_the_limit_closes_its_operation(uploads: None, sums: Any, operation: Operation) -> None:
    given = operation_upload(operation, 5)
    client = _sends(b"abcdef")
    asyncio.run(_talk(client, Upload(given.run, max_bytes=3)))
    assert client.status == 413 and _now(operation).error_code == "PAYLOAD_TOO_LARGE"


def test_a_client_that_hangs_up_after_its_body_changes_nothing(
    uploads: None, sums: dict[str, Any], operation: Operation
) -> None:
    sums["slow"] = 0.3
    client = _sends(b"ab")
    client.leaves.set()
    _upload(client, operation)
    assert _now(operation).state == "succeeded"


def test_an_operation_whose_process_died_is_closed_by_the_sweeper(operation: Operation) -> None:
    assert _now(operation).lease_until is not None, "the lease runs from birth"
    Operation.objects.filter(pk=operation.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    assert sweep.operations_lost() == [str(operation.pk)]
    operation_recover(str(operation.pk))
    assert (_now(operation).state, _now(operation).error_code) == ("interrupted", "OPERATION_INTERRUPTED")

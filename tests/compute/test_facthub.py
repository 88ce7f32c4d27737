"""Facts are taken once for all who look on: who hears what, what is shared, and who reads too slowly."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import redis
import uvicorn
from asgiref.sync import sync_to_async
from django.conf import settings as site_settings
from django.db import OperationalError
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as dial
from websockets.exceptions import ConnectionClosed

from compute import broadcast, events, facthub
from compute.actor import Actor
from compute.bells import rights_bell
from compute.errors import BackendUnavailable
from compute.events import FACTS, Fact, audiences_of, events_publish
from compute.facthub import Told
from compute.live import broker_answers, ticket_issue
from compute.models import Event, Project
from compute.sockets import _open_sockets
from compute.topics import topic_name
from tests.brokers import Broker
from tests.compute.test_sockets import APPLICATION, Client
from tests.live import strain
from tests.sockets import until_true

pytestmark = pytest.mark.django_db(transaction=True)
_OURS, _THEIRS = uuid.uuid4(), uuid.uuid4()


class Ear:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.heard: list[Told] = []
        self.lost = 0

    def fact(self, told: Told) -> None:
        self.heard.append(told)

    def facts_lost(self) -> None:
        self.lost += 1

    @property
    def types(self) -> list[str]:
        return [told.type for told in self.heard]


class Broken(Ear):
    def fact(self, told: Told) -> None:
        raise ValueError("it cannot hear")


@pytest.fixture
async def ear() -> AsyncIterator[Callable[..., Any]]:
    """``await ear(*projects)``: one who sees these, None for all."""
    joined: list[Ear] = []

    async def _ear(*projects: Any, kind: type[Ear] = Ear) -> Ear:
        joined.append(kind())
        await facthub.join(joined[-1], audiences_of(None if projects == (None,) else projects))
        return joined[-1]

    yield _ear
    for each in joined:
        facthub.leave(each)


async def _publish(*facts: Fact) -> None:
    await sync_to_async(events_publish)(list(facts))


def _subscribers() -> int:
    """Of the one channel that facts go over, as the broker counts them."""
    client = redis.Redis.from_url(site_settings.REDIS_URL)
    ((_, count),) = client.pubsub_numsub(topic_name(FACTS))
    return int(count)


async def test_each_hears_of_its_projects_and_of_the_site_and_nobody_of_foreign_ones(ear: Any) -> None:
    everything, ours, both, none = await ear(None), await ear(_OURS), await ear(_OURS, _THEIRS), await ear()
    progress = sync_to_async(events.operation_progress_send)
    await _publish(Fact("instance.ours", project_id=_OURS), Fact("instance.theirs", project_id=_THEIRS))
    await progress("o1", str(_THEIRS), {"progress": 5})
    await progress("o2", None, {"progress": 6})
    await _publish(Fact("node.offline"))
    await until_true(lambda: "node.offline" in everything.types, "the last one has come")
    progress_of = "operation.progress"
    assert everything.types == ["instance.ours", "instance.theirs", progress_of, progress_of, "node.offline"]
    assert both.types == ["instance.ours", "instance.theirs", progress_of, "node.offline"]
    assert ours.types == ["instance.ours", "node.offline"]
    assert none.types == ["node.offline"]


async def test_the_envelope_is_the_contracts_and_its_text_is_made_once(ear: Any) -> None:
    first, second = await ear(None), await ear(_OURS)
    await _publish(Fact("instance.started", "It runs.", project_id=_OURS, details={"state": "running"}))
    await until_true(lambda: first.heard and second.heard, "both are told")
    assert first.heard[0].text is second.heard[0].text
    row = await Event.objects.aget()
    said = orjson.loads(first.heard[0].text)
    assert set(said) == {"type", "seq", "timestamp", "data"} and said["seq"] == row.seq
    assert said["data"] == events.event_data(row)


async def test_what_one_sees_changes_at_once(ear: Any) -> None:
    one, witness = await ear(_OURS), await ear(None)
    await facthub.join(one, audiences_of([_THEIRS]))
    await _publish(Fact("instance.ours", project_id=_OURS), Fact("instance.theirs", project_id=_THEIRS))
    await until_true(lambda: len(witness.heard) == 2, "both were told")
    assert one.types == ["instance.theirs"]
    facthub.leave(one)
    await _publish(Fact("node.online"))
    await until_true(lambda: len(witness.heard) == 3, "it goes on")
    assert one.types == ["instance.theirs"]


async def test_many_listeners_are_one_subscriber_and_the_last_ends_it(ear: Any) -> None:
    before = await sync_to_async(_subscribers)()
    many = [await ear(_OURS) for _ in range(50)]
    assert await sync_to_async(_subscribers)() == before + 1
    hub = facthub._hubs[asyncio.get_running_loop()]
    for one in many:
        facthub.leave(one)
    await until_true(hub._task.done, "nobody listens, so the hub ends")
    assert not hub._listeners and await sync_to_async(_subscribers)() == before
    again = await ear(_OURS)
    await _publish(Fact("instance.ours", project_id=_OURS))
    await until_true(lambda: again.types == ["instance.ours"], "who comes later begins anew")


async def test_one_that_fails_makes_nobody_else_deaf(ear: Any) -> None:
    await ear(None, kind=Broken)
    good = await ear(None)
    await _publish(Fact("node.offline"), Fact("node.online"))
    await until_true(lambda: good.types == ["node.offline", "node.online"], "the other one hears")


@pytest.fixture
def own_broker(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Broker]:
    """One of the test's own, which all facts go over, and nothing else; a hub asks it again quickly."""
    assert broker_answers()
    made = Broker(tmp_path)
    settings.REDIS_URL = made.url
    monkeypatch.setattr(broadcast, "_sender", broadcast._Sender())
    monkeypatch.setattr(facthub, "_READY_MAX_S", 0.3)
    monkeypatch.setattr(facthub, "_AGAIN_S", 0.1)
    yield made
    made.end()


async def _hears_again() -> None:
    await until_true(facthub._hubs[asyncio.get_running_loop()]._ready.is_set, "the hub hears")


async def test_without_a_broker_who_joins_is_told_so_and_is_heard_for_when_it_is_back(
    own_broker: Broker,
) -> None:
    one, began = Ear(), time.monotonic()
    with pytest.raises(BackendUnavailable):
        await facthub.join(one, audiences_of(None))
    assert time.monotonic() - began < 2 * strain()
    await sync_to_async(own_broker.start)()
    await _hears_again()
    await _publish(Fact("node.online"))
    await until_true(lambda: one.types == ["node.online"], "it is told")
    assert one.lost == 0, "it had nothing to lose"
    facthub.leave(one)


async def test_that_the_broker_was_lost_is_told_once_to_those_who_were_heard_for(
    own_broker: Broker, ear: Any
) -> None:
    await sync_to_async(own_broker.start)()
    before, meanwhile = await ear(None), Ear()
    own_broker.kill()
    await until_true(lambda: before.lost, "it is told", 2)
    with pytest.raises(BackendUnavailable):
        await facthub.join(meanwhile, audiences_of(None))
    await sync_to_async(own_broker.start)()
    await _hears_again()
    await _publish(Fact("node.online"))
    await until_true(lambda: before.types == meanwhile.types == ["node.online"], "both are told again")
    assert (before.lost, meanwhile.lost) == (1, 0)
    facthub.leave(meanwhile)


async def test_whatever_ends_the_hearing_is_told_and_it_begins_anew(
    own_broker: Broker, ear: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sync_to_async(own_broker.start)()
    one = await ear(None)
    await sync_to_async(own_broker.client.publish)(topic_name(FACTS), "no JSON")
    await until_true(lambda: one.lost == 1, "it is told")
    await _hears_again()
    await _publish(Fact("node.online"))
    await until_true(lambda: one.types == ["node.online"], "it goes on")


# -- over real sockets -----------------------------------------------------------------------------


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as made:
        yield made


@pytest.fixture
async def server(listening: socket.socket) -> AsyncIterator[int]:
    """The sockets behind the server that the web process runs; its port."""
    options: Any = {"lifespan": "off", "log_level": "error", "ws_per_message_deflate": False}
    config = uvicorn.Config(APPLICATION, ws="websockets", **options)
    made = uvicorn.Server(config)
    made.config.load()
    task = asyncio.create_task(made.serve([listening]))
    await until_true(lambda: made.started, "it listens")
    yield int(listening.getsockname()[1])
    made.should_exit = True
    await task


async def _dialled(port: int, actor: Actor, path: str = "/events", **options: Any) -> ClientConnection:
    ticket = await sync_to_async(ticket_issue)({"user": str(actor.user_id)})
    return await dial(f"ws://127.0.0.1:{port}/ws/v1{path}?ticket={ticket}", proxy=None, **options)


async def test_twenty_sockets_share_one_subscription_and_all_are_told_in_order(
    server: int, admin: Actor, viewer: Actor, project: Project
) -> None:
    before = await sync_to_async(_subscribers)()
    opened = [await _dialled(server, viewer if number % 2 else admin) for number in range(20)]
    assert await sync_to_async(_subscribers)() == before + 1
    await _publish(*(Fact(f"instance.n{number}", project_id=project.pk) for number in range(30)))
    for each in opened:
        types = [orjson.loads(await asyncio.wait_for(each.recv(), 10))["type"] for _ in range(30)]
        assert types == [f"instance.n{number}" for number in range(30)]
    await asyncio.gather(*(each.close() for each in opened))
    await until_true(lambda: not facthub._hubs[asyncio.get_running_loop()]._audiences, "all have left")


async def test_a_slow_reader_is_closed_with_4408_and_the_others_lose_nothing(
    server: int, admin: Actor, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compute.sockets._PENDING_MAX", 40)
    slow, quick = await _dialled(server, admin, max_queue=1), await _dialled(server, admin)
    came: list[int] = []

    async def read() -> None:
        async for message in quick:
            came.append(orjson.loads(message)["seq"])

    async def publish() -> None:
        fact = Fact("instance.started", project_id=project.pk, details={"filling": "x" * 40_000})
        told = len(came) + 10
        await _publish(*[fact] * 10)
        await until_true(lambda: len(came) == told, "the other one is told")

    reading = asyncio.create_task(read())
    listeners: Any = facthub._hubs[asyncio.get_running_loop()]._audiences
    while not any(each._closing for each in listeners):
        assert len(came) < 2000, "what waits for one socket has no bound"
        await publish()
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            await asyncio.wait_for(slow.recv(), 10)
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 4408
    await publish()
    assert came == sorted(set(came))
    await quick.close()
    await reading


async def test_a_socket_that_fails_while_it_opens_leaves_nothing_behind(
    admin: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise OperationalError("the database is away")

    monkeypatch.setattr("compute.consumers.facts.operation_get", away)
    ticket = await sync_to_async(ticket_issue)({"user": str(admin.user_id)})
    client = Client(f"/ws/v1/operations/{uuid.uuid4()}?ticket={ticket}")
    watched = len(rights_bell._watches)
    with pytest.raises(OperationalError):
        await client.open()
    assert not facthub._hubs[asyncio.get_running_loop()]._audiences
    assert len(rights_bell._watches) == watched and not _open_sockets[admin.user_id]


async def test_sockets_of_facts_end_with_4503_when_the_broker_is_lost(
    own_broker: Broker, admin: Actor
) -> None:
    await sync_to_async(own_broker.start)()
    ticket = await sync_to_async(ticket_issue)({"user": str(admin.user_id)})
    client = await Client(f"/ws/v1/events?ticket={ticket}").open()
    own_broker.kill()
    assert (await client.envelope())["data"]["code"] == "BACKEND_UNAVAILABLE"
    assert await client.closed_with() == 4503
    await client.leave()

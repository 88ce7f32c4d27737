"""Sockets: who gets in, what they hear, and that rights are asked again."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from channels.routing import URLRouter

from compute.actor import Actor
from compute.events import Fact, event_publish
from compute.live import ticket_issue, usage_write
from compute.models import Instance, Membership, User
from compute.routing import websocket_urlpatterns
from compute.services.accounts import pair_make
from tests.attacks.catalogue import attack

pytestmark = pytest.mark.django_db(transaction=True)
APPLICATION = URLRouter(websocket_urlpatterns)


class Client:
    """A socket client that speaks ASGI to the consumers."""

    def __init__(self, path: str, headers: Any = (), subprotocols: Any = ()) -> None:
        route, _, query = path.partition("?")
        scope = {
            "type": "websocket",
            "path": route,
            "query_string": query.encode(),
            "headers": list(headers),
            "subprotocols": list(subprotocols),
        }
        self._app = ApplicationCommunicator(APPLICATION, scope)

    async def open(self) -> Client:
        await self._app.send_input({"type": "websocket.connect"})
        assert (await self._app.receive_output(5))["type"] == "websocket.accept"
        return self

    async def send(self, text: str) -> None:
        await self._app.send_input({"type": "websocket.receive", "text": text})

    async def envelope(self) -> dict[str, Any]:
        message = await self._app.receive_output(5)
        return dict(orjson.loads(message["text"]))

    async def is_quiet(self) -> bool:
        return bool(await self._app.receive_nothing(0.4))

    async def closed_with(self) -> int:
        """Skip what is said first; the close code."""
        for _ in range(10):
            message = await self._app.receive_output(8)
            if message["type"] == "websocket.close":
                return int(message["code"])
        raise AssertionError("it was not closed")

    async def leave(self) -> None:
        if not self._app.future.done():
            await self._app.send_input({"type": "websocket.disconnect", "code": 1000})
            await self._app.wait(3)


@pytest.fixture
async def connect(request: pytest.FixtureRequest) -> AsyncIterator[Callable[..., Any]]:
    opened: list[Client] = []

    async def _connect(actor: Actor | None, path: str, **options: Any) -> Client:
        if actor is not None:
            ticket = await sync_to_async(ticket_issue)({"user": str(actor.user_id)})
            path += f"{'&' if '?' in path else '?'}ticket={ticket}"
        client = Client(path, **options)
        opened.append(client)
        return await client.open()

    yield _connect
    for client in opened:
        await client.leave()


async def test_without_a_ticket_or_token_it_is_4401(connect: Any, admin: Actor) -> None:
    assert await (await connect(None, "/ws/v1/events")).closed_with() == 4401


@attack("S22", "a ticket used a second time", refused="closed with 4401")
async def test_a_ticket_opens_one_socket_once(connect: Any, admin: Actor) -> None:
    ticket = await sync_to_async(ticket_issue)({"user": str(admin.user_id)})
    first = await connect(None, f"/ws/v1/events?ticket={ticket}")
    assert await first.is_quiet()
    assert await (await connect(None, f"/ws/v1/events?ticket={ticket}")).closed_with() == 4401


async def test_a_token_comes_as_a_sub_protocol(connect: Any, admin: Actor) -> None:
    user = await User.objects.aget(pk=admin.user_id)
    pair = await sync_to_async(pair_make)(user, uuid.uuid4())
    good = await connect(None, "/ws/v1/events", subprotocols=["libgo.v1", f"bearer.{pair.access}"])
    assert await good.is_quiet()
    bad = await connect(None, "/ws/v1/events", subprotocols=["libgo.v1", "bearer.garbage"])
    assert await bad.closed_with() == 4401


@attack("S21", "a socket with a good ticket from a foreign Origin", refused="closed with 4401")
async def test_a_page_of_another_site_is_refused_even_with_a_ticket(connect: Any, admin: Actor) -> None:
    headers = [(b"origin", b"https://evil.example"), (b"host", b"libgo.example")]
    assert await (await connect(admin, "/ws/v1/events", headers=headers)).closed_with() == 4401


@attack(
    "S25",
    "listening to foreign events, by any and by no subscription",
    refused="nothing is heard",
)
async def test_facts_reach_those_who_may_see_them(
    connect: Any, viewer: Actor, stranger: Actor, project: Any, fake_node: Any
) -> None:
    member, outsider = await connect(viewer, "/ws/v1/events"), await connect(stranger, "/ws/v1/events")
    row = await sync_to_async(Instance.objects.create)(
        node=fake_node, project=project, name="web", type="container", created_at="2026-01-01T00:00:00Z"
    )
    await sync_to_async(event_publish)(Fact("instance.started", "web is running.", instance=row))
    envelope = await member.envelope()
    assert set(envelope) == {"type", "seq", "timestamp", "data"}
    assert (envelope["type"], envelope["data"]["instance"]) == ("instance.started", str(row.pk))
    assert await outsider.is_quiet()
    for noun, value in (
        ("instance", row.pk),
        ("project", "*"),
        ("project", project.pk),
        ("operation", row.pk),
    ):
        await outsider.send(orjson.dumps({"type": "subscribe", "data": {noun: str(value)}}).decode())
        await sync_to_async(event_publish)(Fact("instance.updated", "web changed.", instance=row))
        assert await outsider.is_quiet(), f"{noun} {value}"
        assert (await member.envelope())["type"] == "instance.updated"


@attack(
    "S23 S30",
    "logs, exec, consoles, attach as a viewer and a stranger",
    refused="closed with 4403 and 4404",
)
async def test_a_viewer_gets_no_content_and_a_stranger_no_instance(
    connect: Any, viewer: Actor, stranger: Actor, project: Any, fake_node: Any
) -> None:
    row = await sync_to_async(Instance.objects.create)(
        node=fake_node,
        project=project,
        name="web",
        type="vm",
        state="running",
        created_at="2026-01-01T00:00:00Z",
    )
    for what in ("logs", "exec", "console", "vnc", "attach"):
        assert await (await connect(viewer, f"/ws/v1/instances/{row.pk}/{what}")).closed_with() == 4403
    for what in ("logs", "stats", "exec", "console", "vnc", "attach"):
        assert await (await connect(stranger, f"/ws/v1/instances/{row.pk}/{what}")).closed_with() == 4404


async def test_samples_are_streamed_to_a_viewer(
    connect: Any, viewer: Actor, project: Any, fake_node: Any
) -> None:
    row = await sync_to_async(Instance.objects.create)(
        node=fake_node, project=project, name="web", type="vm", created_at="2026-01-01T00:00:00Z"
    )
    sample = {"timestamp": "2026-01-01T00:00:00Z", "cpu_percent": 1.5, "memory_bytes": 7}
    await sync_to_async(usage_write)({str(row.pk): sample})
    socket = await connect(viewer, f"/ws/v1/instances/{row.pk}/stats")
    assert (await socket.envelope())["data"] == sample


async def test_one_socket_tells_what_many_use_of_which_one_may_see_them(
    connect: Any, viewer: Actor, stranger: Actor, project: Any, fake_node: Any
) -> None:
    rows = [
        await sync_to_async(Instance.objects.create)(
            node=fake_node,
            project=project,
            name=name,
            type="vm",
            engine_id=name,
            created_at="2026-01-01T00:00:00Z",
        )
        for name in ("web", "db", "unwatched")
    ]
    sample = {"timestamp": "2026-01-01T00:00:00Z", "cpu_percent": 1.5, "memory_bytes": 7, "pids": 3}
    await sync_to_async(usage_write)({str(row.pk): sample for row in rows})
    ids = [str(row.pk) for row in rows[:2]]
    told = orjson.dumps({"type": "watch", "data": {"instances": [*ids, str(uuid.uuid4())]}}).decode()
    socket = await connect(viewer, "/ws/v1/usage")
    await socket.send(told)
    shown = {
        "timestamp": sample["timestamp"],
        "cpu_percent": 1.5,
        "memory_bytes": 7,
        "memory_limit_bytes": None,
    }
    assert (await socket.envelope())["data"] == dict.fromkeys(ids, shown)
    hidden = await connect(stranger, "/ws/v1/usage")
    await hidden.send(told)
    assert await hidden._app.receive_nothing(2.5)
    for bad in (
        "[]",
        '{"type":"watch","data":{"instances":["x"]}}',
        '{"type":"watch","data":{"instances":7}}',
    ):
        socket = await connect(viewer, "/ws/v1/usage")
        await socket.send(bad)
        assert await socket.closed_with() == 4400


async def test_a_right_taken_away_closes_the_socket(
    connect: Any, operator: Actor, project: Any, fake_node: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compute.sockets._RECHECK_EVERY_S", 0.2)
    row = await sync_to_async(Instance.objects.create)(
        node=fake_node,
        project=project,
        name="web",
        type="vm",
        engine_id="e1",
        state="running",
        created_at="2026-01-01T00:00:00Z",
    )
    socket = await connect(operator, f"/ws/v1/instances/{row.pk}/stats")
    await Membership.objects.filter(user_id=operator.user_id).adelete()
    assert await socket.closed_with() == 4404


@attack("S27", "words and paths that make no sense", refused="closed with 4400 and 4404")
async def test_bad_words_close_with_4400_and_unknown_paths_with_4404(connect: Any, admin: Actor) -> None:
    socket = await connect(admin, "/ws/v1/events")
    await socket.send("[]")
    assert await socket.closed_with() == 4400
    assert await (await connect(admin, "/ws/v1/nothing")).closed_with() == 4404

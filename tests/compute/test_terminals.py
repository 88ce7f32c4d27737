"""Sessions and attachments over sockets, on the fake engine: frames, bounds, records, who writes."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from compute import attachhub, sessions
from compute.actor import Actor
from compute.backends.fake import FakeEngine
from compute.backends.types import InstanceInfo, SessionSpec
from compute.consumers import terminals
from compute.events import rights_changed
from compute.execution.sessions import sessions_sweep
from compute.models import AuditEvent, Instance, Membership, Node, OpenSession, User
from compute.states import InstanceState, InstanceType
from compute.streams import SHELL
from tests.attacks.catalogue import attack
from tests.compute.test_sockets import Client, connect  # noqa: F401  a fixture

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def web(project: Any, fake_node: Node, engine: FakeEngine) -> Instance:
    engine.instances["e1"] = InstanceInfo(
        "e1", "web", InstanceType.CONTAINER, InstanceState.RUNNING, "Up", instance_id=""
    )
    fake_node.capabilities = [*fake_node.capabilities, "attach"]
    await fake_node.asave()
    return await sync_to_async(Instance.objects.create)(
        node=fake_node,
        project=project,
        name="web",
        type="container",
        engine_id="e1",
        state="running",
        created_at="2026-01-01T00:00:00Z",
    )


class Session:
    """One socket, with what it said sorted."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._shown: list[bytes] = []
        self._told: list[dict[str, Any]] = []

    async def keys(self, data: bytes) -> None:
        await self.client._app.send_input({"type": "websocket.receive", "bytes": data})

    async def tell(self, **message: Any) -> None:
        await self.client.send(orjson.dumps(message).decode())

    async def shown(self) -> bytes:
        while not self._shown:
            await self._take()
        return self._shown.pop(0)

    async def told(self, kind: str) -> dict[str, Any]:
        while not (found := [envelope for envelope in self._told if envelope["type"] == kind]):
            await self._take()
        self._told.remove(found[0])
        return dict(found[0]["data"])

    async def _take(self) -> None:
        message = await self.client._app.receive_output(5)
        if message.get("bytes"):
            self._shown.append(message["bytes"])
        elif message.get("text"):
            self._told.append(orjson.loads(message["text"]))


async def test_what_is_asked_for_reaches_the_engine(
    connect: Any,  # noqa: F811
    admin: Actor,
    web: Instance,
    engine: FakeEngine,
) -> None:
    path = f"/ws/v1/instances/{web.pk}/exec"
    await connect(admin, path)
    words = quote('["ls", "-l"]')
    await connect(admin, f"{path}?command={words}&user=nobody&work_dir=/tmp&tty=false&rows=50&cols=100")
    await connect(admin, f"{path}?command=ls&command=-l")
    assert engine.sessions == [
        SessionSpec(SHELL),
        SessionSpec(("ls", "-l"), "nobody", "/tmp", False, 50, 100),
        SessionSpec(("ls", "-l")),
    ]


@pytest.mark.parametrize(
    "query",
    ["rows=0", "cols=100000", "work_dir=tmp", "command=%5B1%5D", "command=%5B", "nonsense=1", "tty=perhaps"],
)
async def test_what_makes_no_sense_closes_with_4400(
    connect: Any,  # noqa: F811
    admin: Actor,
    web: Instance,
    query: str,
) -> None:
    socket = await connect(admin, f"/ws/v1/instances/{web.pk}/exec?{query}")
    assert await socket.closed_with() == 4400


async def test_outputs_stay_apart_without_a_terminal_and_the_exit_code_comes_last(
    connect: Any,  # noqa: F811
    admin: Actor,
    web: Instance,
) -> None:
    session = Session(await connect(admin, f"/ws/v1/instances/{web.pk}/exec?tty=false&command=cat"))
    await session.keys(b"out")
    assert await session.shown() == b"\x01out"
    await session.keys(b"!err")
    assert await session.shown() == b"\x02!err"
    await session.keys(b"exit")
    assert await session.told("exit") == {"exit_code": 7}
    assert await session.client.closed_with() == 1000


@attack(
    "S27",
    "sizes, types and texts that make no sense, in a session",
    refused="an error is told; the session goes on",
)
@pytest.mark.parametrize(
    "message",
    [
        '{"type": "resize", "rows": 0, "cols": 0}',
        '{"type": "resize", "rows": -1, "cols": -1}',
        '{"type": "resize", "rows": 1000000000, "cols": 80}',
        '{"type": "resize", "rows": true, "cols": "80"}',
        '{"type": "resize"}',
        '{"type": "dance"}',
        "[]",
        "5",
        "null",
        "not json",
        "[" * 10_000,
    ],
)
async def test_a_session_survives_what_it_does_not_understand(
    connect: Any,  # noqa: F811
    admin: Actor,
    web: Instance,
    message: str,
) -> None:
    session = Session(await connect(admin, f"/ws/v1/instances/{web.pk}/exec"))
    await session.client.send(message)
    assert (await session.told("error"))["code"] == "INVALID_INPUT"
    await session.tell(type="resize", rows=50, cols=132)
    await session.keys(b"alive")
    assert await session.shown() == b"alive"


@attack("S26", "a frame of more than 64 KB", refused="refused")
async def test_a_frame_of_more_than_64_kb_is_refused(
    connect: Any,  # noqa: F811
    admin: Actor,
    web: Instance,
) -> None:
    session = Session(await connect(admin, f"/ws/v1/instances/{web.pk}/exec"))
    await session.keys(b"x" * 65_537)
    assert await session.client.closed_with() == 4400


async def test_a_flood_of_frames_waits_and_loses_nothing(
    connect: Any,  # noqa: F811
    admin: Actor,
    web: Instance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(terminals, "_FRAMES_BURST", 50)
    monkeypatch.setattr(terminals, "_FRAMES_PER_S", 200)
    session, began = Session(await connect(admin, f"/ws/v1/instances/{web.pk}/exec")), time.monotonic()
    for _ in range(150):
        await session.keys(b"k")
    seen = b""
    while len(seen) < 150:
        seen += await session.shown()
    assert time.monotonic() - began > 0.3


@attack("S26", "more sessions than a person may have", refused="refused")
async def test_a_person_has_so_many_sessions_and_an_idle_one_ends(
    connect: Any,  # noqa: F811
    admin: Actor,
    web: Instance,
    settings: Any,
) -> None:
    limits = {**settings.LIBGO["compute"], "sessions_per_user": 2, "session_idle_s": 0.3}
    settings.LIBGO = {**settings.LIBGO, "compute": limits}
    path = f"/ws/v1/instances/{web.pk}/exec"
    first, second = await connect(admin, path), await connect(admin, path)
    assert await (await connect(admin, path)).closed_with() == 4429
    assert await first.closed_with() == 1000
    await first.leave()
    await second.leave()
    again = Session(await connect(admin, path))
    await again.keys(b"room again")
    assert await again.shown() == b"room again"


async def test_opening_and_ending_are_recorded_without_arguments_or_content(
    connect: Any,  # noqa: F811
    admin: Actor,
    web: Instance,
) -> None:
    session = Session(await connect(admin, f"/ws/v1/instances/{web.pk}/exec?command=mysql&command=-psecret"))
    await session.keys(b"select secret")
    await session.shown()
    await session.client.leave()
    rows = [row async for row in AuditEvent.objects.filter(target_uid=web.pk).order_by("pk")]
    assert [row.action for row in rows] == ["instance.exec_session", "instance.exec_session.end"]
    assert rows[0].details == {"program": "mysql", "arguments": 1, "user": ""}
    assert rows[1].details["duration_s"] >= 0 and rows[1].result == "closed"
    assert "secret" not in str([row.details for row in rows])
    assert not await OpenSession.objects.aexists()


async def test_a_session_whose_process_is_lost_ends_once_in_the_audit(
    connect: Any,  # noqa: F811
    admin: Actor,
    web: Instance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(terminals, "_LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(sessions, "BEAT_S", 0.0)
    session = Session(await connect(admin, f"/ws/v1/instances/{web.pk}/exec?command=cat"))
    sweep = sync_to_async(sessions_sweep)
    began = (await OpenSession.objects.aget()).seen_at
    while (await OpenSession.objects.aget()).seen_at == began:
        await asyncio.sleep(0.02)
    assert await sweep() == 0
    # As if nobody had said for long that it is there.
    monkeypatch.setattr(sessions, "sessions_seen", set)
    await asyncio.sleep(0.2)
    last = timezone.now() - timedelta(minutes=5)
    await OpenSession.objects.aupdate(seen_at=last, began_at=last - timedelta(seconds=90))
    assert await sweep() == 1 and await sweep() == 0
    monkeypatch.undo()
    monkeypatch.setattr(terminals, "_LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(sessions, "BEAT_S", 0.0)
    assert await session.client.closed_with() == 1012
    await session.client.leave()
    end = await AuditEvent.objects.aget(action="instance.exec_session.end")
    assert (end.result, end.outcome, end.details["duration_s"]) == ("interrupted", "failed", 90.0)
    assert (end.username, end.target, end.details["program"]) == (admin.username, "web", "cat")


@pytest.mark.parametrize(
    ("code", "result"), [(1000, "closed"), (1006, "lost"), (1012, "interrupted"), (4408, "too_slow")]
)
async def test_the_record_says_how_a_session_ended(
    connect: Any,  # noqa: F811
    admin: Actor,
    web: Instance,
    code: int,
    result: str,
) -> None:
    client = await connect(admin, f"/ws/v1/instances/{web.pk}/exec?command=cat")
    await client._app.send_input({"type": "websocket.disconnect", "code": code})
    await client._app.wait(5)
    assert (await AuditEvent.objects.aget(action="instance.exec_session.end")).result == result


@pytest.mark.parametrize("how", ["membership", "account", "instance"])
async def test_a_session_that_is_taken_away_says_so(
    connect: Any,  # noqa: F811
    operator: Actor,
    web: Instance,
    how: str,
) -> None:
    client = await connect(operator, f"/ws/v1/instances/{web.pk}/exec?command=cat")
    if how == "membership":
        await Membership.objects.filter(user_id=operator.user_id).adelete()
    elif how == "account":
        await User.objects.filter(pk=operator.user_id).aupdate(is_active=False)
    else:
        await Instance.objects.filter(pk=web.pk).adelete()
    await sync_to_async(rights_changed)(operator.user_id)
    assert await client.closed_with() in (4401, 4403, 4404)
    end = await AuditEvent.objects.aget(action="instance.exec_session.end")
    assert end.result == ("gone" if how == "instance" else "revoked")


async def test_sessions_of_one_container_are_apart(
    connect: Any,  # noqa: F811
    admin: Actor,
    operator: Actor,
    web: Instance,
) -> None:
    path = f"/ws/v1/instances/{web.pk}/exec"
    mine, theirs = Session(await connect(admin, path)), Session(await connect(operator, path))
    await mine.keys(b"mine")
    await theirs.keys(b"theirs")
    assert (await mine.shown(), await theirs.shown()) == (b"mine", b"theirs")


async def test_all_who_attach_see_the_same_and_one_writes_until_another_takes_over(
    connect: Any,  # noqa: F811
    admin: Actor,
    operator: Actor,
    web: Instance,
    engine: FakeEngine,
) -> None:
    path = f"/ws/v1/instances/{web.pk}/attach"
    first, second = Session(await connect(admin, path)), Session(await connect(operator, path))
    assert (await first.told("attached"))["writer"] is None
    await first.keys(b"hello")
    assert (await first.shown(), await second.shown()) == (b"hello", b"hello")
    while (await second.told("attached"))["writer"] != "ada":
        pass
    await second.keys(b"not yours")
    assert "take over" in (await second.told("error"))["message"]
    await second.tell(type="take")
    while not (await second.told("attached"))["you_write"]:
        pass
    await second.keys(b"now mine")
    assert await first.shown() == b"now mine"
    late = Session(await connect(admin, path))
    assert await late.shown() == b"hello"
    assert engine.attachments == 1 and attachhub.attachments_open() == 1
    for session in (first, second, late):
        await session.client.leave()
    assert attachhub.attachments_open() == 0


async def test_a_viewer_may_not_attach(
    connect: Any,  # noqa: F811
    viewer: Actor,
    stranger: Actor,
    web: Instance,
    engine: FakeEngine,
) -> None:
    path = f"/ws/v1/instances/{web.pk}/attach"
    assert await (await connect(viewer, path)).closed_with() == 4403
    assert await (await connect(stranger, path)).closed_with() == 4404
    assert engine.attachments == 0


async def test_one_who_does_not_read_loses_the_oldest_output_with_a_mark() -> None:
    pieces = attachhub._Pieces(100)
    assert all(pieces.put((1, b"x" * 10)) for _ in range(10))
    assert not pieces.put((1, b"y" * 10))
    assert sum(len(data) for _, data in pieces.all()) == 100 and pieces.all()[-1] == (1, b"y" * 10)

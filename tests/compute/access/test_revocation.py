"""What is taken away is gone at once from what is open: long before the look every five seconds."""

from __future__ import annotations

import asyncio
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.sessions.backends.db import SessionStore
from django.test import Client as PageClient
from django.utils import timezone

from compute.actor import Actor
from compute.backends.fake import FakeEngine
from compute.backends.types import InstanceInfo
from compute.bells import BellWatch, rights_bell
from compute.live import RIGHTS, bell_ring, ticket_issue
from compute.models import Instance, Membership, Project, User
from compute.services import accounts, projects
from compute.services.sign_ins import Began, Visitor, session_ended, sign_in_begin
from compute.states import InstanceState, InstanceType
from tests.attacks.catalogue import attack
from tests.compute.test_sockets import Client
from tests.live import strain

pytestmark = pytest.mark.django_db(transaction=True)
_AT_ONCE_S = 1.5
PASSWORD = "correct horse battery"
NEW = "another long sentence 5"


async def _open(actor: Actor, path: str, **held: str) -> Client:
    ticket = await sync_to_async(ticket_issue)({"user": str(actor.user_id), **held})
    return await Client(f"{path}?ticket={ticket}").open()


async def _closes(client: Client, change: Any, *given: Any) -> int:
    # The listener of this process has come to life with the first socket.
    await asyncio.sleep(0.3)
    await sync_to_async(change)(*given)
    began = time.monotonic()
    code = await client.closed_with()
    assert time.monotonic() - began < _AT_ONCE_S * strain(), "it waited for the look every few seconds"
    await client.leave()
    return code


@pytest.fixture
def path(project: Project, fake_node: Any, engine: FakeEngine) -> str:
    engine.instances["e-1"] = InstanceInfo(
        "e-1", "web", InstanceType.VM, InstanceState.RUNNING, "Up", instance_id=""
    )
    row = Instance.objects.create(
        node=fake_node,
        project=project,
        name="web",
        type="vm",
        engine_id="e-1",
        state="running",
        created_at="2026-01-01T00:00:00Z",
    )
    return f"/ws/v1/instances/{row.pk}"


@attack("S14", "going on in a socket after the membership ended", refused="closed with 4404")
async def test_a_member_who_is_removed_sees_nothing_more(
    admin: Actor, operator: Actor, project: Project, path: str
) -> None:
    client = await _open(operator, f"{path}/stats")
    code = await _closes(client, projects.member_remove, admin, project.pk, operator.username)
    assert code == 4404


@attack(
    "S14",
    "going on in a socket of an account that is off or gone",
    refused="closed with 4401",
)
async def test_an_account_that_is_switched_off_or_deleted_is_out(
    admin: Actor, operator: Actor, viewer: Actor
) -> None:
    client = await _open(operator, "/ws/v1/events")
    assert await _closes(client, accounts.user_update, admin, operator.user_id, {"is_active": False}) == 4401
    client = await _open(viewer, "/ws/v1/events")
    assert await _closes(client, accounts.user_delete, admin, viewer.user_id) == 4401


@attack("S14", "going on in sockets after the log-out and after a new password", refused="they close")
async def test_a_log_out_and_a_new_password_close_what_the_session_opened(operator: Actor) -> None:
    session = await sync_to_async(_page_session)(operator)
    client = await _open(operator, "/ws/v1/events", session=session.session_key or "")

    def log_out() -> None:
        key = session.session_key or ""
        session.delete()
        session_ended(key)

    assert await _closes(client, log_out) == 4401
    pair = await sync_to_async(_pair)(operator)
    client = await _open(operator, "/ws/v1/events", family=str(pair))
    assert await _closes(client, accounts.password_change, operator, PASSWORD, NEW) == 4401


@attack("S11 S14", "going on in open sockets after the role was lowered", refused="they close")
async def test_a_role_that_is_lowered_ends_what_it_opened(
    admin: Actor, operator: Actor, project: Project, path: str
) -> None:
    """The monitor stays, the inside does not."""
    watching, inside = await _open(operator, f"{path}/stats"), await _open(operator, f"{path}/logs")
    code = await _closes(inside, projects.member_set, admin, project.pk, operator.username, "viewer")
    assert code == 4403
    assert await watching.is_quiet()
    await watching.leave()


async def test_what_the_django_admin_takes_away_is_gone_at_once_too(
    admin: Actor, operator: Actor, project: Project, path: str, settings: Any
) -> None:
    settings.ALLOWED_HOSTS = ["testserver"]
    pages = PageClient()
    await sync_to_async(pages.force_login)(await User.objects.aget(pk=admin.user_id))
    row = await Membership.objects.aget(user_id=operator.user_id)
    client = await _open(operator, f"{path}/stats")
    gone = f"/admin/compute/membership/{row.pk}/delete/"
    assert await _closes(client, pages.post, gone, {"post": "yes"}) == 4404
    client = await _open(operator, "/ws/v1/events")
    form = {"username": operator.username, "memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0"}
    off = f"/admin/compute/user/{operator.user_id}/change/"
    assert await _closes(client, pages.post, off, form) == 4401


async def test_a_download_asks_again_at_once_and_a_watch_outlives_no_loop() -> None:
    with rights_bell.watch() as watch:
        await asyncio.sleep(0.3)
        began = time.monotonic()
        await sync_to_async(bell_ring)(RIGHTS, ["somebody"])
        await watch.changed(5)
        assert time.monotonic() - began < _AT_ONCE_S * strain()
        assert watch in rights_bell._watches
    assert watch not in rights_bell._watches

    async def alone() -> BellWatch:
        return rights_bell.join()

    with ThreadPoolExecutor(1) as elsewhere:
        left = elsewhere.submit(asyncio.run, alone()).result()
    # Its loop is closed, and it was forgotten: nothing fails.
    left.told(frozenset({"somebody"}))
    rights_bell.leave(left)


def _page_session(actor: Actor) -> SessionStore:
    session = SessionStore()
    session.create()
    began = Began("page", "password", timezone.now() + timedelta(hours=1), session.session_key or "")
    sign_in_begin(User.objects.get(pk=actor.user_id), began, Visitor())
    return session


def _pair(actor: Actor) -> uuid.UUID:
    user = User.objects.get(pk=actor.user_id)
    began = Began("api", "password", timezone.now() + timedelta(hours=1))
    family = sign_in_begin(user, began, Visitor()).pk
    accounts.pair_make(user, family)
    return family

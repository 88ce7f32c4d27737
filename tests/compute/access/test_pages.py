"""Every page and fragment as everybody of the matrix, on things of the own project and of a foreign one.

Allowed means: not refused, whatever comes after. Refused means: it is said (403 in one's own project, 404 for
what is foreign, the way to the log-in for nobody), and nothing was done.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from compute.models import AuditEvent, Operation
from compute.permissions import CELLS, FOREIGNER, NOBODY, PROJECT_ADMIN, SITE_ADMIN, Cell, is_allowed
from compute.selectors.access import action_somewhere
from compute.states import Outcome
from tests.attacks.catalogue import attack
from tests.compute.access.addresses import ANY, NAMELESS, address, declared
from tests.compute.access.ground import Ground, Side
from tests.compute.access.markup import markup_plant
from tests.compute.access.page_forms import form_of
from tests.compute.access.permission_pages import Page, pages
from tests.compute.access.writes import writes_noted

pytestmark = pytest.mark.django_db
# What is said to who may not.
_REFUSED = re.compile(r"does not have the permission|Only an administrator|not reach as far|of your roles")
_ABSENT = re.compile(r"There is no |is not there|not one of the available choices")


def test_every_route_of_the_pages_says_which_action_it_is(client: Client, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["testserver"]
    known = {(page.method, page.name) for page in pages()}
    there = set()
    for name, path in declared():
        place = "/" + re.sub(r"<(\w+):\w+>", lambda match: ANY[match.group(1)], path)
        for method in ("GET", "POST"):
            if name in NAMELESS.values() and method == "POST":
                continue
            if client.generic(method, place).status_code != 405:
                there.add((method, name))
    assert not sorted(there - known), "add them to permission_pages.py"
    assert not sorted(known - there), "these are no pages any more"


@attack(
    "S18",
    "every GET of the pages and fragments as everybody of the matrix",
    refused="nothing is written but a row of the audit",
)
@attack(
    "S01 S28",
    "every page and fragment as everybody of the matrix",
    refused="to the login, 404 or 403 as the matrix says",
)
@pytest.mark.parametrize("page", pages(), ids=str)
def test_a_page_is_open_to_whom_the_matrix_says(
    page: Page, ground: Ground, uids: dict[str, dict[str, str]], clients: dict[str, Client]
) -> None:
    sides = [(ground.own, False), (ground.foreign, True)]
    if page.kind not in ("", "new", "project"):
        sides = sides[:1]
    for cell in CELLS:
        for side, is_foreign in sides:
            # The member elsewhere is at home where all the others are foreign; of these the lower roles
            # hold nothing there that the highest has not, and the API's sweep asks them all.
            if not is_foreign or cell in (SITE_ADMIN, PROJECT_ADMIN, NOBODY):
                ids = uids[side.project.name]
                _ask(page, cell, side, ground, ids, clients[cell.name], is_foreign or cell is FOREIGNER)


@attack(
    "S67",
    "markup in names, labels, commands, errors and whatever else others wrote, on every page and fragment",
    refused="text, and no address that runs",
)
def test_no_page_takes_what_others_wrote_for_markup(
    ground: Ground, uids: dict[str, dict[str, str]], clients: dict[str, Client]
) -> None:
    client, seen = clients[SITE_ADMIN.name], 0
    with transaction.atomic():
        markup_plant()
        for page in pages():
            if page.method != "GET":
                continue
            answer = client.get(address(page, uids[ground.own.project.name]))
            if not answer.get("Content-Type", "").startswith("text/html"):
                continue
            text = answer.content.decode()
            assert answer.status_code != 500, f"{page}: {text[:500]}"
            assert "<img src=x" not in text and "zq'\"" not in text, f"{page}: {_around(text)}"
            assert not re.search(r"""(href|src|action)=["']?\s*javascript:""", text), (
                f"{page}: a link that runs"
            )
            seen += "zq&#x27;&quot;&gt;" in text
        transaction.set_rollback(True)
    assert seen > 40, f"only {seen} pages show any of it"


def _around(text: str) -> str:
    place = max(text.find("<img src=x"), text.find("zq'\""))
    return text[max(0, place - 300) : place + 200]


def _ask(
    page: Page, cell: Cell, side: Side, ground: Ground, ids: dict[str, str], client: Client, is_foreign: bool
) -> None:
    place = address(page, ids)
    form = form_of(page, {**ground.hosts, **side.ids}, side.project.name)
    with transaction.atomic():
        before = _doings(side, is_foreign=is_foreign)
        with writes_noted() as written:
            answer = getattr(client, page.method.lower())(place, form)
        done = _doings(side, is_foreign=is_foreign) - before
        transaction.set_rollback(True)
    said = answer.content.decode(errors="replace") + answer.get("HX-Trigger", "")
    who = f"{cell.name}, {'foreign' if is_foreign else 'own'}"
    shown = " ".join(said.rpartition("</header>")[2].split())[:900]
    text = f"{page} ({page.action}) as {who}: {answer.status_code} {shown}"
    assert answer.status_code not in (500, 405), text
    assert page.method != "GET" or not written, f"{text} wrote {written}"
    if page.kind == "public":
        return
    if cell is NOBODY:
        assert answer.status_code == 302 and answer["Location"].startswith("/login"), text
    elif _expected(page, cell, ground, is_foreign=is_foreign):
        assert answer.status_code != 403 and not _REFUSED.search(said), text
        assert page.method == "POST" or answer.status_code in (200, 204, 302, 404, 502, 503), text
        if page.kind in ("list", "somewhere"):
            assert answer.status_code == 200, text
    else:
        assert not done, f"it was done all the same: {text}"
        if is_foreign and page.kind == "new":
            assert answer.status_code in (200, 302, 403, 404), text
        elif is_foreign and page.kind in ("", "project"):
            assert answer.status_code == 404 or (page.method == "POST" and _ABSENT.search(said)), text
        else:
            assert answer.status_code == 403 or _REFUSED.search(said) or _ABSENT.search(said), text
    if not cell.is_site_admin:
        other = ground.own if cell is FOREIGNER else ground.foreign
        assert not _tells(other, said, " ".join([place, *form.values()])), text


def _expected(page: Page, cell: Cell, ground: Ground, *, is_foreign: bool) -> bool:
    if page.kind == "list":
        return True
    actor = ground.actor(cell)
    if page.kind == "somewhere":
        return actor is not None and bool(action_somewhere(actor, [page.action]))
    return is_allowed(cell, page.action, is_foreign=is_foreign, is_hosts=page.kind in ("host", "site"))


def _tells(other: Side, said: str, sent: str) -> bool:
    """Whether something of the other project is named that was not sent."""
    names = [value for value in other.ids.values() if value.endswith(other.project.name)]
    return any(name in said for name in names if name not in sent)


def _doings(side: Side, *, is_foreign: bool) -> int:
    """How much was asked for or done; of what is foreign: there. Who names a project that is not theirs in
    a form may make the thing in the only one they have."""
    operations, events = Operation.objects.all(), AuditEvent.objects.filter(outcome=Outcome.OK.value)
    if is_foreign:
        operations, events = (
            operations.filter(project=side.project),
            events.filter(project_uid=side.project.pk),
        )
    return operations.count() + events.count()

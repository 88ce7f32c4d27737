"""Every page and fragment as everybody of the matrix, on things of the own project and of a foreign one.

Allowed means: not refused, whatever comes after. Refused means: it is said (403 in one's own project, 404 for
what is foreign, the way to the log-in for nobody), and nothing was done.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from compute.models import AuditEvent, Instance, Operation, Resource, User
from compute.permissions import CELLS, FOREIGNER, NOBODY, PROJECT_ADMIN, SITE_ADMIN, Cell, is_allowed
from compute.selectors.access import action_somewhere
from compute.states import Outcome
from tests.attacks.catalogue import attack
from tests.compute.access.ground import Ground, Side
from tests.compute.access.markup import markup_plant
from tests.compute.access.page_forms import form_of
from tests.compute.access.permission_pages import Page, pages
from tests.compute.access.writes import writes_noted

pytestmark = pytest.mark.django_db
# What the placeholders of a page stand for, by the beginning of its name; the first that fits.
_NOUNS = {
    "container_": {"instance_id": "docker"},
    "machine_": {"instance_id": "kvm"},
    "docker_network": {"network_id": "network"},
    "docker_volume": {"volume_id": "docker_volume"},
    "docker_image": {"image_id": "image", "operation_id": "operation"},
    "docker_registr": {"registry_id": "registry", "operation_id": "operation"},
    "docker_stack_outside": {"name": "stack", "node_id": "docker_node"},
    "docker_stack": {"stack_id": "stack_id", "operation_id": "operation"},
    "docker_node": {"node_id": "docker_node"},
    "kvm_network": {"network_id": "host_network"},
    "kvm_export": {"export_id": "export"},
    "kvm_image": {"image_id": "disk_image"},
    "kvm_": {"pool_id": "pool", "volume_id": "kvm_volume"},
    "adopt_": {"rule_id": "adoption_rule"},
    "alert_": {"rule_id": "alert_rule", "channel_id": "alert_channel", "alert_id": "alert"},
    "backup_new": {"instance_id": "fake"},
    "backup": {"backup_id": "backup", "target_id": "backup_target"},
    "limits_": {"project_id": "project_id", "user_id": "user", "node_id": "fake_node"},
    "": {
        "instance_id": "fake",
        "project_id": "project_id",
        "user_id": "user",
        "operation_id": "operation",
        "node_id": "fake_node",
        "schedule_id": "schedule",
        "template_id": "template",
    },
}
_NAMELESS = {"health": "health", "health/liveness": "liveness", "health/readiness": "readiness"}
_NAMELESS |= {"metrics": "metrics", "favicon.ico": "favicon"}
# What is said to who may not.
_REFUSED = re.compile(r"does not have the permission|Only an administrator|not reach as far|of your roles")
_ABSENT = re.compile(r"There is no |is not there|not one of the available choices")


_RUNS = re.compile(r"""(href|src|action)=["']?\s*javascript:""")
_ANY = {"uuid": str(uuid.uuid4()), "str": "x", "int": "1"}


def _declared() -> Iterator[tuple[str, str]]:
    """The name and the path of each page."""

    def walk(resolver: Any, prefix: str) -> Iterator[tuple[str, str]]:
        for each in resolver.url_patterns:
            path = prefix + str(each.pattern)
            if isinstance(each, URLResolver):
                yield from walk(each, path)
            elif isinstance(each, URLPattern):
                yield each.name or _NAMELESS.get(path, path), path

    for name, path in walk(get_resolver(), ""):
        if not path.startswith(("api/v1/", "admin/")):
            yield name, path


def test_every_route_of_the_pages_says_which_action_it_is(client: Client, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["testserver"]
    known = {(page.method, page.name) for page in pages()}
    there = set()
    for name, path in _declared():
        address = "/" + re.sub(r"<(\w+):\w+>", lambda match: _ANY[match.group(1)], path)
        for method in ("GET", "POST"):
            if name in _NAMELESS.values() and method == "POST":
                continue
            if client.generic(method, address).status_code != 405:
                there.add((method, name))
    assert not sorted(there - known), "add them to permission_pages.py"
    assert not sorted(known - there), "these are no pages any more"


@pytest.fixture(scope="module")
def uids(laid: Ground, django_db_blocker: Any) -> dict[str, dict[str, str]]:
    """The ids of each side: addresses of pages have nothing else."""
    found = {}
    with django_db_blocker.unblock():
        things = {row.name: str(row.pk) for row in Resource.objects.all()}
        shared = {f"{row.backend}_node": str(row.node_id) for row in Instance.objects.all()}
        shared["user"] = str(User.objects.get(username="target").pk)
        for side in (laid.own, laid.foreign):
            ids = {key: things.get(name, name) for key, name in {**laid.hosts, **side.ids}.items()}
            more = {"stack": side.ids["stack"], "project_id": str(side.project.pk)}
            found[side.project.name] = {**ids, **shared, **more}
    return found


@pytest.fixture
def clients(ground: Ground, settings: Any) -> dict[str, Client]:
    settings.ALLOWED_HOSTS = ["testserver"]
    found = {}
    for cell in CELLS:
        found[cell.name] = Client(raise_request_exception=False)
        actor = ground.actor(cell)
        if actor is not None:
            found[cell.name].force_login(User.objects.get(pk=actor.user_id))
    return found


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
            answer = client.get(_address(page, uids[ground.own.project.name]))
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
    address = _address(page, ids)
    form = form_of(page, {**ground.hosts, **side.ids}, side.project.name)
    with transaction.atomic():
        before = _doings(side, is_foreign=is_foreign)
        with writes_noted() as written:
            answer = getattr(client, page.method.lower())(address, form)
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
        assert not _tells(other, said, " ".join([address, *form.values()])), text


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


def _address(page: Page, ids: dict[str, str]) -> str:
    path = next(path for name, path in _PATHS if name == page.name and (not page.word or path.count("<str")))
    nouns = next(words for beginning, words in _NOUNS.items() if page.name.startswith(beginning))

    def value(match: re.Match[str]) -> str:
        kind, name = match.groups()
        if name in nouns:
            return ids[nouns[name]]
        return page.word if kind == "str" and page.word else _ANY[kind]

    return "/" + re.sub(r"<(\w+):(\w+)>", value, path)


_PATHS = list(_declared())

"""Every socket as everybody of the matrix: who is let in, and with which code the others are closed."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from channels.routing import URLRouter

from compute.live import ticket_issue
from compute.permissions import CELLS, FOREIGNER, NOBODY, is_allowed
from compute.routing import websocket_urlpatterns as of_compute
from dockerapp.routing import websocket_urlpatterns as of_docker
from kvm.routing import websocket_urlpatterns as of_kvm
from tests.attacks.catalogue import attack
from tests.compute.access.ground import Ground, Side, ground_make
from tests.compute.test_sockets import Client

pytestmark = pytest.mark.django_db(transaction=True)
_ROUTES = [*of_docker, *of_kvm, *of_compute]
# The action of each socket, and the noun that stands in its path; without one it shows what one may see.
SOCKETS = {
    "ws/v1/events": ("event.read", ""),
    "ws/v1/usage": ("instance.read", ""),
    "ws/v1/operations/<str:operation_id>": ("operation.read", "operation"),
    "ws/v1/instances/<str:instance_id>/logs": ("instance.logs", "docker"),
    "ws/v1/instances/<str:instance_id>/stats": ("instance.read", "fake"),
    "ws/v1/instances/<str:instance_id>/exec": ("instance.exec", "docker"),
    "ws/v1/instances/<str:instance_id>/attach": ("instance.console", "docker"),
    "ws/v1/instances/<str:instance_id>/console": ("instance.console", "kvm"),
    "ws/v1/instances/<str:instance_id>/vnc": ("instance.screen", "kvm"),
    "ws/v1/stacks/<str:node>/<str:name>/logs": ("stack.logs", "stack"),
    "ws/vms/<str:name>": ("instance.read", "kvm_name"),
    "ws/vms/<str:name>/console": ("instance.console", "kvm_name"),
}
_REFUSED = (4401, 4403, 4404)


def test_every_socket_says_which_action_it_is() -> None:
    there = {str(route.pattern) for route in _ROUTES if "^" not in str(route.pattern)}
    assert there == set(SOCKETS)


@pytest.fixture
def ground(transactional_db: None) -> Ground:
    return ground_make()


@attack(
    "S01 S23",
    "every socket (from the routes), without credentials and as everybody of the matrix",
    refused="closed with 4401, 4404, 4403",
)
@pytest.mark.parametrize("route", SOCKETS)
async def test_a_socket_is_open_to_whom_the_matrix_says(route: str, ground: Ground) -> None:
    action, noun = SOCKETS[route]
    for cell in CELLS:
        for side, is_foreign in ((ground.own, cell is FOREIGNER), (ground.foreign, cell is not FOREIGNER)):
            if (cell is FOREIGNER and side is ground.foreign) or (not noun and side is ground.foreign):
                continue
            code = await _code(route, noun, side, ground.actor(cell))
            text = f"{route} as {cell.name}, {'foreign' if is_foreign else 'own'}: {code}"
            if cell is NOBODY:
                assert code == 4401, text
            elif not noun or is_allowed(cell, action, is_foreign=is_foreign):
                assert code not in _REFUSED, text
            else:
                assert code == (4404 if is_foreign else 4403), text


async def _code(route: str, noun: str, side: Side, actor: Any) -> int:
    """Of its closing; 0 when it stays open."""
    path, words = "/" + route, {"<str:node>": "n-docker"}
    for part in route.split("/"):
        if part.startswith("<"):
            path = path.replace(part, words.get(part) or side.ids[noun])
    if actor is not None:
        path += "?ticket=" + await sync_to_async(ticket_issue)({"user": str(actor.user_id)})
    client = Client(path)
    client._app = ApplicationCommunicator(URLRouter(_ROUTES), client._app.scope)
    await client.open()
    try:
        while True:
            message = await client._app.receive_output(0.25)
            if message["type"] == "websocket.close":
                return int(message["code"])
    except TimeoutError:
        return 0
    finally:
        await client.leave()

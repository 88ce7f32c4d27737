"""The whole API against its own schema as three roles, inside this process: what fits the schema or what
does not, at the next turn the other, about things of the own project and of a foreign one. The engines of
this ground are not there; those of the other sweeps are, and are asked by the administrator."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.generation import GenerationMode

from compute.api.transfers import TRANSFER_HEADER
from compute.models import User
from compute.permissions import OPERATOR, SITE_ADMIN, VIEWER, Cell
from tests.compute.access.conftest import ground, laid  # noqa: F401  (the ground of the sweeps)
from tests.compute.access.ground import Ground, Side
from tests.compute.access.permission_routes import routes
from tests.compute.access.places import FIXED, placeholders_of
from tests.thorough import cut

pytestmark = pytest.mark.django_db
_BASE = "/api/v1/"
_METHODS = ("get", "post", "put", "patch", "delete")
load_all_checks()
# What an engine tells has its shape in the sweeps that have one.
_CHECKS = CHECKS.get_by_names(["status_code_conformance", "content_type_conformance"])
_EXAMPLES = 1
_MODES = list(GenerationMode)
# So many wrong requests a run sends to each place at the least.
_FEW = 8
_SCHEMA = schemathesis.openapi.from_dict(dict(SchemaGenerator().get_schema(request=None, public=True)))
_SCHEMA.app = get_wsgi_application()
# Who is logged out asks no more.
_ROUTES = sorted(
    (method.upper(), path)
    for path in _SCHEMA
    for method in _SCHEMA[path]
    if method in _METHODS and not path.endswith(("/auth/logout", "/profile/password"))
)
# Once for each place: its methods take the same body.
_CHANGES = sorted({path: (method, path) for method, path in _ROUTES if method != "GET"}.values())
# About one thing of a project, named in the path.
_THINGS = {
    (route.method, _BASE + re.sub(r"<\w+:(\w+)>", r"{\1}", route.path))
    for route in routes()
    if route.kind in ("", "project") and "<" in route.path
}


def _fuzzed(test: Any) -> Any:
    return seed(1)(
        settings(
            max_examples=_EXAMPLES,
            phases=[Phase.generate],
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )(test)
    )


@pytest.fixture(autouse=True)
def _one_connection() -> Iterator[None]:
    """As Django's own test client has it: a request ends, the transaction around it stays."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield
    for signal in signals:
        signal.connect(close_old_connections)


@pytest.mark.parametrize(("method", "path"), _ROUTES, ids=lambda word: word.removeprefix(_BASE))
def test_a_route_answers_as_documented_and_tells_nothing_foreign(
    method: str,
    path: str,
    ground: Ground,  # noqa: F811
) -> None:
    own, foreign = _places(path, ground.own, ground), _places(path, ground.foreign, ground)

    def ask(case: Any) -> None:
        for cell in (SITE_ADMIN, OPERATOR, VIEWER):
            _ask(case, cell, ground)
        if (method, path) in _THINGS:
            case.path_parameters = dict(foreign)
            _ask(case, OPERATOR, ground, is_foreign=True)

    for mode in cut(_MODES, len(_MODES), _ROUTES.index((method, path))):
        strategy = _SCHEMA[path][method.lower()].as_strategy(
            generation_mode=mode, path_parameters=own or None
        )
        _fuzzed(given(case=strategy)(ask))()


@pytest.mark.parametrize(("method", "path"), _CHANGES, ids=lambda word: word.removeprefix(_BASE))
def test_whatever_does_not_fit_is_answered_as_documented(
    method: str,
    path: str,
    ground: Ground,  # noqa: F811
) -> None:
    """Each wrong type and each broken bound of each field; where there are very many, a cut of them. The
    sweeps over engines send what fits."""
    operation = _SCHEMA[path][method.lower()]
    found = _SCHEMA.iter_coverage_cases(
        operation,
        generation_modes=[GenerationMode.NEGATIVE],
        generation_config=_SCHEMA.config.generation_for(operation=operation, phase="coverage"),
    )
    cases = list(found)
    own = _places(path, ground.own, ground)
    for case in cases if len(cases) <= _FEW else cut(cases, len(cases) // _FEW):
        # The rest is about a thing that is there.
        case.path_parameters = dict(own)
        _ask(case, SITE_ADMIN, ground)


def _places(path: str, side: Side, ground: Ground) -> dict[str, str]:  # noqa: F811
    """What the placeholders of the path stand for."""
    target = str(User.objects.get(username="target").pk)
    ids = {**ground.hosts, **side.ids, **FIXED, "user_id": target}
    return placeholders_of(path.removeprefix(_BASE), ids)


def _ask(case: Any, cell: Cell, ground: Ground, *, is_foreign: bool = False) -> None:  # noqa: F811
    case.headers = {}
    with transaction.atomic():
        answer = case.call(headers={"Authorization": f"Bearer {ground.tokens[cell.name]}"})
        transaction.set_rollback(True)
    if TRANSFER_HEADER in answer.headers or TRANSFER_HEADER.lower() in answer.headers:
        # Goes on in the event loop, past this process.
        return
    text = answer.text
    assert answer.status_code not in (500, 501), f"{case.as_curl_command()}: {text}"
    case.validate_response(answer, checks=_CHECKS)
    if cell.is_site_admin:
        return
    foreign = [name for name in ground.foreign.ids.values() if name.endswith(ground.foreign.project.name)]
    sent = f"{case.formatted_path} {case.query} {case.body!r}"
    assert not [name for name in foreign if name in text and name not in sent], f"{cell.name}: {text[:500]}"
    if is_foreign:
        assert answer.status_code >= 400, f"{cell.name} at something foreign: {text[:500]}"

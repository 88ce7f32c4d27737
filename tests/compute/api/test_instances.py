"""The routes of instances, operations, events, nodes and the cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from compute.backends.fake import FakeEngine
from compute.models import Instance, Node, Operation, Project
from tests.attacks.catalogue import attack

BASE = "/api/v1"
ONE = f"{BASE}/compute/instances"
pytestmark = pytest.mark.django_db


def _refused(answer: Any, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.content
    error: dict[str, Any] = answer.json()["error"]
    assert error["code"] == code and error["message"]
    return error


def _body(**changes: Any) -> dict[str, Any]:
    return {"name": "web", "backend": "fake", "config": {"image": "demo"}, **changes}


def test_a_create_is_accepted_with_its_operation_and_instance(
    as_operator: APIClient, fake_node: Node, bells: list[str]
) -> None:
    answer = as_operator.post(ONE, _body(), format="json")
    assert answer.status_code == 202
    operation, instance = answer.json()["operation"], answer.json()["instance"]
    assert answer["Location"] == f"{BASE}/operations/{operation['id']}"
    assert (operation["state"], operation["instance"]) == ("queued", instance["id"])
    assert instance["active_operation"]["action"] == "creating"


def test_the_shape_of_an_instance_is_the_contract(as_admin: APIClient, make: Callable[..., Instance]) -> None:
    shown = as_admin.get(f"{ONE}/{make('web').pk}").json()
    wanted = """id name uuid type backend node project state status health stale active_operation engine_id
        image config resources networks storage ports labels annotations managed pending_changes created_at
        started_at finished_at updated_at links""".split()
    assert sorted(shown) == sorted(wanted)
    assert shown["created_at"].endswith("Z")
    assert shown["resources"]["memory"]["limit"] == 64 * 1024**2


def test_lists_filter_search_sort_and_page(as_admin: APIClient, make: Callable[..., Instance]) -> None:
    for name, label in (("alpha", "a"), ("beta", "b"), ("gamma", "a")):
        make(name, labels={"tier": label})

    def names(query: str) -> list[str]:
        return [row["name"] for row in as_admin.get(f"{ONE}?{query}").json()["instances"]]

    assert names("") == ["alpha", "beta", "gamma"]
    assert names("sort=-name&page_size=2") == ["gamma", "beta"]
    assert names("page=2&page_size=2") == ["gamma"]
    assert names("label=tier=a") == ["alpha", "gamma"]
    assert names("q=bet") == ["beta"]
    assert names("state=running&backend=fake&node=fake-1&type=container") == ["alpha", "beta", "gamma"]
    assert names("state=stopped") == []
    page = as_admin.get(f"{ONE}?page_size=2&fields=id,name").json()
    assert (page["total"], page["page"], page["page_size"]) == (3, 1, 2)
    assert sorted(page["instances"][0]) == ["id", "name"]


def test_a_list_of_any_length_costs_one_query(
    as_admin: APIClient, make: Callable[..., Instance], django_assert_num_queries: Any
) -> None:
    for number in range(5):
        make(f"web-{number}")
    as_admin.get(f"{ONE}?page_size=500")
    with django_assert_num_queries(2) as seen:  # the account behind the token, and the list
        assert as_admin.get(f"{ONE}?page_size=500").json()["total"] == 5
    assert "compute_instance" in seen.captured_queries[1]["sql"]
    Instance.objects.filter(name="web-3").update(image="changed")
    with django_assert_num_queries(3):  # and the one that changed, whole
        as_admin.get(f"{ONE}?page_size=500")


def _saved(row: Instance, **columns: Any) -> None:
    for name, value in columns.items():
        setattr(row, name, value)
    row.save(update_fields=list(columns))


def _active(row: Instance) -> None:
    Operation.objects.create(
        action="instance.restart", instance=row, instance_uid=row.pk, instance_name=row.name,
        node=row.node, project=row.project, state="running",
    )  # fmt: skip


_CHANGES: dict[str, Callable[[Instance], Any]] = {
    "its state": lambda row: Instance.objects.filter(pk=row.pk).update(state="stopped"),
    "its labels": lambda row: _saved(row, labels={"tier": "new"}),
    "the name of its project": lambda row: Project.objects.filter(pk=row.project_id).update(name="renamed"),
    "its node's answer": lambda row: Node.objects.filter(pk=row.node_id).update(is_reachable=False),
    "why its node does not answer": lambda row: Node.objects.filter(pk=row.node_id).update(error="No route."),
    "an operation on it": _active,
    "how far that is": lambda row: row.operations.update(progress=40.0, step="Half-way"),
}


def test_whatever_changes_shows_at_once_in_a_list(
    as_admin: APIClient, as_viewer: APIClient, make: Callable[..., Instance]
) -> None:
    row = make("web")
    before = as_admin.get(ONE).content
    for name, change in _CHANGES.items():
        row.refresh_from_db()
        change(row)
        after = as_admin.get(ONE).content
        assert after != before, f"{name} changed, and the list did not"
        assert as_viewer.get(ONE).content == after
        one = as_admin.get(f"{ONE}/web").json()
        assert as_admin.get(ONE).json()["instances"] == [one]
        assert as_admin.get(f"{ONE}?fields={','.join(one)}").json()["instances"] == [one]
        before = after


def test_a_total_is_right_on_every_page(as_admin: APIClient, make: Callable[..., Instance]) -> None:
    for number in range(5):
        make(f"web-{number}")
    for query in (
        "",
        "page_size=5",
        "page_size=2",
        "page_size=2&page=3",
        "page_size=2&page=9",
        "page_size=5&page=2",
    ):
        assert as_admin.get(f"{ONE}?{query}").json()["total"] == 5, query
    assert as_admin.get(f"{ONE}?q=nothing").json()["total"] == 0


@attack("S81", "page sizes, pages and sortings without bounds", refused="400 naming the parameter")
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("surprise=1", "surprise"),
        ("state=happy", "state"),
        ("page=0", "page"),
        ("page=-1", "page"),
        ("page=99999999999999999999999", "page"),
        ("page=000000000000000000009223372036854775808", "page"),
        ("page_size=501", "page_size"),
        ("sort=shoe", "sort"),
        ("label=nonsense", "label"),
        ("state=running&state=stopped", "state"),
        ("q=%00", "q"),
    ],
)
def test_a_bad_query_names_its_parameter(as_admin: APIClient, query: str, field: str) -> None:
    error = _refused(as_admin.get(f"{ONE}?{query}"), 400, "INVALID_INPUT")
    assert field in error["details"]["fields"]


@attack("S81", "a number that is too large, with zeros before it", refused="400 naming the parameter")
def test_zeros_before_a_number_lead_past_no_bound(as_admin: APIClient) -> None:
    answer = as_admin.get(f"{BASE}/events?after={'0' * 20}{2**70}")
    assert "after" in _refused(answer, 400, "INVALID_INPUT")["details"]["fields"]
    assert as_admin.get(f"{BASE}/events?after={'0' * 20}7").status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "../etc"},
        {"name": "x" * 64},
        {"name": "ok", "surprise": 1},
        _body(config="text"),
        _body(config=[1]),
        _body(config={"image": ["x"]}),
        _body(config={"image": "demo", "surprise": 1}),
        _body(resources={"cpu": {"cores": -1}}),
        _body(resources={"cpu": {"cores": "many"}}),
        _body(resources={"memory": {"limit": 1}}),
        _body(resources={"memory": {"limit": 1.5}}),
        _body(resources={"memory": 7}),
        _body(resources={"disk": {}}),
        _body(labels={"a": 1}),
        _body(labels=["a"]),
        _body(labels={"libgo.instance": "x"}),
        _body(annotations={"": "x"}),
        _body(auto_start="perhaps"),
        _body(type="submarine"),
        _body(node="nowhere", backend=None),
    ],
)
def test_a_bad_create_is_refused_and_makes_nothing(
    as_admin: APIClient, fake_node: Node, body: dict[str, Any]
) -> None:
    answer = as_admin.post(ONE, body, format="json")
    assert answer.status_code in (400, 404), answer.content
    assert answer.json()["error"]["message"]
    assert not Instance.objects.exists() and not Operation.objects.exists()


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"[]",
        b"7",
        b'"x"',
        b'{"name": NaN}',
        b"\xff\xfe",
        b'{"name": "a\\u0000b"}',
        b'{"config": {"env": {"a\\u0000": "b"}}}',
        b'{"name": "a\\ud800b"}',
        b'{"config": {"command": [["\\uDFFF"]]}}',
        b"[" * 100_000,
    ],
)
def test_what_is_not_a_json_object_of_texts_is_400(as_admin: APIClient, raw: bytes) -> None:
    _refused(as_admin.post(ONE, raw, content_type="application/json"), 400, "INVALID_INPUT")


@pytest.mark.parametrize(
    ("path", "field"),
    [("/api/v1/users", "role"), ("/api/v1/alerts/rules", "kind"), ("/api/v1/compute/schedules", "missed")],
)
def test_half_of_a_letter_for_one_of_some_words_is_named(as_admin: APIClient, path: str, field: str) -> None:
    raw = b'{"%s": "\\ud800"}' % field.encode()
    error = _refused(as_admin.post(path, raw, content_type="application/json"), 400, "INVALID_INPUT")
    assert "half of a character" in error["message"]


def test_what_only_looks_like_a_null_character_or_half_a_letter_is_taken(as_admin: APIClient) -> None:
    raw = rb'{"name": "odd", "description": "\\u0000 \\ud800 \ud83d\ude00"}'
    made = as_admin.post("/api/v1/projects", raw, content_type="application/json")
    assert made.status_code == 201 and made.json()["description"] == r"\u0000 \ud800 😀", made.content


@attack("S83", "a body that is too large", refused="413")
def test_a_body_that_is_too_large_is_413(as_admin: APIClient) -> None:
    raw = b'{"name": "' + b"x" * (3 * 1024 * 1024) + b'"}'
    _refused(as_admin.post(ONE, raw, content_type="application/json"), 413, "PAYLOAD_TOO_LARGE")


def test_an_unknown_backend_is_named(as_admin: APIClient) -> None:
    error = _refused(as_admin.post(ONE, _body(backend="xen"), format="json"), 400, "INVALID_BACKEND")
    assert "xen" in error["message"]


def test_a_taken_name_is_409(as_admin: APIClient, make: Callable[..., Instance]) -> None:
    make("web")
    _refused(as_admin.post(ONE, _body(), format="json"), 409, "NAME_CONFLICT")


def test_the_same_idempotency_key_is_the_same_operation(
    as_admin: APIClient, fake_node: Node, bells: list[str]
) -> None:
    def post(body: dict[str, Any]) -> Any:
        return as_admin.post(ONE, body, format="json", HTTP_IDEMPOTENCY_KEY="k1")

    first, second = post(_body()), post(_body())
    assert first.json()["operation"]["id"] == second.json()["operation"]["id"]
    assert Instance.objects.count() == 1
    _refused(post(_body(name="other")), 400, "INVALID_INPUT")


@pytest.mark.parametrize("verb", ["put", "post"])
def test_lifecycle_verbs_answer_to_put_and_post_and_repeat(
    as_admin: APIClient, make: Callable[..., Instance], verb: str, django_capture_on_commit_callbacks: Any
) -> None:
    row = make("web")

    def act(action: str, body: dict[str, Any] | None = None) -> Any:
        with django_capture_on_commit_callbacks(execute=True):
            return getattr(as_admin, verb)(f"{ONE}/{row.pk}/{action}", body or {}, format="json")

    assert act("start").json()["operation"] is None, "it runs already"
    assert act("stop", {"timeout": 1}).status_code == 202
    assert as_admin.get(f"{ONE}/{row.pk}").json()["state"] == "stopped"
    assert act("stop").status_code == 200
    _refused(act("pause"), 409, "INVALID_STATE")
    assert act("start").status_code == 202
    for action, body in (
        ("pause", {}),
        ("unpause", {}),
        ("restart", {}),
        ("reset", {}),
        ("kill", {"signal": "KILL"}),
    ):
        assert act(action, body).status_code == 202, action
    assert as_admin.get(f"{ONE}/{row.pk}").json()["state"] == "stopped"


def test_options_that_a_verb_does_not_take_are_refused(
    as_admin: APIClient, make: Callable[..., Instance]
) -> None:
    path = f"{ONE}/{make('web').pk}"
    for verb, body in (("start", {"x": 1}), ("stop", {"timeout": -1}), ("kill", {"signal": "BOO"})):
        _refused(as_admin.put(f"{path}/{verb}", body, format="json"), 400, "INVALID_INPUT")


def test_a_busy_instance_names_the_operation(as_admin: APIClient, fake_node: Node, bells: list[str]) -> None:
    made = as_admin.post(ONE, _body(), format="json").json()
    error = _refused(as_admin.put(f"{ONE}/{made['instance']['id']}/stop"), 409, "INSTANCE_BUSY")
    assert error["details"]["operation"] == made["operation"]["id"]


def test_an_unreachable_node_refuses_at_once_and_its_instances_are_stale(
    as_admin: APIClient, make: Callable[..., Instance]
) -> None:
    row = make("web")
    Node.objects.update(is_reachable=False, error="The plug was pulled.")
    error = _refused(as_admin.put(f"{ONE}/{row.pk}/stop"), 503, "BACKEND_UNAVAILABLE")
    assert "plug" in error["message"]
    shown = as_admin.get(f"{ONE}/{row.pk}").json()
    assert shown["stale"] and "plug" in shown["status"] and shown["state"] == "running"


def test_labels_and_limits_change_and_a_stale_change_is_412(
    as_admin: APIClient, make: Callable[..., Instance], django_capture_on_commit_callbacks: Any
) -> None:
    path = f"{ONE}/{make('web').pk}"
    tag = as_admin.get(path)["ETag"]
    answer = as_admin.patch(path, {"labels": {"tier": "a"}}, format="json", HTTP_IF_MATCH=tag)
    assert answer.json()["instance"]["labels"] == {"tier": "a"}
    stale = as_admin.patch(path, {"labels": {"tier": "b"}}, format="json", HTTP_IF_MATCH=tag)
    _refused(stale, 412, "PRECONDITION_FAILED")
    with django_capture_on_commit_callbacks(execute=True):
        memory = {"memory": {"limit": 128 * 1024**2}}
        assert as_admin.put(f"{path}/resources", memory, format="json").status_code == 202
    assert as_admin.get(path).json()["resources"]["memory"]["limit"] == 128 * 1024**2
    _refused(as_admin.put(path, {"colour": "red"}, format="json"), 400, "INVALID_INPUT")


def test_an_unchanged_answer_is_304(as_admin: APIClient, make: Callable[..., Instance]) -> None:
    for path in (ONE, f"{ONE}/{make('web').pk}"):
        tag = as_admin.get(path)["ETag"]
        assert as_admin.get(path, HTTP_IF_NONE_MATCH=tag).status_code == 304


def test_a_limit_names_what_is_used_and_asked(
    as_admin: APIClient, make: Callable[..., Instance], settings: Any
) -> None:
    make("web")
    limits = {**settings.LIBGO["compute"]["resource_limits"], "max_instances": 1}
    settings.LIBGO = {**settings.LIBGO, "compute": {**settings.LIBGO["compute"], "resource_limits": limits}}
    error = _refused(as_admin.post(ONE, _body(name="two"), format="json"), 403, "RESOURCE_LIMIT_EXCEEDED")
    assert error["details"] == {
        "limit": "max_instances",
        "scope": "site",
        "maximum": 1,
        "used": 1,
        "asked": 1,
    }


def test_delete_needs_force_while_it_runs(
    as_admin: APIClient, make: Callable[..., Instance], django_capture_on_commit_callbacks: Any
) -> None:
    path = f"{ONE}/{make('web').pk}"
    _refused(as_admin.delete(path), 409, "INVALID_STATE")
    with django_capture_on_commit_callbacks(execute=True):
        assert as_admin.delete(f"{path}?force=true").status_code == 202
    _refused(as_admin.get(path), 404, "INSTANCE_NOT_FOUND")


def test_usage_events_and_name(as_admin: APIClient, make: Callable[..., Instance]) -> None:
    row = make("web")
    assert as_admin.get(f"{ONE}/{row.pk}/usage").json()["memory_bytes"] == 32 * 1024**2
    assert as_admin.get(f"{ONE}/name/web").json()["id"] == str(row.pk)
    kinds = [item["type"] for item in as_admin.get(f"{ONE}/{row.pk}/events").json()["items"]]
    assert "instance.created" in kinds and "operation.succeeded" in kinds


def test_live_reads_the_engine_first(
    as_admin: APIClient, make: Callable[..., Instance], engine: FakeEngine
) -> None:
    row = make("web")
    engine.instances.clear()
    _refused(as_admin.get(f"{ONE}/{row.pk}?live=true"), 404, "INSTANCE_NOT_FOUND")
    assert not Instance.objects.exists()


@attack("S77", "secrets in environment and labels", refused="masked")
def test_secrets_in_env_and_labels_are_masked(as_admin: APIClient, make: Callable[..., Instance]) -> None:
    config = {"image": "demo", "env": {"DB_PASSWORD": "hunter2", "MODE": "fast"}}
    row = make("web", config=config, labels={"api-token": "t0p"})
    shown = as_admin.get(f"{ONE}/{row.pk}").json()
    assert shown["config"]["env"] == {"DB_PASSWORD": "********", "MODE": "fast"}
    assert shown["labels"] == {"api-token": "********"}


def test_operations_are_listed_shown_logged_and_cancelled(
    as_admin: APIClient, fake_node: Node, bells: list[str]
) -> None:
    operation = as_admin.post(ONE, _body(), format="json").json()["operation"]
    path = f"{BASE}/operations/{operation['id']}"
    assert as_admin.get(f"{BASE}/operations?state=queued&instance=web").json()["total"] == 1
    assert as_admin.get(path).json()["may_cancel"] is True
    assert as_admin.get(f"{path}/log").json() == {"items": []}
    assert as_admin.delete(path).json()["may_cancel"] is False
    _refused(as_admin.get(f"{BASE}/operations/nonsense"), 404, "OPERATION_NOT_FOUND")


def test_nodes_are_added_tested_drained_and_removed(as_admin: APIClient) -> None:
    files = {"verify": True, "cert_path": "/cert", "key_path": "/secret"}
    body = {"name": "f2", "backend": "fake", "url": "fake://", "tls": files}
    node = as_admin.post(f"{BASE}/nodes", body, format="json")
    assert node.status_code == 201 and "secret" not in node.content.decode()
    path = f"{BASE}/nodes/{node.json()['id']}"
    assert as_admin.post(f"{path}/test").json()["ok"] is True
    assert node.json()["status"] == "online", "what was found is stored at once"
    assert as_admin.put(f"{path}/drain").json()["status"] == "draining"
    _refused(as_admin.post(ONE, _body(node="f2"), format="json"), 409, "INVALID_STATE")
    assert as_admin.put(f"{path}/resume").json()["status"] == "online"
    _refused(as_admin.post(f"{BASE}/nodes", body, format="json"), 409, "NAME_CONFLICT")
    assert as_admin.delete(path).status_code == 204


def test_the_cluster_and_its_backends(as_admin: APIClient, make: Callable[..., Instance]) -> None:
    make("web")
    status = as_admin.get(f"{BASE}/compute/cluster/status").json()
    assert status["backends"]["fake"]["running"] == 1 and status["total_instances"] == 1
    info = as_admin.get(f"{BASE}/compute/backends/fake/info").json()
    assert info["status"] == "healthy" and "exec" in info["capabilities"]
    assert as_admin.get(f"{BASE}/compute/health").json()["backends"]["fake"]["status"] == "healthy"
    _refused(as_admin.get(f"{BASE}/compute/backends/xen/info"), 400, "INVALID_BACKEND")


def test_no_route_is_a_404_in_the_envelope(as_admin: APIClient) -> None:
    _refused(as_admin.get(f"{BASE}/nowhere"), 404, "NOT_FOUND")
    _refused(as_admin.delete(f"{BASE}/profile"), 405, "METHOD_NOT_ALLOWED")


@attack(
    "S89",
    "health and metrics as a stranger",
    refused="health says one word of each part, no version, name or error; metrics are refused",
)
def test_health_is_open_and_metrics_are_for_admins(
    anonymous: APIClient, as_admin: APIClient, as_viewer: APIClient
) -> None:
    assert anonymous.get("/health/liveness").json() == {"status": "ok"}
    assert anonymous.get("/health/readiness").json()["checks"] == {"database": True, "broker": True}
    overall = anonymous.get("/health")
    assert overall.status_code == 200 and set(overall.json()) == {"status", "checks", "backends"}
    assert set(overall.json()["backends"].values()) <= {"healthy", "degraded", "unavailable", "disabled"}
    _refused(anonymous.get("/metrics"), 401, "UNAUTHENTICATED")
    assert b"libgo_instances" in as_admin.get("/metrics").content
    _refused(as_viewer.get("/metrics"), 403, "PERMISSION_DENIED")


def test_every_answer_carries_a_request_id(as_admin: APIClient) -> None:
    assert as_admin.get(ONE, HTTP_X_REQUEST_ID="abc-1")["X-Request-ID"] == "abc-1"
    assert len(as_admin.get(ONE, HTTP_X_REQUEST_ID="bad id!")["X-Request-ID"]) == 32

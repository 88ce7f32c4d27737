"""Whatever is sent to templates and limits, nothing answers with a 500."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from rest_framework.test import APIClient

from compute.models import Node
from tests.compute.templates.test_templates import BODY, PARAMETERS, URL

ODD: list[Any] = [
    None, True, 0, -1, 2**63, 2**70, 1.5, "", "x" * 70000, "a\u0000b", "é\u202e", [], [[]], {}, {"": {}},
    {"a": {"b": {"c": [1, None]}}}, ["${x}"], "${", "$${}", {"type": "size"}, [{"name": None}], "nan",
]  # fmt: skip
KEYS = [
    "name", "description", "project", "backend", "instance", "body", "parameters", "comment", "count",
    "name_pattern", "version", "node", "node_labels", "auto_start", "max_instances", "max_cpu_cores",
    "assumed_memory_bytes", "cpu_overcommit", "template", "template_version", "usage",
]  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
def test_odd_values(as_admin: APIClient, fake_node: Node, bells: list[str], key: str) -> None:
    as_admin.raise_request_exception = False
    given = {"name": "t", "backend": "fake", "body": BODY, "parameters": PARAMETERS}
    made = as_admin.post(URL, given, format="json").json()
    routes = [
        ("post", URL, given),
        ("put", f"{URL}/{made['id']}", {}),
        ("post", f"{URL}/{made['id']}/instantiate", {"name": "w", "parameters": {"password": "p"}}),
        (
            "post",
            "/api/v1/compute/instances",
            {"name": "w", "template": "t", "parameters": {"password": "p"}},
        ),
        ("put", "/api/v1/compute/limits", {}),
        ("put", "/api/v1/projects/default/limits", {}),
        ("put", f"/api/v1/nodes/{fake_node.pk}", {}),
    ]
    for value, (method, path, body) in itertools.product(ODD[::3], routes):
        answer = getattr(as_admin, method)(path, {**body, key: value}, format="json")
        assert answer.status_code < 500, (method, path, key, str(value)[:50], answer.content[:300])


@pytest.mark.parametrize("value", ODD)
def test_odd_things_in_a_body(as_admin: APIClient, fake_node: Node, bells: list[str], value: Any) -> None:
    as_admin.raise_request_exception = False
    for place in (
        "config",
        "resources",
        "labels",
        "annotations",
        "node_labels",
        "networks",
        "storage",
        "type",
    ):
        for body in (
            {"config": {"image": "demo"}, place: value},
            {"config": {"image": "demo", "env": value}},
        ):
            given = {"name": "t", "backend": "fake", "body": body}
            made = as_admin.post(URL, given, format="json")
            assert made.status_code < 500, (place, made.content[:300])
            if made.status_code == 201:
                path = f"{URL}/{made.json()['id']}"
                used = as_admin.post(f"{path}/instantiate", {"name": "w"}, format="json")
                assert used.status_code < 500, (place, used.content[:300])
                as_admin.delete(path)

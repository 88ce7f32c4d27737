"""Every row of the Docker API that clients rely on has a route, a method and an entry in the schema."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rows import documented_paths, row_require

_CONTAINER_VERBS = "start stop restart pause unpause kill rename update wait resize".split()
ROWS = [
    ("get", "containers"),
    ("post", "containers"),
    ("get", "containers/web"),
    ("delete", "containers/web"),
    *[(method, f"containers/web/{verb}") for method in ("put", "post") for verb in _CONTAINER_VERBS],
    ("post", "containers/web/exec"),
    ("get", "containers/web/logs"),
    ("get", "containers/web/stats"),
    ("get", "containers/web/top"),
    ("get", "containers/web/changes"),
    *[(method, "containers/web/archive") for method in ("get", "put", "head")],
    *[(method, "containers/web/files") for method in ("get", "put")],
    ("post", "containers/web/commit"),
    ("post", "containers/prune"),
    ("get", "images"),
    *[("post", f"images/{verb}") for verb in "pull push build load import prune".split()],
    ("get", "images/libgo/demo:latest"),
    ("get", "images/libgo/demo:latest/history"),
    ("post", "images/libgo/demo:latest/tag"),
    ("delete", "images/libgo/demo:latest"),
    ("get", "images/save"),
    ("get", "images/search"),
    *[(method, "registries") for method in ("get", "post")],
    *[(method, "registries/hub") for method in ("get", "put", "delete")],
    ("post", "registries/hub/test"),
    *[(method, "networks") for method in ("get", "post")],
    *[(method, "networks/front") for method in ("get", "delete")],
    *[("post", f"networks/{path}") for path in ("front/connect", "front/disconnect", "prune")],
    *[(method, "volumes") for method in ("get", "post")],
    *[(method, "volumes/data") for method in ("get", "delete")],
    ("post", "volumes/prune"),
    *[(method, "volumes/data/archive") for method in ("get", "put")],
    *[(method, "stacks") for method in ("get", "post")],
    *[(method, "stacks/shop") for method in ("get", "put", "delete")],
    *[("post", f"stacks/shop/{verb}") for verb in "start stop pull validate".split()],
    *[("get", f"system/{noun}") for noun in "info version df".split()],
    ("post", "system/prune"),
]


@pytest.fixture(scope="module")
def documented() -> dict[str, Any]:
    return documented_paths()


@pytest.mark.parametrize(("method", "path"), ROWS)
def test_the_row_is_there_and_documented(method: str, path: str, documented: dict[str, Any]) -> None:
    row_require(method, f"docker/{path}", documented)

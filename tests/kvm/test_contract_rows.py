"""Every row of the KVM API that clients rely on has a route, a method and an entry in the schema."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rows import documented_paths, row_require

_INSTANCE = "compute/instances/vm1"
ROWS = [
    *[(method, "vms") for method in ("get", "post")],
    *[(method, "vms/vm1") for method in ("get", "delete")],
    *[("put", f"vms/vm1/{verb}") for verb in "start stop restart".split()],
    ("post", "vms/vm1/export"),
    *[(method, "vms/vm1/snapshots") for method in ("get", "post")],
    *[(method, "vms/vm1/snapshots/before") for method in ("get", "delete")],
    ("put", "vms/vm1/snapshots/before/revert"),
    ("get", "exports"),
    *[(method, "exports/1") for method in ("get", "delete")],
    ("get", "exports/1/download"),
    *[(method, "kvm/vms/vm1/xml") for method in ("get", "put")],
    ("put", "kvm/vms/vm1/autostart"),
    ("get", "kvm/vms/vm1/screenshot"),
    *[("post", f"kvm/vms/vm1/{noun}") for noun in "disks nics cdrom migrate".split()],
    *[("delete", f"kvm/vms/vm1/{noun}") for noun in "disks/vdb nics/52:54:00:00:00:01 cdrom/sda".split()],
    ("put", "kvm/vms/vm1/disks/vdb"),
    ("get", "kvm/vms/vm1/guest"),
    *[(method, "kvm/images") for method in ("get", "post")],
    *[(method, "kvm/images/debian") for method in ("get", "delete")],
    *[(method, "storage/pools") for method in ("get", "post")],
    *[(method, "storage/pools/default") for method in ("get", "delete")],
    *[("put", f"storage/pools/default/{verb}") for verb in "start stop refresh".split()],
    *[(method, "storage/pools/default/volumes") for method in ("get", "post")],
    *[(method, "storage/pools/default/volumes/data") for method in ("get", "delete")],
    ("put", "storage/pools/default/volumes/data/resize"),
    *[("post", f"storage/pools/default/volumes/data/{verb}") for verb in "clone upload wipe".split()],
    ("get", "storage/pools/default/volumes/data/download"),
    *[(method, "networks") for method in ("get", "post")],
    *[(method, "networks/lan") for method in ("get", "put", "delete")],
    *[("put", f"networks/lan/{verb}") for verb in "start stop".split()],
    ("get", "networks/lan/leases"),
    *[(method, f"{_INSTANCE}/snapshots") for method in ("get", "post")],
    *[(method, f"{_INSTANCE}/snapshots/before") for method in ("get", "delete")],
    ("put", f"{_INSTANCE}/snapshots/before/restore"),
    *[("post", f"{_INSTANCE}/{verb}") for verb in "clone export migrate exec".split()],
    ("post", "compute/instances/import"),
    *[(method, f"{_INSTANCE}/{noun}") for method in ("get", "post") for noun in ("networks", "storage")],
    ("delete", f"{_INSTANCE}/networks/lan"),
    ("delete", f"{_INSTANCE}/storage/vdb"),
]


@pytest.fixture(scope="module")
def documented() -> dict[str, Any]:
    return documented_paths()


@pytest.mark.parametrize(("method", "path"), ROWS)
def test_the_row_is_there_and_documented(method: str, path: str, documented: dict[str, Any]) -> None:
    row_require(method, path, documented)

"""What opens a node: sealed in its row, opened for its engine only, and entered anew when the key is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from compute.actor import Actor
from compute.errors import BackendUnavailable, InvalidInput, NameConflict
from compute.models import AuditEvent, Node
from compute.selectors.nodes import node_config, node_credentials, node_dict
from compute.services.nodes import node_create, node_test, node_try, node_update
from compute.watcher import _is_usable
from tests.attacks.catalogue import attack
from tests.authority import Authority

pytestmark = pytest.mark.django_db


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ours")


@pytest.fixture
def node(admin: Actor, fake_node: Node, authority: Authority) -> Node:
    given = {"name": "sealed", "backend": "fake", "url": "fake://sealed", "tls": authority.texts("me")}
    return node_create(admin, given)


def test_they_are_sealed_and_opened_for_the_engine_only(node: Node) -> None:
    stored = Node.objects.get(pk=node.pk)
    assert stored.secrets and "BEGIN" not in stored.secrets + str(stored.options)
    assert "PRIVATE KEY" in node_config(stored).secrets["tls_key"]
    assert "BEGIN" not in f"{node_dict(stored)} {node_credentials(stored)} {node_config(stored)!r}"
    assert node_credentials(stored)["certificate"]["subject"] == "CN=me"


@attack(
    "S76",
    "a node's credentials in the audit",
    refused="named, never told",
    audit="a row that names the fields",
)
def test_the_audit_names_them_and_tells_none(node: Node) -> None:
    row = AuditEvent.objects.get(action="node.create")
    assert row.details["credentials"] == ["tls_ca", "tls_cert", "tls_key"]
    assert "BEGIN" not in str(row.details)


@attack("S79", "a lost key", refused="said on the node, nothing else is lost")
def test_a_lost_key_is_said_on_the_node_and_mended_by_entering_them_anew(
    admin: Actor, node: Node, authority: Authority
) -> None:
    Node.objects.filter(pk=node.pk).update(secrets="sealed with another key")
    lost = Node.objects.get(pk=node.pk)
    with pytest.raises(BackendUnavailable, match="LIBGO_SECRET_KEY"):
        node_config(lost)
    assert not _is_usable(lost)
    assert "LIBGO_SECRET_KEY" in Node.objects.get(pk=node.pk).error
    assert node_test(admin, node.pk)["ok"] is False
    mended = node_update(admin, node.pk, {"tls": authority.texts("again")})
    assert _is_usable(mended) and node_credentials(mended)["certificate"]["subject"] == "CN=again"


def test_trying_stores_nothing(admin: Actor, fake_node: Node) -> None:
    assert node_try(admin, {"backend": "fake", "url": "fake://x"})["ok"] is True
    assert Node.objects.count() == 1


def test_names_are_checked_before_anything_is_asked(admin: Actor, fake_node: Node) -> None:
    with pytest.raises(NameConflict):
        node_create(admin, {"name": fake_node.name, "backend": "fake", "url": "fake://x"})
    with pytest.raises(InvalidInput):
        node_create(admin, {"name": "test", "backend": "fake", "url": "fake://x"})

"""What is taken as the way to an engine, and what each refusal says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from compute.backends.types import NodeAccess
from compute.errors import InvalidInput
from compute.services.node_access import access_merged
from tests.authority import OVER, Authority

NOTHING = NodeAccess("")
HOST_KEY = (
    ed25519.Ed25519PrivateKey.generate()
    .public_key()
    .public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    .decode()
)


def _merged(given: Mapping[str, Any], before: NodeAccess = NOTHING) -> NodeAccess:
    return access_merged(before, {"url": before.url or "tcp://10.0.0.1:2376", **given})


def _complaint(given: Mapping[str, Any], field: str) -> str:
    with pytest.raises(InvalidInput) as refused:
        _merged(given)
    return str(refused.value.details["fields"][field])


def test_texts_are_secrets_and_verification_is_on_by_default(tmp_path: Path) -> None:
    access = _merged({"tls": Authority(tmp_path / "a").texts("me")})
    assert sorted(access.secrets) == ["tls_ca", "tls_cert", "tls_key"]
    assert access.options == {"tls": True, "tls_verify": True}
    assert "PRIVATE" not in repr(access), "what is logged holds no key"


def test_each_kind_of_wrong_pem_is_told_apart(tmp_path: Path) -> None:
    authority, other = Authority(tmp_path / "a"), Authority(tmp_path / "b")
    ours, theirs = authority.texts("me"), other.texts("you")
    assert "not a certificate in PEM" in _complaint({"tls": {"ca": "hello"}}, "tls.ca")
    assert "CA flag" in _complaint({"tls": {"ca": ours["cert"]}}, "tls.ca")
    assert "private key, not a certificate" in _complaint({"tls": {"ca": ours["key"]}}, "tls.ca")
    assert "a certificate, not a private key" in _complaint({"tls": {**ours, "key": ours["cert"]}}, "tls.key")
    assert "not belong" in _complaint({"tls": {**ours, "key": theirs["key"]}}, "tls.key")
    assert "is missing" in _complaint({"tls": {"cert": ours["cert"]}}, "tls.key")
    assert "is missing" in _complaint({"tls": {"key": ours["key"]}}, "tls.cert")
    over = authority.texts("old", valid=OVER)
    assert "has expired on" in _complaint({"tls": over}, "tls.cert")
    old = Authority(tmp_path / "c", OVER)
    assert "has expired on" in _complaint({"tls": {"ca": Path(old.ca).read_text()}}, "tls.ca")


def test_a_key_with_a_passphrase_is_refused_with_the_way_out(tmp_path: Path) -> None:
    ours = Authority(tmp_path / "a").texts("me")
    key = serialization.load_pem_private_key(ours["key"].encode(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    ).decode()
    assert "passphrase" in _complaint({"tls": {**ours, "key": locked}}, "tls.key")


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"tls": []}, "tls"),
        ({"tls": {"surprise": 1}}, "tls.surprise"),
        ({"tls": {"verify": "yes"}}, "tls.verify"),
        ({"tls": {"ca": 7}}, "tls.ca"),
        ({"tls": {"ca_path": "relative.pem"}}, "tls.ca_path"),
        ({"ssh": {"surprise": 1}}, "ssh.surprise"),
        ({"ssh": {"user": "-oProxyCommand=x"}}, "ssh.user"),
        ({"ssh": {"port": 70000}}, "ssh.port"),
        ({"ssh": {"key": "nonsense"}}, "ssh.key"),
        ({"ssh": {"host_key": "ssh-ed25519 " + "A" * 68}}, "ssh.host_key"),
        ({"ssh": {"known_hosts": "one\ntwo"}}, "ssh.known_hosts"),
    ],
)
def test_a_bad_field_is_named(given: dict[str, Any], field: str) -> None:
    assert _complaint(given, field)


def test_rotating_replaces_only_what_is_given_and_null_takes_away(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "a")
    first = _merged({"tls": authority.texts("one")})
    fresh = authority.texts("two")
    second = _merged({"tls": {"cert": fresh["cert"], "key": fresh["key"]}}, first)
    assert second.secrets["tls_ca"] == first.secrets["tls_ca"]
    assert second.secrets["tls_cert"] != first.secrets["tls_cert"]
    assert _merged({"tls": {"ca": None}}, second).secrets.keys() == {"tls_cert", "tls_key"}
    assert not _merged({"tls": None}, second).secrets
    files = _merged({"tls": {"cert_path": "/a", "key_path": "/b"}}, second)
    assert files.secrets.keys() == {"tls_ca"} and files.options["tls_key_path"] == "/b"


def test_another_scheme_drops_the_credentials_of_the_old_way(tmp_path: Path) -> None:
    before = _merged({"tls": Authority(tmp_path / "a").texts("one")})
    after = access_merged(before, {"url": "ssh://root@host", "ssh": {"host_key": HOST_KEY}})
    assert not after.secrets and after.options == {"ssh_host_key": " ".join(HOST_KEY.split()[:2])}


def test_user_and_port_become_part_of_the_address() -> None:
    access = access_merged(NOTHING, {"url": "ssh://host/run/x.sock", "ssh": {"user": "ops", "port": 2222}})
    assert access.url == "ssh://ops@host:2222/run/x.sock"

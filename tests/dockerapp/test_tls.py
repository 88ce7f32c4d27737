"""A remote engine over TLS with certificates on both sides, as Docker documents it."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compute.backends.types import LogQuery, NodeConfig
from compute.errors import BackendUnavailable
from dockerapp.backend import DockerBackend
from tests.attacks.catalogue import attack
from tests.authority import OVER, Authority
from tests.dockerapp.scripted import Request, ScriptedEngine


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ours")


@pytest.fixture
def remote(authority: Authority) -> Iterator[ScriptedEngine]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("engine"))
    context.load_verify_locations(authority.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    engine = ScriptedEngine(None, context)
    engine.script["GET /containers/json"] = lambda request: request.answer(200, [])
    yield engine
    engine.stop()


def _options(authority: Authority) -> dict[str, Any]:
    certificate, key = authority.issue("libgo")
    return {
        "tls_verify": True,
        "tls_ca_path": authority.ca,
        "tls_cert_path": certificate,
        "tls_key_path": key,
        "max_retries": 0,
    }


def _backend(remote: ScriptedEngine, options: dict[str, Any]) -> DockerBackend:
    return DockerBackend(NodeConfig("tls", "tls", "docker", remote.url, options, 2, 5))


def test_the_right_certificates_are_let_in(remote: ScriptedEngine, authority: Authority) -> None:
    assert _backend(remote, _options(authority)).instance_list() == []


def test_the_environment_cannot_replace_the_node_s_authority(
    remote: ScriptedEngine, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", Authority(tmp_path / "other").ca)
    assert _backend(remote, _options(authority)).instance_list() == []


@attack("S74", "an engine with a certificate of another authority", refused="refused")
def test_an_engine_of_another_authority_is_refused(
    remote: ScriptedEngine, authority: Authority, tmp_path: Path
) -> None:
    options = {**_options(authority), "tls_ca_path": Authority(tmp_path / "other").ca}
    with pytest.raises(BackendUnavailable, match="not signed by the authority"):
        _backend(remote, options).instance_list()


@attack("S74", "an engine whose certificate is over, or is for another address", refused="refused, and why")
@pytest.mark.parametrize(
    ("more", "says"),
    [({"valid": OVER}, "expired"), ({"address": "127.0.0.9"}, "another name")],
    ids=["over", "elsewhere"],
)
def test_an_engine_with_a_certificate_that_does_not_hold_is_refused(
    authority: Authority, more: dict[str, Any], says: str
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("bad", **more))
    engine = ScriptedEngine(None, context)
    engine.script["GET /containers/json"] = lambda request: request.answer(200, [])
    try:
        with pytest.raises(BackendUnavailable) as refused:
            _backend(engine, _options(authority)).instance_list()
        assert says in refused.value.message, refused.value.message
    finally:
        engine.stop()


@attack("S74", "reaching a TLS engine without our certificate", refused="refused by it")
def test_without_our_certificate_the_engine_refuses_us(remote: ScriptedEngine, authority: Authority) -> None:
    options = {"tls_verify": True, "tls_ca_path": authority.ca, "max_retries": 0}
    with pytest.raises(BackendUnavailable):
        _backend(remote, options).instance_list()


@pytest.mark.parametrize("option", ["tls_ca_path", "tls_cert_path", "tls_key_path"])
def test_a_missing_file_is_explained_without_its_path(
    remote: ScriptedEngine, authority: Authority, option: str
) -> None:
    backend = _backend(remote, {**_options(authority), option: "/nowhere/secret.pem"})
    with pytest.raises(BackendUnavailable, match="Check the node's certificates") as refused:
        backend.instance_list()
    assert "/nowhere" not in refused.value.message


async def test_streams_use_the_same_certificates(remote: ScriptedEngine, authority: Authority) -> None:
    def logs(request: Request) -> None:
        text = b"2026-01-02T03:04:05.000000006Z hello\n"
        data = b"\x01\x00\x00\x00" + len(text).to_bytes(4, "big") + text
        request.begin_stream()
        request.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n0\r\n\r\n")

    remote.script["GET /containers/c/json"] = lambda request: request.answer(200, {"Id": "c", "Config": {}})
    remote.script["GET /containers/c/logs"] = logs
    backend = _backend(remote, _options(authority))
    texts = [line.text async for lines in backend.logs_follow("c", LogQuery()) for line in lines]
    assert texts == ["hello"]

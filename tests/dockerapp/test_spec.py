"""The configuration of a container: what is taken, refused, and for administrators only."""

from __future__ import annotations

from typing import Any

import pytest

from compute.backends.types import InstanceSpec, Resources
from compute.errors import InvalidInput, PolicyDenied
from compute.states import InstanceType
from dockerapp.engine.logs import LineDecoder
from dockerapp.engine.spec import config_check, create_body
from tests.attacks.catalogue import attack


def _body(**config: Any) -> dict[str, Any]:
    checked = config_check({"image": "demo", **config}, allow_root_equivalent=True)
    resources = Resources(cpu_cores=1.5, memory_bytes=64 * 1024**2)
    return create_body(InstanceSpec("web", InstanceType.CONTAINER, "i", "o", "p", checked, resources))


def test_every_part_of_the_contract_reaches_the_engine() -> None:
    body = _body(
        command=["serve"],
        env={"A": "1"},
        volumes=["data:/data", "/srv:/srv:ro"],
        ports=["127.0.0.1:8080:80/tcp", "53/udp"],
        restart_policy={"policy": "on-failure", "maximum_retry_count": 3},
        health_check={"test": "true", "interval": 5, "retries": 2},
        capabilities={"add": ["net_admin"], "drop": ["ALL"]},
        read_only=True,
        tmpfs=["/run"],
        devices=["/dev/fuse"],
        gpus="all",
        log_driver="json-file",
        log_options={"max-size": "1m"},
    )
    host = body["HostConfig"]
    assert body["Cmd"] == ["serve"] and body["Env"] == ["A=1"]
    assert body["Labels"]["libgo.instance"] == "i" and body["Labels"]["libgo.operation"] == "o"
    assert body["Healthcheck"] == {"Test": ["CMD-SHELL", "true"], "Interval": 5_000_000_000, "Retries": 2}
    assert host["PortBindings"]["80/tcp"] == [{"HostIp": "127.0.0.1", "HostPort": "8080"}]
    assert host["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 3}
    assert host["CapAdd"] == ["NET_ADMIN"] and host["ReadonlyRootfs"] is True
    assert (host["NanoCpus"], host["Memory"]) == (1_500_000_000, 64 * 1024**2)
    assert host["DeviceRequests"][0]["Count"] == -1 and host["Tmpfs"] == {"/run": ""}


@attack(
    "S37 S38 S39 S40 S41 S43", "whatever is as good as root, each in its forms", refused="403 naming the rule"
)
@pytest.mark.parametrize(
    ("config", "rule"),
    [
        ({"privileged": True}, "privileged"),
        ({"network_mode": "host"}, "host_network"),
        ({"network_mode": "container:other"}, "host_network"),
        ({"volumes": ["/:/host"]}, "host_path"),
        ({"volumes": ["/var/run/docker.sock:/s"]}, "host_path"),
        ({"devices": ["/dev/sda"]}, "devices"),
        ({"gpus": 1}, "devices"),
        ({"capabilities": {"add": ["SYS_ADMIN"]}}, "added_capabilities"),
    ],
)
def test_what_is_as_good_as_root_names_its_rule(config: dict[str, Any], rule: str) -> None:
    with pytest.raises(PolicyDenied) as refused:
        config_check({"image": "demo", **config}, allow_root_equivalent=False)
    assert refused.value.details["rule"] == rule
    assert config_check({"image": "demo", **config}, allow_root_equivalent=True)


@pytest.mark.parametrize(
    "config",
    [
        {"image": "UPPER/case"},
        {"image": "a b"},
        {"image": "../x"},
        {"command": "not a list"},
        {"env": ["A=1"]},
        {"env": {"A B": "1"}},
        {"env": {"A": 1}},
        {"volumes": ["relative:data"]},
        {"volumes": ["/a/../b:/c"]},
        {"ports": ["99999:80"]},
        {"ports": ["300.1.1.1:80:80"]},
        {"ports": [80]},
        {"restart_policy": {"policy": "sometimes"}},
        {"restart_policy": 7},
        {"capabilities": {"add": ["rm -rf"]}},
        {"capabilities": []},
        {"health_check": {}},
        {"health_check": {"test": "x", "interval": "soon"}},
        {"tmpfs": ["tmp"]},
        {"devices": ["/etc/passwd"]},
        {"gpus": -1},
        {"log_driver": "carrier-pigeon"},
        {"pull": "perhaps"},
        {"privileged": "yes"},
        {"user": 7},
        {"hostname": "x\x00y"},
    ],
)
def test_a_bad_value_names_its_field(config: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as refused:
        config_check({"image": "demo", **config}, allow_root_equivalent=True)
    key = next(iter(config))
    assert any(name.startswith(f"config.{key}") for name in refused.value.details["fields"])


def test_frames_and_lines_cut_anywhere_are_made_whole() -> None:
    def frame(stream: int, data: bytes) -> bytes:
        return bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data

    raw = (
        frame(1, b"2026-01-01T00:00:00.5Z one\n2026-01-01T00:00:01Z tw")
        + frame(2, b"err\n")
        + frame(1, b"o\n")
    )
    for size in (1, 3, 1000):
        decoder = LineDecoder(framed=True)
        lines = [line for at in range(0, len(raw), size) for line in decoder.feed(raw[at : at + size])]
        lines += decoder.finish()
        assert [(line.stream, line.text) for line in lines] == [
            ("stdout", "one"),
            ("stderr", "err"),
            ("stdout", "two"),
        ]

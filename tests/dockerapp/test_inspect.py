"""What the engine says of a container, in LibGo's words."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from compute.backends.types import PortInfo
from compute.states import InstanceState
from dockerapp.engine.inspect import inspect_info, summary_info, time_parse


def _doc(state: dict[str, Any], **parts: Any) -> dict[str, Any]:
    return {"Id": "c", "Name": "/web", "State": state, **parts}


@pytest.mark.parametrize(
    ("word", "wanted"),
    [
        ("created", InstanceState.CREATED),
        ("running", InstanceState.RUNNING),
        ("restarting", InstanceState.RUNNING),
        ("paused", InstanceState.PAUSED),
        ("removing", InstanceState.STOPPED),
        ("exited", InstanceState.STOPPED),
        ("dead", InstanceState.ERROR),
        ("something new", InstanceState.UNKNOWN),
    ],
)
def test_the_list_and_the_detail_give_one_state_to_each_word(word: str, wanted: InstanceState) -> None:
    assert inspect_info(_doc({"Status": word})).state == wanted
    assert summary_info({"Id": "c", "Names": ["/web"], "State": word}).state == wanted


def test_how_it_ended_is_a_sentence() -> None:
    assert inspect_info(_doc({"Status": "exited", "ExitCode": 3})).status == "Exited with code 3"
    killed = _doc({"Status": "exited", "ExitCode": 137, "OOMKilled": True})
    assert inspect_info(killed).status == "Ran out of memory and was killed (exit code 137)"
    again = _doc({"Status": "restarting", "ExitCode": 137, "OOMKilled": True})
    assert inspect_info(again).status == "Restarting: ran out of memory and was killed (exit code 137)"
    assert (
        inspect_info(_doc({"Status": "restarting", "ExitCode": 3})).status == "Restarting: exited with code 3"
    )
    row = {"Id": "c", "Names": ["/web"], "State": "exited", "Status": "Exited (3) 2 hours ago"}
    assert summary_info(row).status == "Exited with code 3"


@pytest.mark.parametrize(
    ("host", "cores"),
    [
        ({"NanoCpus": 1_500_000_000}, 1.5),
        ({"CpuQuota": 50_000, "CpuPeriod": 100_000}, 0.5),
        ({"CpuQuota": 200_000}, 2.0),
        ({"CpuQuota": -1}, None),
        ({}, None),
    ],
)
def test_limits_of_either_kind_are_cores(host: dict[str, Any], cores: float | None) -> None:
    assert inspect_info(_doc({}, HostConfig=host)).cpu_cores == cores


def test_ports_are_the_live_ones_and_else_those_asked_for() -> None:
    asked = {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}
    live = {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "53/udp": None}
    running = inspect_info(_doc({}, HostConfig={"PortBindings": asked}, NetworkSettings={"Ports": live}))
    assert running.ports == (PortInfo("", None, 53, "udp"), PortInfo("0.0.0.0", 8080, 80, "tcp"))
    stopped = inspect_info(_doc({}, HostConfig={"PortBindings": asked}))
    assert stopped.ports == (PortInfo("", 8080, 80, "tcp"),)
    assert stopped.config["ports"] == ["8080:80/tcp"]


def test_networks_and_mounts_are_listed_by_name() -> None:
    doc = _doc(
        {},
        NetworkSettings={"Networks": {"front": {"IPAddress": "10.0.0.2", "MacAddress": "02:42:0a:00:00:02"}}},
        Mounts=[
            {"Type": "volume", "Name": "data", "Source": "/var/lib/docker/volumes/data", "Destination": "/d"}
        ],
    )
    info = inspect_info(doc)
    assert [(net.network, net.ip_address) for net in info.networks] == [("front", "10.0.0.2")]
    assert [(disk.name, disk.source, disk.target) for disk in info.storage] == [("data", "data", "/d")]


def test_health_comes_from_the_detail_and_from_the_list_alike() -> None:
    assert inspect_info(_doc({"Status": "running", "Health": {"Status": "unhealthy"}})).health == "unhealthy"
    assert inspect_info(_doc({"Status": "running", "Health": {"Status": "none"}})).health == ""
    row = {"Id": "c", "Names": ["/web"], "State": "running", "Status": "Up 3 seconds (health: starting)"}
    assert summary_info(row).health == "starting"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2026-01-02T03:04:05.123456789Z", datetime(2026, 1, 2, 3, 4, 5, 123456, timezone.utc)),
        ("2026-01-02T03:04:05.1Z", datetime(2026, 1, 2, 3, 4, 5, 100000, timezone.utc)),
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, 0, timezone.utc)),
        ("2026-01-02T05:04:05+02:00", datetime(2026, 1, 2, 3, 4, 5, 0, timezone.utc)),
        ("0001-01-01T00:00:00Z", None),
        ("", None),
        (None, None),
        ("yesterday", None),
    ],
)
def test_times_are_utc_and_year_one_is_never(text: Any, wanted: datetime | None) -> None:
    assert time_parse(text) == wanted


def test_a_linked_name_is_not_taken_for_its_own() -> None:
    assert summary_info({"Id": "c", "Names": ["/other/db", "/web"], "State": "running"}).name == "web"


def test_what_the_engine_leaves_out_is_not_missed() -> None:
    info = inspect_info({"Id": "c", "Config": None, "HostConfig": None, "Mounts": None, "State": None})
    assert (info.state, info.networks, info.storage, info.ports) == (InstanceState.UNKNOWN, (), (), ())

"""Every field that an engine has of a container's host configuration is open, ruled or refused."""

from __future__ import annotations

from typing import Any

import pytest

from compute.backends.types import InstanceSpec, Resources
from compute.errors import InvalidInput, PolicyDenied
from compute.states import InstanceType
from dockerapp.api.container_shapes import CONFIG_FIELDS
from dockerapp.engine.observed import observed_config
from dockerapp.engine.spec import CHANGEABLE, CHECKS, clone_config, config_check, create_body
from tests.attacks.catalogue import attack

# HostConfig and Resources of the Engine API 1.41: our word for it and a value, or why there is none.
OPEN: dict[str, tuple[str, Any]] = {
    "Binds": ("volumes", ["data:/data"]),
    "Mounts": ("volumes", ["data:/data:ro"]),
    "PortBindings": ("ports", ["8080:80"]),
    "PublishAllPorts": ("publish_all_ports", True),
    "NetworkMode": ("network_mode", "bridge"),
    "RestartPolicy": ("restart_policy", "always"),
    "LogConfig": ("log_driver", "local"),
    "CapDrop": ("capabilities", {"drop": ["ALL"]}),
    "CgroupnsMode": ("cgroupns_mode", "private"),
    "Dns": ("dns", ["192.0.2.53"]),
    "DnsOptions": ("dns_options", ["ndots:1"]),
    "DnsSearch": ("dns_search", ["example.test"]),
    "ExtraHosts": ("extra_hosts", ["db:192.0.2.7"]),
    "IpcMode": ("ipc_mode", "shareable"),
    "PidMode": ("pid_mode", ""),
    "ReadonlyRootfs": ("read_only", True),
    "SecurityOpt": ("security_opt", ["no-new-privileges"]),
    "Tmpfs": ("tmpfs", ["/run:size=64m,mode=1777"]),
    "UTSMode": ("uts_mode", ""),
    "ShmSize": ("shm_size", 2**26),
    "Init": ("init", True),
    "PidsLimit": ("pids_limit", 100),
    "CpuShares": ("cpu_shares", 512),
    "CpusetCpus": ("cpuset_cpus", "0-1"),
    "MemoryReservation": ("memory_reservation", 2**26),
    "MemorySwap": ("memory_swap", 2**28),
    "MemorySwappiness": ("memory_swappiness", 10),
}
RULED: dict[str, tuple[str, Any]] = {
    "Privileged": ("privileged", True),
    "CapAdd": ("capabilities", {"add": ["NET_ADMIN"]}),
    "VolumesFrom": ("volumes_from", ["other"]),
    "GroupAdd": ("group_add", ["disk"]),
    "OomScoreAdj": ("oom_score_adj", -500),
    "OomKillDisable": ("oom_kill_disable", True),
    "UsernsMode": ("userns_mode", "host"),
    "Sysctls": ("sysctls", {"net.core.somaxconn": "1024"}),
    "Runtime": ("runtime", "other"),
    "CgroupParent": ("cgroup_parent", "/x"),
    "BlkioWeight": ("blkio_weight", 500),
    "Devices": ("devices", ["/dev/fuse"]),
    "DeviceCgroupRules": ("device_cgroup_rules", ["c 10:200 rwm"]),
    "DeviceRequests": ("gpus", "all"),
    "Ulimits": ("ulimits", {"nofile": 1024}),
}
# Asked for in cores and bytes, as of every instance.
LIMITS = {"NanoCpus", "Memory", "CpuPeriod", "CpuQuota"}
# Nobody may ask for these: of other systems, deprecated, or the engine's own business.
REFUSED = set(
    "AutoRemove BlkioDeviceReadBps BlkioDeviceReadIOps BlkioDeviceWriteBps BlkioDeviceWriteIOps "
    "BlkioWeightDevice Cgroup ConsoleSize ContainerIDFile CpuCount CpuPercent CpuRealtimePeriod "
    "CpuRealtimeRuntime CpusetMems IOMaximumBandwidth IOMaximumIOps Isolation KernelMemory KernelMemoryTCP "
    "Links MaskedPaths ReadonlyPaths StorageOpt VolumeDriver".split()
)
# From the engine's own description of its API, version 1.41.
API = set(
    "AutoRemove Binds BlkioDeviceReadBps BlkioDeviceReadIOps BlkioDeviceWriteBps BlkioDeviceWriteIOps "
    "BlkioWeight BlkioWeightDevice CapAdd CapDrop Cgroup CgroupParent CgroupnsMode ConsoleSize "
    "ContainerIDFile CpuCount CpuPercent CpuPeriod CpuQuota CpuRealtimePeriod CpuRealtimeRuntime CpuShares "
    "CpusetCpus CpusetMems DeviceCgroupRules DeviceRequests Devices Dns DnsOptions DnsSearch ExtraHosts "
    "GroupAdd IOMaximumBandwidth IOMaximumIOps Init IpcMode Isolation KernelMemory KernelMemoryTCP Links "
    "LogConfig MaskedPaths Memory MemoryReservation MemorySwap MemorySwappiness Mounts NanoCpus NetworkMode "
    "OomKillDisable OomScoreAdj PidMode PidsLimit PortBindings Privileged PublishAllPorts ReadonlyPaths "
    "ReadonlyRootfs RestartPolicy Runtime SecurityOpt ShmSize StorageOpt Sysctls Tmpfs UTSMode Ulimits "
    "UsernsMode VolumeDriver VolumesFrom".split()
)


@attack("S47", "every key of the engine's own HostConfig", refused="classified: open, ruled or never")
def test_every_key_of_the_engine_is_classified_once() -> None:
    classes = [set(OPEN), set(RULED), LIMITS, REFUSED]
    assert set().union(*classes) == API and sum(map(len, classes)) == len(API)


@attack("S47", "every key of HostConfig by the engine's own name", refused="400 as unknown")
@pytest.mark.parametrize("key", sorted(API))
def test_no_key_of_the_engine_passes_by_its_own_name(key: str) -> None:
    for name in (key, key.lower(), f"HostConfig.{key}"):
        if name in CHECKS:
            continue
        with pytest.raises(InvalidInput, match="is not one of"):
            config_check({"image": "demo", name: {}}, allow_root_equivalent=True)


@pytest.mark.parametrize("key", sorted(OPEN))
def test_what_is_open_reaches_the_engine_under_its_key(key: str) -> None:
    ours, value = OPEN[key]
    checked = config_check({"image": "demo", ours: value}, allow_root_equivalent=False)
    host = _host(checked)
    assert {"Mounts": "Binds", "UTSMode": "UTSMode"}.get(key, key) in host
    assert set(host) <= API


@attack("S37 S47", "every key that is ruled, as an operator", refused="403")
@pytest.mark.parametrize("key", sorted(RULED))
def test_what_is_ruled_is_for_administrators_only(key: str) -> None:
    ours, value = RULED[key]
    with pytest.raises(PolicyDenied) as refused:
        config_check({"image": "demo", ours: value}, allow_root_equivalent=False)
    assert refused.value.details["rule"]
    host = _host(config_check({"image": "demo", ours: value}, allow_root_equivalent=True))
    assert host[key] and set(host) <= API


def test_the_schema_of_the_api_knows_every_key() -> None:
    assert set(CHECKS) == CONFIG_FIELDS
    assert set(CHECKS) > CHANGEABLE


@pytest.mark.parametrize(
    "config",
    [
        {"networks": "front"},
        {"networks": ["a", "a"]},
        {"networks": [{"network": "a", "ip_address": "1.2.3"}]},
        {"networks": [{"network": "a", "ip_address": "::1"}]},
        {"networks": [{"network": "a"}, {"network": "b", "mac_address": "02:42:ac:11:00:02"}]},
        {"networks": [{"network": "a", "mac_address": "01:00:00:00:00:00"}]},
        {"networks": [{"network": "a", "aliases": ["a b"]}]},
        {"networks": [{"name": "a"}]},
        {"network_mode": "host", "networks": ["a"]},
        {"dns": ["nine"]},
        {"extra_hosts": ["db"]},
        {"extra_hosts": ["d b:192.0.2.1"]},
        {"sysctls": {"a b": "1"}},
        {"ulimits": {"nofile": "many"}},
        {"ulimits": {"nofile": {"soft": 1}}},
        {"tmpfs": ["/run:size=much"]},
        {"tmpfs": ["/run:exec,evil"]},
        {"volumes": ["data:/data:rw,evil"]},
        {"volumes": ["../x:/data"]},
        {"stop_signal": "rm -rf"},
        {"stop_timeout": -1},
        {"hostname": "a b"},
        {"cpuset_cpus": "0;1"},
        {"device_cgroup_rules": ["x"]},
        {"memory_swap": -2},
        {"shm_size": True},
        {"pid_mode": "container:"},
    ],
)
def test_a_bad_value_names_its_field(config: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as refused:
        config_check({"image": "demo", **config}, allow_root_equivalent=True)
    assert any(name.startswith("config.") for name in refused.value.details["fields"])


def test_networks_carry_fixed_addresses_and_the_first_is_the_main_one() -> None:
    networks = [
        {"network": "front", "ip_address": "10.1.0.7", "mac_address": "02-42-AC-11-00-02", "aliases": ["db"]},
        "back",
    ]
    checked = config_check({"image": "demo", "networks": networks}, allow_root_equivalent=False)
    body = _body(checked)
    assert body["HostConfig"]["NetworkMode"] == "front" and body["MacAddress"] == "02:42:ac:11:00:02"
    assert body["NetworkingConfig"]["EndpointsConfig"] == {
        "front": {"IPAMConfig": {"IPv4Address": "10.1.0.7"}, "Aliases": ["db"]}
    }


def test_what_is_shown_may_be_asked_for_again_and_asks_for_the_same() -> None:
    doc = {
        "Id": "a" * 64,
        "Name": "/web",
        "Config": {
            "Image": "demo",
            "Hostname": "a" * 12,
            "Tty": True,
            "StopSignal": "SIGINT",
            "StopTimeout": 0,
            "Env": ["A=1"],
        },
        "HostConfig": {
            "Binds": ["data:/data:ro,z"],
            "Mounts": [{"Type": "volume", "Source": "more", "Target": "/more", "ReadOnly": True}],
            "NetworkMode": "n" * 64,
            "Memory": 2**27,
            "MemorySwap": 2**28,
            "ShmSize": 2**26,
            "IpcMode": "private",
            "CgroupnsMode": "host",
            "Runtime": "runc",
            "MemorySwappiness": -1,
            "PidsLimit": None,
            "Tmpfs": {"/run": "size=1m", "/tmp": ""},
            "Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}],
            "DeviceRequests": [{"Count": -1, "Capabilities": [["gpu"]]}],
            "Devices": [{"PathOnHost": "/dev/a", "PathInContainer": "/dev/b", "CgroupPermissions": "r"}],
        },
        "NetworkSettings": {
            "Networks": {
                "back": {"NetworkID": "m", "Aliases": ["a" * 12, "api"]},
                "front": {"NetworkID": "n" * 64, "IPAMConfig": {"IPv4Address": "10.0.0.7"}},
            }
        },
    }
    shown = observed_config(doc)
    assert "hostname" not in shown and "memory_swap" not in shown and shown["stop_timeout"] == 0
    assert shown["volumes"] == ["data:/data:ro,z", "more:/more:ro"]
    assert shown["networks"] == [
        {"network": "front", "ip_address": "10.0.0.7"},
        {"network": "back", "aliases": ["api"]},
    ]
    checked = config_check(shown, allow_root_equivalent=True)
    assert config_check(checked, allow_root_equivalent=True) == checked
    host = _host(checked)
    assert host["Tmpfs"] == {"/run": "size=1m", "/tmp": ""} and host["DeviceRequests"][0]["Count"] == -1
    assert host["Devices"] == doc["HostConfig"]["Devices"]  # type: ignore[index]
    clone = config_check(clone_config(shown), allow_root_equivalent=True)
    assert clone["networks"] == [{"network": "front"}, {"network": "back", "aliases": ["api"]}]


def _body(checked: dict[str, Any]) -> dict[str, Any]:
    return create_body(InstanceSpec("web", InstanceType.CONTAINER, "i", "o", "p", checked, Resources()))


def _host(checked: dict[str, Any]) -> dict[str, Any]:
    return dict(_body(checked)["HostConfig"])

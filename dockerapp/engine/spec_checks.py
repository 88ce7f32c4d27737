"""Checks of single keys of a container's ``config``: each gives the typed value or names its field."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

from compute.backends.checks import Check
from compute.errors import InvalidInput
from compute.tell import tell
from dockerapp.references import reference_parse

_IMAGE_ID = re.compile(r"sha256:[0-9a-f]{64}")
_VOLUME = re.compile(r"([a-zA-Z0-9][a-zA-Z0-9_.-]*):(/[^:]*)(?::([a-zA-Z,]+))?")
_BIND = re.compile(r"(/[^:]*):(/[^:]*)(?::([a-zA-Z,]+))?")
_MOUNT_OPTIONS = frozenset(
    "ro rw z Z nocopy private rprivate shared rshared slave rslave cached delegated consistent".split()
)
_TMPFS_FLAGS = frozenset("ro rw exec noexec suid nosuid dev nodev sync async noatime".split())
_TMPFS_VALUE = re.compile(
    r"size=\d{1,15}[kKmMgG%]?|mode=0?[0-7]{3,4}|uid=\d{1,9}|gid=\d{1,9}|nr_inodes=\d{1,12}"
)
_PORT = re.compile(r"(?:(?:(\d{1,3}(?:\.\d{1,3}){3}):)?(\d{0,5}):)?(\d{1,5})(?:/(tcp|udp|sctp))?")
_DEVICE = re.compile(r"(/dev/[^:]+)(?::(/[^:]+))?(?::([rwm]+))?")
_DEVICE_RULE = re.compile(r"[abc] (?:\d+|\*):(?:\d+|\*) [rwm]{1,3}")
_ENV_NAME = re.compile(r"[^=\x00\s]{1,256}")
_NETWORK = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}")
_MODE = re.compile(r"[a-z]+|container:[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}")
_CAPABILITY = re.compile(r"(?:CAP_)?[A-Z_]{2,40}|ALL")
_HOST_NAME = re.compile(r"[a-zA-Z0-9_](?:[a-zA-Z0-9_.-]{0,252}[a-zA-Z0-9_])?")
_SIGNAL = re.compile(r"(?:SIG)?[A-Z][A-Z0-9+-]{1,15}|\d{1,2}")
_LIMIT_NAME = re.compile(r"[a-z]{2,20}")
_SYSCTL = re.compile(r"[a-z0-9_]+(?:[./-][a-zA-Z0-9_-]+)+")
_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")
_CPUS = re.compile(r"\d{1,4}(?:-\d{1,4})?(?:,\d{1,4}(?:-\d{1,4})?)*")
_RESTART = ("no", "always", "unless-stopped", "on-failure")
_HEALTH_WORDS = ("CMD", "CMD-SHELL", "NONE")
_LIST_MAX = 256
_NETWORKS_MAX = 32
_BYTES_MAX = 2**60


def check_text(name: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) > 4096 or "\x00" in value:
        raise InvalidInput.field(name, "must be text of at most 4096 characters.")
    return value


def check_flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidInput.field(name, "must be true or false.")
    return value


def check_words(name: str, value: Any) -> list[str]:
    if isinstance(value, str) and value:
        raise InvalidInput.field(name, "must be a list of texts, one for each argument.")
    if not isinstance(value, (list, tuple)) or len(value) > _LIST_MAX:
        raise InvalidInput.field(name, f"must be a list of at most {_LIST_MAX} texts.")
    return [check_text(name, item) for item in value]


def check_image(name: str, value: Any) -> str:
    given = check_text(name, value).strip()
    return given if _IMAGE_ID.fullmatch(given) else reference_parse(given, field=name).written


def check_env(name: str, value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping) or len(value) > _LIST_MAX:
        raise InvalidInput.field(name, "must be an object of texts.")
    for key, item in value.items():
        if not isinstance(key, str) or not _ENV_NAME.fullmatch(key):
            raise InvalidInput.field(name, "names must have no spaces and no “=”.")
        if not isinstance(item, str) or len(item) > 32768 or "\x00" in item:
            raise InvalidInput.field(f"{name}.{key}", "must be text.")
    return dict(value)


def check_volumes(name: str, value: Any) -> list[str]:
    """Named volumes and host paths; a path alone is a new anonymous volume."""
    items = check_words(name, value)
    for item in items:
        found = _VOLUME.fullmatch(item) or _BIND.fullmatch(item)
        options = set((found[3] or "rw").split(",")) if found else set()
        alone = not found and item.startswith("/") and len(item) > 1 and ":" not in item
        if not (alone or (found and options <= _MOUNT_OPTIONS)) or ".." in item.replace(":", "/").split("/"):
            raise InvalidInput.field(name, f"“{item[:80]}” is not “volume:/path[:ro]” or “/host:/path[:ro]”.")
    return items


def is_host_path(item: str) -> bool:
    """Whether an entry of ``volumes`` mounts a path of the host."""
    return item.startswith("/") and ":" in item


def check_ports(name: str, value: Any) -> list[dict[str, str]]:
    if isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
        return [_port_again(name, item) for item in value]
    return [_port(name, item) for item in check_words(name, value)]


def _port_again(name: str, item: Mapping[str, Any]) -> dict[str, str]:
    """An already checked port: configs are stored as they were checked."""
    if set(item) != {"container", "host_ip", "host_port"}:
        raise InvalidInput.field(name, "must be a list of texts such as “8080:80/tcp”.")
    address = f"{item['host_ip']}:" if item["host_ip"] else ""
    return _port(name, f"{address}{item['host_port']}:{item['container']}")


def _port(name: str, text: str) -> dict[str, str]:
    found = _PORT.fullmatch(text)
    numbers = [int(number) for number in (found[2], found[3]) if number] if found else [0]
    octets = [int(part) for part in (found[1] or "").split(".") if part] if found else []
    if not found or not all(0 < number < 65536 for number in numbers) or any(part > 255 for part in octets):
        raise InvalidInput.field(name, f"“{text[:80]}” is not “[address:][host:]container[/protocol]”.")
    return {
        "container": f"{found[3]}/{found[4] or 'tcp'}",
        "host_ip": found[1] or "",
        "host_port": found[2] or "",
    }


def check_network_mode(name: str, value: Any) -> str:
    text = check_text(name, value)
    if text and not _NETWORK.fullmatch(text.removeprefix("container:")):
        raise InvalidInput.field(
            name, "must be a network's name, “bridge”, “none”, “host” or “container:name”."
        )
    return text


def check_restart(name: str, value: Any) -> dict[str, Any]:
    given = {"policy": value} if isinstance(value, str) else value
    if isinstance(given, Mapping) and set(given) == {"Name", "MaximumRetryCount"}:
        # An already checked one: configs are stored as they were checked.
        given = {"policy": given["Name"], "maximum_retry_count": given["MaximumRetryCount"]}
    if not isinstance(given, Mapping) or set(given) - {"policy", "maximum_retry_count"}:
        raise InvalidInput.field(name, "must have “policy” and may have “maximum_retry_count”.")
    count = given.get("maximum_retry_count") or 0
    if given.get("policy") not in _RESTART:
        raise InvalidInput.field(f"{name}.policy", f"must be one of {', '.join(_RESTART)}.")
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= 1000:
        raise InvalidInput.field(f"{name}.maximum_retry_count", "must be a whole number from 0 to 1000.")
    return {"Name": given["policy"], "MaximumRetryCount": count if given["policy"] == "on-failure" else 0}


def check_capabilities(name: str, value: Any) -> dict[str, list[str]]:
    if not isinstance(value, Mapping) or set(value) - {"add", "drop"}:
        raise InvalidInput.field(name, "may have “add” and “drop”, lists of capability names.")
    found = {key: [word.upper() for word in check_words(f"{name}.{key}", value[key] or [])] for key in value}
    for key, words in found.items():
        if not all(_CAPABILITY.fullmatch(word) for word in words):
            raise InvalidInput.field(f"{name}.{key}", "must hold capability names such as “NET_ADMIN”.")
    return found


def check_tmpfs(name: str, value: Any) -> list[str]:
    """Paths, each perhaps with options: “/run”, “/run:size=64m,mode=1777”."""
    items = check_words(name, value)
    for item in items:
        path, _, options = item.partition(":")
        if not path.startswith("/"):
            raise InvalidInput.field(name, "must be a list of absolute paths inside the container.")
        for option in options.split(",") if options else []:
            if option not in _TMPFS_FLAGS and not _TMPFS_VALUE.fullmatch(option):
                raise InvalidInput.field(name, f"“{option[:40]}” is no option of a tmpfs such as “size=64m”.")
    return items


def check_devices(name: str, value: Any) -> list[dict[str, str]]:
    devices = []
    for item in value if isinstance(value, list) else [value]:
        text = item
        if isinstance(item, Mapping) and set(item) == {"PathOnHost", "PathInContainer", "CgroupPermissions"}:
            text = f"{item['PathOnHost']}:{item['PathInContainer']}:{item['CgroupPermissions']}"
        found = _DEVICE.fullmatch(text) if isinstance(text, str) else None
        if not found:
            raise InvalidInput.field(name, "must be a list of texts such as “/dev/fuse”.")
        devices.append(
            {
                "PathOnHost": found[1],
                "PathInContainer": found[2] or found[1],
                "CgroupPermissions": found[3] or "rwm",
            }
        )
    return devices


def check_gpu_count(name: str, value: Any) -> str | int:
    if value == "all":
        return "all"
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 64:
        return value
    raise InvalidInput.field(name, "must be “all” or a number of GPUs.")


def check_one_of(words: tuple[str, ...]) -> Check:
    def check(name: str, value: Any) -> str:
        if value not in words:
            raise InvalidInput.field(name, f"must be one of {', '.join(words)}.")
        return str(value)

    return check


def check_health(name: str, value: Any) -> dict[str, Any]:
    known = {"test", "interval", "timeout", "start_period", "retries"}
    if not isinstance(value, Mapping) or set(value) - known or not value.get("test"):
        raise InvalidInput.field(
            name, f"must have “test” and may have {', '.join(sorted(known - {'test'}))}."
        )
    test = value["test"]
    checked: dict[str, Any] = {
        "test": ["CMD-SHELL", check_text(f"{name}.test", test)]
        if isinstance(test, str)
        else check_words(name, test)
    }
    if checked["test"][0] not in _HEALTH_WORDS:
        # The engine takes it, and then never runs it.
        raise InvalidInput.field(f"{name}.test", f"a list begins with one of {', '.join(_HEALTH_WORDS)}.")
    for key in known - {"test"}:
        if key in value:
            number = value[key]
            if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 <= number <= 86400:
                raise InvalidInput.field(f"{name}.{key}", "must be a number (seconds; retries: a count).")
            checked[key] = int(number) if key == "retries" else number
    return checked


def check_number(low: int, high: int, what: str = "") -> Check:
    def check(name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise InvalidInput.field(name, f"must be a whole number from {low} to {high}{what}.")
        return value

    return check


def check_like(pattern: re.Pattern[str], example: str) -> Check:
    """Text of a form; empty leaves it to the engine."""

    def check(name: str, value: Any) -> str:
        if not isinstance(value, str) or (value and not pattern.fullmatch(value)):
            raise InvalidInput.field(name, f"must be such as “{example}”.")
        return value

    return check


def check_list(pattern: re.Pattern[str], example: str) -> Check:
    def check(name: str, value: Any) -> list[str]:
        items = check_words(name, value)
        if not all(pattern.fullmatch(item) for item in items):
            raise InvalidInput.field(name, f"must be a list of texts such as “{example}”.")
        return items

    return check


check_mode = check_like(_MODE, "container:db")
check_hostname = check_like(_HOST_NAME, "web-1")
check_signal = check_like(_SIGNAL, "SIGTERM")
check_cpus = check_like(_CPUS, "0-3")
check_device_rules = check_list(_DEVICE_RULE, "c 10:200 rwm")
check_runtime = check_like(_NETWORK, "runc")


def check_swap(name: str, value: Any) -> int:
    if value == -1 and not isinstance(value, bool):
        return -1
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _BYTES_MAX:
        raise InvalidInput.field(name, f"must be bytes from 0 to {_BYTES_MAX}, or -1 for no limit.")
    return value


def check_pids(name: str, value: Any) -> int:
    return int(check_number(-1, 2**22)(name, value))


def check_addresses(name: str, value: Any) -> list[str]:
    items = check_words(name, value)
    for item in items:
        _address(name, item, (4, 6))
    return items


def check_extra_hosts(name: str, value: Any) -> list[str]:
    items = check_words(name, value)
    for item in items:
        host, _, address = item.partition(":")
        if not _HOST_NAME.fullmatch(host):
            raise InvalidInput.field(name, "must be a list of texts such as “db:192.0.2.7”.")
        if address != "host-gateway":
            _address(name, address, (4, 6))
    return items


def check_sysctls(name: str, value: Any) -> dict[str, str]:
    found = {str(key): str(item) for key, item in check_mapping(name, value).items()}
    for key, item in found.items():
        if not _SYSCTL.fullmatch(key) or len(item) > 256 or not item.isprintable():
            raise InvalidInput.field(name, "must be an object such as {“net.core.somaxconn”: “1024”}.")
    return found


def check_ulimits(name: str, value: Any) -> dict[str, dict[str, int]]:
    """``{"nofile": 1024}`` or ``{"nofile": {"soft": 512, "hard": 1024}}``; -1 is no limit."""
    found = {}
    number = check_number(-1, 2**40)
    for key, item in check_mapping(name, value).items():
        pair = item if isinstance(item, Mapping) else {"soft": item, "hard": item}
        if not _LIMIT_NAME.fullmatch(str(key)) or set(pair) != {"soft", "hard"}:
            raise InvalidInput.field(name, "must be an object such as {“nofile”: 1024}.")
        found[str(key)] = {side: number(f"{name}.{key}", pair[side]) for side in ("soft", "hard")}
    return found


def check_mapping(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or len(value) > _LIST_MAX:
        raise InvalidInput.field(name, "must be an object.")
    return value


def check_networks(name: str, value: Any) -> list[dict[str, Any]]:
    """Names, or objects with fixed addresses and further names; the first is the main one."""
    if not isinstance(value, (list, tuple)) or len(value) > _NETWORKS_MAX:
        raise InvalidInput.field(name, f"must be a list of at most {_NETWORKS_MAX} networks.")
    found = [_endpoint(name, item) for item in value]
    if len({item["network"] for item in found}) != len(found):
        raise InvalidInput.field(name, "names a network twice.")
    if any("mac_address" in item for item in found[1:]):
        raise InvalidInput.field(f"{name}.mac_address", "can be set on the first network only.")
    return found


def _endpoint(name: str, value: Any) -> dict[str, Any]:
    given = {"network": value} if isinstance(value, str) else value
    known = {"network", "ip_address", "ipv6_address", "mac_address", "aliases"}
    if not isinstance(given, Mapping) or set(given) - known:
        raise InvalidInput.field(name, f"entries are names, or objects of {', '.join(sorted(known))}.")
    network = given.get("network")
    if not isinstance(network, str) or not _NETWORK.fullmatch(network):
        raise InvalidInput.field(f"{name}.network", "must be a network's name.")
    found: dict[str, Any] = {"network": network}
    for key, version in (("ip_address", 4), ("ipv6_address", 6)):
        if given.get(key):
            found[key] = _address(f"{name}.{key}", given[key], (version,))
    if given.get("mac_address"):
        mac = str(given["mac_address"]).lower().replace("-", ":")
        if not _MAC.fullmatch(mac) or int(mac[:2], 16) & 1:
            raise InvalidInput.field(f"{name}.mac_address", "must be such as “02:42:ac:11:00:02”.")
        found["mac_address"] = mac
    if given.get("aliases"):
        found["aliases"] = check_list(_HOST_NAME, "db")(f"{name}.aliases", given["aliases"])
    return found


def _address(name: str, value: Any, versions: tuple[int, ...]) -> str:
    try:
        found = ipaddress.ip_address(str(value))
    except ValueError:
        found = None
    if found is None or found.version not in versions:
        kind = tell("an IP address") if len(versions) > 1 else tell(f"an IPv{versions[0]} address")
        raise InvalidInput.field(name, f"must be {kind}.")
    return str(found)

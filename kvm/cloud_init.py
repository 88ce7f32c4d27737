"""What a guest is told at its first start: checked, and composed into the texts of a NoCloud seed.

Given either as single fields or as raw texts. Source of the formats:
https://cloudinit.readthedocs.io/en/latest/explanation/format.html (user-data),
.../reference/datasources/nocloud.html (meta-data) and .../reference/network-config.html.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from compute.backends.checks import Check
from compute.errors import InvalidInput
from kvm.seed_yaml import TEXT_MAX, line_of, yaml_read

USER_DATA, META_DATA, NETWORK_CONFIG = "user-data", "meta-data", "network-config"
CLOUD_CONFIG = "#cloud-config"
# Our fields, and what they are called in user-data.
STRUCTURED = {
    "users": "users",
    "ssh_keys": "ssh_authorized_keys",
    "packages": "packages",
    "run_commands": "runcmd",
    "write_files": "write_files",
    "hostname": "hostname",
}
_LIST_MAX = 64
_HOSTNAME = re.compile(r"(?!-)[a-zA-Z0-9-]{1,63}(?<!-)")
_USER = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.-]{0,31}\$?")
_SSH_KEY = re.compile(r"(?:\S.* )?(?:ssh|ecdsa|sk-ssh|sk-ecdsa)-[a-z0-9@.-]+ \S+( .*)?")
# What may begin user-data. Anything else is thrown away by cloud-init with a line in its log.
_HEADERS = (
    CLOUD_CONFIG,
    "#cloud-config-archive",
    "#cloud-config-jsonp",
    "#cloud-boothook",
    "#include",
    "#include-once",
    "#part-handler",
    "## template: jinja",
    "#!",
    "content-type: multipart/",
    "mime-version:",
)
_LISTS = ("users", "packages", "runcmd", "bootcmd", "write_files", "ssh_authorized_keys", "mounts")
_FILE_KEYS = {"path", "content", "encoding", "owner", "permissions", "append", "defer", "source"}
_NETPLAN_KINDS = ("ethernets", "bonds", "bridges", "vlans")


def cloud_init_check(name: str, value: Any) -> dict[str, Any]:
    """Raises ``InvalidInput`` keyed ``<name>.<field>`` (without a name, by the field); of texts with the
    line."""
    if not isinstance(value, Mapping):
        raise InvalidInput.field(name, "must be an object.")
    before = f"{name}." if name else ""
    for key in value:
        if key not in _CHECKS:
            raise InvalidInput.field(f"{before}{key}", f"is not one of {', '.join(sorted(_CHECKS))}.")
    checked = {
        key: _CHECKS[key](f"{before}{key}", item) for key, item in value.items() if item not in (None, "", [])
    }
    if "user_data" in checked:
        for key in ("users", "packages", "run_commands", "write_files"):
            if key in checked:
                raise InvalidInput.field(
                    f"{before}{key}", "is given twice: raw user_data says it all. Leave out one of them."
                )
    return checked


def user_data(given: Mapping[str, Any]) -> str:
    """The ``user-data``: as given, or composed from the single fields."""
    if given.get("user_data"):
        return str(given["user_data"])
    document: dict[str, Any] = {}
    for ours, theirs in STRUCTURED.items():
        if given.get(ours):
            document[theirs] = given[ours]
    if given.get("users"):
        document["users"] = ["default", *given["users"]]
    return f"{CLOUD_CONFIG}\n" + (_dump(document) if document else "{}\n")


def meta_data(given: Mapping[str, Any], instance_id: str, name: str) -> str:
    """The ``meta-data``; ``instance_id`` is what tells a guest whether this is its first start. Keys of
    a raw text that are missing are completed: without an instance-id cloud-init ignores the seed."""
    hostname = given.get("hostname") or re.sub(r"[^a-zA-Z0-9-]", "-", name).strip("-")
    wanted: dict[str, Any] = {"instance-id": instance_id, "local-hostname": hostname[:63]}
    if given.get("user_data") and given.get("ssh_keys"):
        # Raw user-data is handed on untouched; keys of the default user may come from here too.
        wanted["public-keys"] = list(given["ssh_keys"])
    text = str(given.get("meta_data") or "")
    known = yaml_read("meta_data", text) or {}
    missing = {key: value for key, value in wanted.items() if key not in known}
    if not text or not missing:
        return text or _dump(wanted)
    if text.lstrip().startswith("{"):
        return _dump({**known, **missing})
    return f"{_dump(missing)}{text}"


def seed_files(given: Mapping[str, Any], instance_id: str, name: str) -> dict[str, str]:
    """By name, what the seed holds."""
    files = {USER_DATA: user_data(given), META_DATA: meta_data(given, instance_id, name)}
    if given.get("network_config"):
        files[NETWORK_CONFIG] = str(given["network_config"])
    return files


def structured(text: str) -> dict[str, Any] | None:
    """The single fields that would compose this user-data; None when there is more in it than they can
    say."""
    if text.partition("\n")[0].strip() != CLOUD_CONFIG:
        return None
    try:
        document = yaml_read("user_data", text) or {}
    except InvalidInput:
        return None
    theirs = {word: key for key, word in STRUCTURED.items()}
    if not isinstance(document, dict) or not document.keys() <= theirs.keys():
        return None
    fields = {theirs[word]: value for word, value in document.items()}
    if "users" in fields:
        users = fields["users"]
        if not isinstance(users, list) or users[:1] != ["default"]:
            return None
        fields["users"] = users[1:]
    return fields


def _dump(document: Mapping[str, Any]) -> str:
    return str(yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True))


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or len(value.encode("utf-8", "replace")) > TEXT_MAX:
        raise InvalidInput.field(name, f"must be text of at most {TEXT_MAX} bytes.")
    for number, line in enumerate(value.split("\n"), start=1):
        if "\x00" in line or any("\ud800" <= letter <= "\udfff" for letter in line):
            raise InvalidInput.field(name, f"line {number}: holds a character that no guest can read.")
    return value.replace("\r\n", "\n")


def _user_data(name: str, value: Any) -> str:
    text = _text(name, value)
    first = text.partition("\n")[0].strip().lower()
    if not first.startswith(_HEADERS):
        raise InvalidInput.field(
            name,
            f"line 1: must begin with {CLOUD_CONFIG}, #! or another header of cloud-init; "
            "without one a guest ignores all of it.",
        )
    if first != CLOUD_CONFIG:
        return text
    document = yaml_read(name, text)
    if document is None:
        return text
    if not isinstance(document, dict):
        raise InvalidInput.field(name, "line 2: must be a mapping: “key: value”.")
    for key in _LISTS:
        if document.get(key) is not None and not isinstance(document[key], list):
            if key == "users" and isinstance(document[key], (str, dict)):
                continue
            raise InvalidInput.field(name, f"line {line_of(text, key)}: “{key}” must be a list.")
    return text


def _meta_data(name: str, value: Any) -> str:
    text = _text(name, value)
    document = yaml_read(name, text)
    if document is not None and not isinstance(document, dict):
        raise InvalidInput.field(name, "line 1: must be a mapping: “key: value”.")
    for key in ("instance-id", "local-hostname"):
        if document and key in document and not isinstance(document[key], (str, int)):
            raise InvalidInput.field(name, f"line {line_of(text, key)}: “{key}” must be a text.")
    return text


def _network_config(name: str, value: Any) -> str:
    """Version 1 (a list of devices) or 2 (as netplan has it)."""
    text = _text(name, value)
    document = yaml_read(name, text)
    inner = document.get("network", document) if isinstance(document, dict) else None
    if not isinstance(inner, dict):
        raise InvalidInput.field(name, "line 1: must be a mapping with “version”.")
    if inner.get("config") == "disabled":
        return text
    if inner.get("version") == 1:
        _network_v1(name, text, inner)
    elif inner.get("version") == 2:
        _network_v2(name, text, inner)
    else:
        raise InvalidInput.field(name, f"line {line_of(text, 'version')}: “version” must be 1 or 2.")
    return text


def _network_v1(name: str, text: str, document: Mapping[str, Any]) -> None:
    devices, line = document.get("config"), line_of(text, "config")
    if not isinstance(devices, list):
        raise InvalidInput.field(name, f"line {line}: version 1 needs “config”, a list of devices.")
    if any(not isinstance(item, dict) or not isinstance(item.get("type"), str) for item in devices):
        raise InvalidInput.field(name, f"line {line}: each entry of “config” needs a “type”.")


def _network_v2(name: str, text: str, document: Mapping[str, Any]) -> None:
    for kind in _NETPLAN_KINDS:
        devices = document.get(kind)
        if devices is None:
            continue
        if not isinstance(devices, dict) or any(not isinstance(item, dict) for item in devices.values()):
            raise InvalidInput.field(name, f"line {line_of(text, kind)}: “{kind}” must name its devices.")
    if "config" in document:
        raise InvalidInput.field(name, f"line {line_of(text, 'config')}: “config” belongs to version 1.")


def _hostname(name: str, value: Any) -> str:
    if not isinstance(value, str) or not _HOSTNAME.fullmatch(value):
        raise InvalidInput.field(name, "must be a host name.")
    return value


def _list(item: Check) -> Check:
    def check(name: str, value: Any) -> list[Any]:
        if not isinstance(value, (list, tuple)) or len(value) > _LIST_MAX:
            raise InvalidInput.field(name, f"must be a list of at most {_LIST_MAX}.")
        return [item(name, one) for one in value]

    return check


def _user(name: str, value: Any) -> Any:
    if isinstance(value, str) and _USER.fullmatch(value):
        return value
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        raise InvalidInput.field(name, "must be names, or objects with a “name”.")
    if not _USER.fullmatch(value["name"]):
        raise InvalidInput.field(name, "has a name that no Linux system takes.")
    return _plain(name, dict(value))


def _ssh_key(name: str, value: Any) -> str:
    text = value.strip() if isinstance(value, str) else ""
    if len(text) > 16 * 1024 or not _SSH_KEY.fullmatch(text):
        raise InvalidInput.field(name, "must be public keys, one line each, such as “ssh-ed25519 AAAA… me”.")
    return text


def _package(name: str, value: Any) -> Any:
    words = value if isinstance(value, (list, tuple)) else [value]
    if not 0 < len(words) <= 2 or not all(isinstance(word, str) and 0 < len(word) <= 200 for word in words):
        raise InvalidInput.field(name, "must be names of packages, or pairs of name and version.")
    return _plain(name, value)


def _command(name: str, value: Any) -> Any:
    words = value if isinstance(value, (list, tuple)) else [value]
    if not words or not all(isinstance(word, (str, int)) for word in words):
        raise InvalidInput.field(name, "must be lines for the shell, or lists of words.")
    return _plain(name, value)


def _file(name: str, value: Any) -> Any:
    if not isinstance(value, Mapping) or not set(value) <= _FILE_KEYS:
        raise InvalidInput.field(name, f"must be objects with {', '.join(sorted(_FILE_KEYS))}.")
    path = value.get("path")
    if not isinstance(path, str) or not path.startswith("/"):
        raise InvalidInput.field(name, "each needs a “path” from / on.")
    return _plain(name, dict(value))


def _plain(name: str, value: Any, depth: int = 0) -> Any:
    """JSON of bounded size and depth, without what YAML cannot carry."""
    if depth > 8:
        raise InvalidInput.field(name, "is nested too deeply.")
    if isinstance(value, Mapping):
        return {_text(name, key): _plain(name, item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(name, item, depth + 1) for item in value]
    if isinstance(value, str):
        return _text(name, value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    raise InvalidInput.field(name, "holds a value of a kind that is not known.")


_CHECKS: dict[str, Check] = {
    "user_data": _user_data,
    "meta_data": _meta_data,
    "network_config": _network_config,
    "hostname": _hostname,
    "users": _list(_user),
    "ssh_keys": _list(_ssh_key),
    "packages": _list(_package),
    "run_commands": _list(_command),
    "write_files": _list(_file),
}
FIELDS = tuple(_CHECKS)

"""libgo.yaml and the environment, turned into one checked mapping: ``settings.LIBGO``.

The file keeps the names of LibGo's first configuration (camelCase, durations as ``30s``); every key
can be overridden by ``LIBGO_<SECTION>_<KEY>``. What is wrong is refused at the start, with the
place, the reason and the accepted values.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


class ConfigError(ValueError):
    """A key or value that cannot be used; the text says where, why and what is accepted."""


def _boolean(value: Any) -> bool:
    words = {"true": True, "yes": True, "on": True, "1": True}
    words |= {"false": False, "no": False, "off": False, "0": False}
    known = words.get(str(value).strip().lower())
    if known is None:
        raise ValueError("true or false")
    return known


def _text(value: Any) -> str:
    if isinstance(value, (Mapping, list)) or value is None:
        raise ValueError("text")
    return str(value)


def _path(value: Any) -> str:
    return str(Path(_text(value)).expanduser()) if value else ""


_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)?")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}


def _duration(value: Any) -> float:
    found = _DURATION.fullmatch(str(value).strip())
    seconds = float(found[1]) * _UNIT_S[found[2]] if found else 0.0
    if not 0 < seconds <= 3600:
        raise ValueError("a duration up to 1h, such as 500ms, 30s or 2m")
    return seconds


_LIFETIME_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _lifetime(value: Any) -> float:
    """Of what one is let in by; longer than the deadlines of engines."""
    found = re.fullmatch(r"(\d{1,7})([smhd])", str(value).strip())
    seconds = int(found[1]) * _LIFETIME_UNIT_S[found[2]] if found else 0
    if not 30 <= seconds <= 400 * 86400:
        raise ValueError("a time from 30s to 400d, such as 15m, 12h or 14d")
    return float(seconds)


_GRANT = re.compile(r"(admin|operator|viewer)(?: in (\S{1,63}))?")


def _groups(value: Any) -> list[dict[str, str]]:
    """``group: role`` or ``group: role in project``, as a mapping or its JSON text."""
    accepted = "group names, each with admin, operator, viewer, or a role and a project: operator in web"
    try:
        given = json.loads(value) if isinstance(value, str) and value else value or {}
    except ValueError as error:
        raise ValueError(accepted) from error
    if not isinstance(given, Mapping):
        raise ValueError(accepted)
    found = []
    for group, words in given.items():
        grant = _GRANT.fullmatch(str(words).strip())
        if grant is None:
            raise ValueError(accepted)
        found.append({"group": str(group), "role": grant[1], "project": grant[2] or ""})
    return found


def _count(value: Any) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"\d{1,9}", str(value).strip()):
        raise ValueError("a whole number from 0 (0 is no limit)")
    return int(value)


def _amount(value: Any) -> float:
    if isinstance(value, bool) or not re.fullmatch(r"\d{1,9}(\.\d+)?", str(value).strip()):
        raise ValueError("a number from 0 (0 is no limit)")
    return float(value)


def _words(value: Any) -> list[str]:
    """A list, or its words with commas between them."""
    given = value if isinstance(value, list) else str(value).split(",")
    words = [str(word).strip() for word in given if not isinstance(word, (Mapping, list))]
    if isinstance(value, Mapping) or len(words) != len(given) or any(" " in word for word in words):
        raise ValueError("a list of names, or names with commas between them")
    return [word for word in words if word]


def _one_of(*words: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if str(value) not in words:
            raise ValueError(" | ".join(words))
        return str(value)

    return check


@dataclass(frozen=True)
class _Key:
    """``yaml`` is the name in the file, ``name`` the one in ``settings.LIBGO``."""

    yaml: str
    name: str
    parse: Callable[[Any], Any]
    default: Any
    also: tuple[str, ...] = ()


_MEMBERS = "(|(member={dn})(uniqueMember={dn})(memberUid={username}))"
_SECTIONS: dict[str, list[_Key]] = {
    "docker": [
        _Key("enabled", "enabled", _boolean, True),
        _Key("host", "host", _text, "unix:///var/run/docker.sock", ("DOCKER_HOST",)),
        _Key("apiVersion", "api_version", _text, "", ("DOCKER_API_VERSION",)),
        _Key("tlsVerify", "tls_verify", _boolean, False, ("DOCKER_TLS_VERIFY",)),
        _Key("tlsCertPath", "tls_cert_path", _path, ""),
        _Key("tlsKeyPath", "tls_key_path", _path, ""),
        _Key("tlsCaPath", "tls_ca_path", _path, ""),
        _Key("requestTimeout", "request_timeout_s", _duration, 30.0),
        _Key("connectionTimeout", "connection_timeout_s", _duration, 2.0),
        _Key("stallTimeout", "stall_timeout_s", _duration, 300.0),
        _Key("buildTimeout", "build_timeout_s", _duration, 3600.0),
        _Key("layerSizesEvery", "layer_sizes_every_s", _duration, 120.0),
        _Key("lowestPort", "lowest_port", _count, 1),
        _Key("maxRetries", "max_retries", _count, 2),
        _Key("retryDelay", "retry_delay_s", _duration, 0.2),
        _Key("allowedRegistries", "allowed_registries", _words, ["*"]),
    ],
    "libvirt": [
        _Key("enabled", "enabled", _boolean, True),
        _Key("uri", "uri", _text, "qemu:///system"),
        _Key("virtType", "virt_type", _one_of("auto", "kvm", "qemu"), "auto", ("LIBGO_VIRT_TYPE",)),
        _Key("connectionTimeout", "connection_timeout_s", _duration, 2.0),
        _Key("poolName", "pool_name", _text, "default"),
        _Key("networkName", "network_name", _text, "default"),
        _Key("exportDays", "export_days", _count, 7),
        _Key("exportMaxGB", "export_max_gb", _count, 100),
        _Key("imageSources", "image_sources", _words, []),
    ],
    "compute": [
        _Key("defaultBackend", "default_backend", _text, "kvm", ("LIBGO_DEFAULT_BACKEND",)),
        _Key("allowMixedDeployments", "allow_mixed_deployments", _boolean, True),
        _Key("sessionIdleTimeout", "session_idle_s", _duration, 1800.0),
        _Key("sessionsPerUser", "sessions_per_user", _count, 20),
        _Key("assumedCPUCores", "assumed_cpu_cores", _amount, 1.0),
        _Key("assumedMemoryMB", "assumed_memory_mb", _count, 512),
        _Key("cpuOvercommit", "cpu_overcommit", _amount, 0.0),
        _Key("memoryOvercommit", "memory_overcommit", _amount, 0.0),
    ],
    "backups": [
        _Key("localRoots", "local_roots", _words, []),
    ],
    "access": [
        _Key("loginTries", "login_tries", _count, 10),
        _Key("loginWindow", "login_window_s", _duration, 300.0),
        _Key("sessionLifetime", "session_lifetime_s", _lifetime, 12 * 3600.0),
        _Key("accessTokenLifetime", "access_token_lifetime_s", _lifetime, 900.0),
        _Key("refreshTokenLifetime", "refresh_token_lifetime_s", _lifetime, 14 * 86400.0),
        _Key("tokenMaxDays", "token_max_days", _count, 366),
        _Key("secondFactor", "second_factor", _one_of("optional", "admins"), "optional"),
        _Key("passwordLogin", "password_login", _one_of("everyone", "admins"), "everyone"),
    ],
    "audit": [
        _Key("keepDays", "keep_days", _count, 365),
        _Key("eventDays", "event_days", _count, 30),
    ],
    "metrics": [
        _Key("token", "token", _text, ""),
        _Key("maxInstances", "max_instances", _count, 2000),
    ],
    "mail": [
        _Key("host", "host", _text, ""),
        _Key("port", "port", _count, 587),
        _Key("security", "security", _one_of("starttls", "tls", "none"), "starttls"),
        _Key("username", "username", _text, ""),
        _Key("password", "password", _text, ""),
        _Key("sender", "sender", _text, "libgo@localhost"),
        _Key("caPath", "ca_path", _path, ""),
    ],
    "oidc": [
        _Key("issuer", "issuer", _text, ""),
        _Key("clientId", "client_id", _text, ""),
        _Key("clientSecret", "client_secret", _text, ""),
        _Key("name", "name", _text, "single sign-on"),
        _Key("scopes", "scopes", _words, ["openid", "profile", "email"]),
        _Key("usernameClaim", "username_claim", _text, "preferred_username"),
        _Key("groupsClaim", "groups_claim", _text, "groups"),
        _Key("allowAll", "allow_all", _boolean, True),
        _Key("groups", "groups", _groups, []),
        _Key("caPath", "ca_path", _path, ""),
        _Key("sessionMax", "session_max_s", _lifetime, 8 * 3600.0),
        _Key("tokensRestAfter", "tokens_rest_after_s", _lifetime, 30 * 86400.0),
    ],
    "ldap": [
        _Key("uri", "uri", _text, ""),
        _Key("startTls", "start_tls", _boolean, True),
        _Key("caPath", "ca_path", _path, ""),
        _Key("bindDn", "bind_dn", _text, ""),
        _Key("bindPassword", "bind_password", _text, ""),
        _Key("baseDn", "base_dn", _text, ""),
        _Key("userFilter", "user_filter", _text, "(uid={username})"),
        _Key("usernameAttribute", "username_attribute", _text, "uid"),
        _Key("idAttribute", "id_attribute", _text, "entryUUID"),
        _Key("groupBaseDn", "group_base_dn", _text, ""),
        _Key("groupFilter", "group_filter", _text, _MEMBERS),
        _Key("groupAttribute", "group_attribute", _text, "cn"),
        _Key("allowAll", "allow_all", _boolean, True),
        _Key("groups", "groups", _groups, []),
        _Key("timeout", "timeout_s", _duration, 5.0),
    ],
}
_LIMITS = [
    _Key("maxInstances", "max_instances", _count, 0),
    _Key("maxCPUCores", "max_cpu_cores", _amount, 0.0),
    _Key("maxMemoryGB", "max_memory_gb", _amount, 0.0),
    _Key("maxStorageGB", "max_storage_gb", _amount, 0.0),
]


def config_load(path: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    """Read the file (which may be absent) and the environment. Raises :class:`ConfigError`."""
    given, lines = _file(path)
    for section in given:
        if section not in _SECTIONS:
            raise ConfigError(_wrong(path, lines, section, "is not a section", ", ".join(sorted(_SECTIONS))))
    config: dict[str, Any] = {}
    for section, keys in _SECTIONS.items():
        values = _mapping(path, lines, section, given.get(section))
        nested = _mapping(path, lines, "compute.resourceLimits", values.pop("resourceLimits", None))
        extra = ["resourceLimits"] if section == "compute" else []
        _known(path, lines, section, values, [key.yaml for key in keys] + extra)
        config[section] = {key.name: _value(path, lines, section, key, values, environ) for key in keys}
        if section == "compute":
            limits = "compute.resourceLimits"
            _known(path, lines, limits, nested, [key.yaml for key in _LIMITS])
            config[section]["resource_limits"] = {
                key.name: _value(path, lines, limits, key, nested, environ) for key in _LIMITS
            }
    _together(path, config)
    if not config["libvirt"]["enabled"] and "defaultBackend" not in (given.get("compute") or {}):
        if "LIBGO_COMPUTE_DEFAULT_BACKEND" not in environ:
            config["compute"]["default_backend"] = "docker"
    return config


def _together(path: Path, config: Mapping[str, Any]) -> None:
    """What makes sense only together, of the outside directories."""
    oidc, ldap = config["oidc"], config["ldap"]
    if oidc["issuer"]:
        if not oidc["client_id"]:
            raise ConfigError(f"{path}: oidc.clientId: is needed with an issuer; accepted: text.")
        if not re.match(r"https://|http://(localhost|127\.0\.0\.1)[:/]", oidc["issuer"]):
            raise ConfigError(f"{path}: oidc.issuer: cannot be trusted; accepted: an https:// address.")
        if "openid" not in oidc["scopes"]:
            raise ConfigError(f"{path}: oidc.scopes: lack openid; accepted: openid and others.")
    if ldap["uri"]:
        if not re.match(r"ldaps?://[^/]+$", ldap["uri"]):
            raise ConfigError(f"{path}: ldap.uri: cannot be used; accepted: ldaps://host or ldap://host.")
        if not ldap["base_dn"]:
            raise ConfigError(f"{path}: ldap.baseDn: is needed with a uri; accepted: text.")
        for key, word in (("user_filter", "{username}"), ("group_filter", "{")):
            if word not in ldap[key]:
                raise ConfigError(f"{path}: ldap.{key}: names nobody; accepted: a filter with {word}.")


def _value(
    path: Path,
    lines: dict[str, int],
    section: str,
    key: _Key,
    given: Mapping[str, Any],
    env: Mapping[str, str],
) -> Any:
    for variable in _variables(section, key):
        if env.get(variable):
            return _parsed(f"{variable}:", key, env[variable])
    if given.get(key.yaml) is None:
        return key.default
    place = f"{_place(path, lines, f'{section}.{key.yaml}')} {section}.{key.yaml}:"
    return _parsed(place, key, given[key.yaml])


def _variables(section: str, key: _Key) -> list[str]:
    word = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", key.yaml).upper()
    parts = section.replace("resourceLimits", "RESOURCE_LIMITS").replace(".", "_").upper()
    short = [f"LIBGO_COMPUTE_{word}"] if "." in section else []
    return [f"LIBGO_{parts}_{word}", *short, *key.also]


def _parsed(place: str, key: _Key, value: Any) -> Any:
    try:
        return key.parse(value)
    except ValueError as error:
        raise ConfigError(f"{place} “{value}” cannot be used; accepted: {error}.") from error


def _file(path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """The parsed file and the line of every key, ``section.key`` dotted."""
    if not path.exists():
        return {}, {}
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        given = yaml.safe_load(text) or {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"{path}:{mark.line + 1}" if mark else str(path)
        reason = getattr(error, "problem", None) or "is not YAML"
        raise ConfigError(f"{line}: {reason}; accepted: YAML as in libgo.yaml.example.") from error
    if not isinstance(given, dict):
        raise ConfigError(f"{path}: must hold sections; accepted: {', '.join(sorted(_SECTIONS))}.")
    lines: dict[str, int] = {}
    _lines(node, "", lines)
    return given, lines


def _lines(node: yaml.Node | None, prefix: str, lines: dict[str, int]) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = f"{prefix}{key.value}"
            lines[name] = key.start_mark.line + 1
            _lines(value, f"{name}.", lines)


def _mapping(path: Path, lines: dict[str, int], name: str, value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(_wrong(path, lines, name, "must hold keys", "key: value lines below it"))
    return dict(value)


def _known(
    path: Path, lines: dict[str, int], section: str, given: Mapping[str, Any], known: list[str]
) -> None:
    for key in given:
        if key not in known:
            raise ConfigError(_wrong(path, lines, f"{section}.{key}", "is not a key", ", ".join(known)))


def _wrong(path: Path, lines: dict[str, int], name: str, why: str, accepted: str) -> str:
    return f"{_place(path, lines, name)} {name}: {why}; accepted: {accepted}."


def _place(path: Path, lines: dict[str, int], name: str) -> str:
    return f"{path}:{lines[name]}:" if name in lines else f"{path}:"


def config_path(environ: Mapping[str, str] = os.environ) -> Path:
    """``LIBGO_CONFIG``, else libgo.yaml beside manage.py."""
    return Path(environ.get("LIBGO_CONFIG") or Path(__file__).resolve().parent.parent / "libgo.yaml")

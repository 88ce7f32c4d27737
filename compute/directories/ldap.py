"""LDAP: find the person with LibGo's own account, prove the password by binding as the person, read the
groups. Never without TLS, unless the server is on this machine and the configuration says so."""

from __future__ import annotations

import math
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from ldap3 import NONE, SUBTREE, Connection, Server, Tls
from ldap3.core.exceptions import LDAPException
from ldap3.utils.conv import escape_filter_chars

from compute.directories.person import Person
from compute.errors import BackendUnavailable

log = structlog.get_logger(__name__)
PROVIDER = "ldap"
_GROUPS_MAX = 500
_DAY_S = 86400
# By which servers say that an account is switched off: Active Directory, 389, eDirectory, OpenLDAP, POSIX.
_STATE = ("userAccountControl", "nsAccountLock", "loginDisabled", "pwdAccountLockedTime", "shadowExpire")
_AD_DISABLED = 2
# Other times are those of wrong tries, which pass.
_LOCKED_FOR_GOOD = "000001010000Z"
# Ids of Active Directory, which are bytes and no text.
_BINARY = ("objectguid", "objectsid")


@dataclass(frozen=True)
class _Entry:
    dn: str
    values: Mapping[str, list[str]]

    def first(self, name: str) -> str:
        return next(iter(self.values.get(name.lower(), [])), "")


def ldap_person(config: Mapping[str, Any], username: str, password: str) -> Person | None:
    """Who it is; None when nobody has this name and password, or the account is switched off. Raises
    ``BackendUnavailable`` when the server cannot be asked."""
    # A bind with a name and no password succeeds as nobody (RFC 4513, 5.1.2).
    if not username or not password:
        return None
    with _service(config) as service:
        entry = _find(service, config, username)
        if entry is None or _is_disabled(entry) or not _proves(config, entry.dn, password):
            return None
        name, subject = entry.first(config["username_attribute"]), entry.first(config["id_attribute"])
        if not name or not subject:
            raise _unavailable("people show LibGo no ldap.usernameAttribute or no ldap.idAttribute")
        return Person(PROVIDER, subject, name, entry.first("mail"), _groups(service, config, entry, name))


def ldap_again(config: Mapping[str, Any], subjects: list[str]) -> dict[str, Person | None]:
    """The same people as they are now; None for who is gone or switched off. Raises
    ``BackendUnavailable`` also when the answer may not be whole."""
    found: dict[str, Person | None] = {}
    with _service(config) as service:
        for subject in subjects:
            entry = _by_subject(service, config, subject)
            if service.result["result"] != 0:
                raise _unavailable(f"a search ended with {service.result['description']}")
            if entry is None or _is_disabled(entry):
                found[subject] = None
                continue
            name = entry.first(config["username_attribute"])
            groups = _groups(service, config, entry, name)
            found[subject] = Person(PROVIDER, subject, name, entry.first("mail"), groups)
    return found


def ldap_look(config: Mapping[str, Any]) -> str:
    """For doctor: whether the server can be asked at all; what is wrong, or an empty text."""
    try:
        with _service(config) as service:
            service.search(config["base_dn"], "(objectClass=*)", "BASE", size_limit=1)
            found = service.result["result"] == 0
            return "" if found else f"the server does not show ldap.baseDn {config['base_dn']}"
    except BackendUnavailable as error:
        return str(error.details.get("reason", error.message))


@contextmanager
def _service(config: Mapping[str, Any]) -> Iterator[Connection]:
    """Bound as LibGo itself, or as nobody where no account is configured."""
    connection = _open(config, config["bind_dn"], config["bind_password"])
    try:
        if not connection.bind():
            raise _unavailable("the server refuses ldap.bindDn and its password")
        yield connection
    except (LDAPException, OSError) as error:
        raise _unavailable(str(error)) from error
    finally:
        _close(connection)


def _open(config: Mapping[str, Any], dn: str, password: str) -> Connection:
    """Connected and encrypted, not bound yet."""
    # The library takes whole seconds alone.
    timeout_s = max(1, math.ceil(config["timeout_s"]))
    try:
        tls = Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=config["ca_path"] or None)
        server = Server(config["uri"], tls=tls, connect_timeout=timeout_s, get_info=NONE)
        connection = Connection(
            server,
            user=dn or None,
            password=password or None,
            receive_timeout=timeout_s,
            auto_referrals=False,
            read_only=True,
        )
        connection.open()
        if config["start_tls"] and not server.ssl and not connection.start_tls():
            raise _unavailable("the server offers no StartTLS")
    except (LDAPException, OSError, ValueError) as error:
        raise _unavailable(str(error)) from error
    return connection


def _close(connection: Connection) -> None:
    try:
        connection.unbind()
    except (LDAPException, OSError):
        return


def _unavailable(reason: str) -> BackendUnavailable:
    log.warning("ldap_unavailable", reason=reason)
    return BackendUnavailable(
        "The directory of users cannot be asked now. Try again, or use an account of this site.",
        reason=reason[:300],
    )


def _find(service: Connection, config: Mapping[str, Any], username: str) -> _Entry | None:
    return _one(service, config, config["user_filter"].replace("{username}", escape_filter_chars(username)))


def _by_subject(service: Connection, config: Mapping[str, Any], subject: str) -> _Entry | None:
    attribute = config["id_attribute"]
    text = escape_filter_chars(subject)
    if attribute.lower() in _BINARY:
        text = "".join(f"\\{subject[at : at + 2]}" for at in range(0, len(subject), 2))
    return _one(service, config, f"({attribute}={text})")


def _one(service: Connection, config: Mapping[str, Any], wanted: str) -> _Entry | None:
    names = [config["username_attribute"], config["id_attribute"], "mail", "memberOf", *_STATE]
    found = _search(service, config["base_dn"], wanted, names, 2)
    if len(found) > 1:
        log.warning("ldap_ambiguous", count=len(found))
    return found[0] if len(found) == 1 else None


def _proves(config: Mapping[str, Any], dn: str, password: str) -> bool:
    connection = _open(config, dn, password)
    try:
        return bool(connection.bind())
    except (LDAPException, OSError) as error:
        raise _unavailable(str(error)) from error
    finally:
        _close(connection)


def _groups(service: Connection, config: Mapping[str, Any], entry: _Entry, username: str) -> tuple[str, ...]:
    """By name and by DN: those that list the person, and those that the person's entry lists."""
    wanted = config["group_filter"].replace("{dn}", escape_filter_chars(entry.dn))
    wanted = wanted.replace("{username}", escape_filter_chars(username))
    base = config["group_base_dn"] or config["base_dn"]
    found = set(entry.values.get("memberof", []))
    for group in _search(service, base, wanted, [config["group_attribute"]], _GROUPS_MAX):
        found |= {group.dn, *group.values.get(config["group_attribute"].lower(), [])}
    return tuple(sorted(found))[: 2 * _GROUPS_MAX]


def _search(service: Connection, base: str, wanted: str, names: list[str], most: int) -> list[_Entry]:
    service.search(base, wanted, SUBTREE, attributes=names, size_limit=most)
    rows = [row for row in service.response or [] if row.get("type") == "searchResEntry"]
    return [_Entry(row["dn"], _texts(row["raw_attributes"])) for row in rows]


def _texts(raw: Mapping[str, list[bytes]]) -> dict[str, list[str]]:
    return {name.lower(): [_text(name, value) for value in values] for name, values in raw.items()}


def _text(name: str, value: bytes) -> str:
    return value.hex() if name.lower() in _BINARY else value.decode("utf-8", "replace")


def _is_disabled(entry: _Entry) -> bool:
    control, expires = entry.first("userAccountControl"), entry.first("shadowExpire")
    words = {entry.first("nsAccountLock").lower(), entry.first("loginDisabled").lower()}
    return (
        (control.isdigit() and bool(int(control) & _AD_DISABLED))
        or "true" in words
        or entry.first("pwdAccountLockedTime") == _LOCKED_FOR_GOOD
        or (expires.isdigit() and int(expires) * _DAY_S <= time.time())
    )

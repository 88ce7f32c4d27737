"""An OpenLDAP server of a test's own: its data in a folder, TLS by an authority of the test."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

from ldap3 import MODIFY_REPLACE, Connection, Server

from tests.authority import Authority
from tests.live import until

BASE = "dc=example,dc=org"
PASSWORD = "a directory's password"
_ROOT = f"cn=root,{BASE}"
_SERVICE = f"cn=libgo,ou=services,{BASE}"
_CONFIG = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/slapd.pid
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
TLSCACertificateFile {ca}
database mdb
maxsize 10485760
suffix "{base}"
rootdn "{root}"
rootpw "{password}"
directory {folder}/data
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{service}" read by users auth by anonymous auth
"""
_TREE = """
dn: {base}
objectClass: dcObject
objectClass: organization
o: example
dc: example

dn: ou=people,{base}
objectClass: organizationalUnit
ou: people

dn: ou=groups,{base}
objectClass: organizationalUnit
ou: groups

dn: ou=services,{base}
objectClass: organizationalUnit
ou: services

dn: {service}
objectClass: applicationProcess
objectClass: simpleSecurityObject
cn: libgo
userPassword: {password}
"""


class LdapServer:
    """``person`` and ``group`` add to it; ``config`` is what libgo.yaml would say of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "data").mkdir(parents=True)
        authority = Authority(folder / "authority")
        self.ca = authority.ca
        certificate, key = authority.issue("slapd")
        self.port, self.tls_port = _free_port(), _free_port()
        words = {"base": BASE, "root": _ROOT, "service": _SERVICE, "password": PASSWORD, "folder": folder}
        words |= {"certificate": certificate, "key": key, "ca": self.ca}
        self._file = folder / "slapd.conf"
        self._file.write_text(_CONFIG.format(**words))
        tree = folder / "tree.ldif"
        tree.write_text(_TREE.format(**words).lstrip())
        subprocess.run([_program("slapadd"), "-q", "-f", str(self._file), "-l", str(tree)], check=True)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> LdapServer:
        addresses = f"ldap://127.0.0.1:{self.port} ldaps://127.0.0.1:{self.tls_port}"
        command = [_program("slapd"), "-f", str(self._file), "-h", addresses, "-d", "0"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(self._answers, "slapd answers", 10)
        return self

    def stop(self) -> None:
        if self._process is not None:
            self.signal(signal.SIGCONT)
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def signal(self, number: int) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    def config(self, **changes: Any) -> dict[str, Any]:
        return {
            "uri": f"ldaps://127.0.0.1:{self.tls_port}",
            "start_tls": True,
            "ca_path": self.ca,
            "bind_dn": _SERVICE,
            "bind_password": PASSWORD,
            "base_dn": BASE,
            "allow_all": True,
            "timeout_s": 2.0,
            **changes,
        }

    def person(self, uid: str, **more: Any) -> str:
        """The DN of somebody whose password is ``PASSWORD``."""
        dn = f"uid={uid},ou=people,{BASE}"
        entry = {"cn": uid, "sn": uid, "mail": f"{uid}@example.org", "userPassword": PASSWORD, **more}
        classes = ["inetOrgPerson", *(["shadowAccount"] if "shadowExpire" in more else [])]
        with self._root() as root:
            assert root.add(dn, classes, entry), root.result
        return dn

    def group(self, name: str, *members: str) -> None:
        """Make the group, or let it have these members."""
        dn = f"cn={name},ou=groups,{BASE}"
        entry = {"member": list(members) or [_SERVICE]}
        with self._root() as root:
            if not root.add(dn, ["groupOfNames"], entry):
                assert root.modify(dn, {"member": [(MODIFY_REPLACE, entry["member"])]}), root.result

    def remove(self, dn: str) -> None:
        with self._root() as root:
            assert root.delete(dn), root.result

    def _root(self) -> Connection:
        return Connection(Server("127.0.0.1", self.port), _ROOT, PASSWORD, auto_bind=True)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.tls_port), 1):
                return True
        except OSError:
            return False


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    assert found, f"{name} is missing: apt install slapd"
    return found


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])

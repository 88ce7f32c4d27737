"""A second libvirt host on this machine: a daemon with everything of its own but the kernel's network."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import uuid
from pathlib import Path

import libvirt

from tests.authority import Authority
from tests.live import ROOT, until

_SHARED_IMAGES = Path("/var/lib/libvirt/images")
_CACHE = Path("/var/cache/libvirt")

# In mount and UTS name spaces of its own the daemon finds its own files where it always looks.
_SCRIPT = """
set -e
hostname "$NAME"
mount --make-rprivate /
mkdir -p "$F/lib/images"
[ -z "$SHARED" ] || mount --bind "$SHARED" "$F/lib/images"
for pair in etc:/etc/libvirt run:/run/libvirt cache:/var/cache/libvirt log:/var/log/libvirt; do
  mount --bind "$F/${pair%%:*}" "${pair#*:}"
done
mount --rbind "$F/lib" /var/lib/libvirt
exec libvirtd -l -p "$F/pid" -f "$F/etc/libvirtd.conf"
"""


class LibvirtHost:
    """``start`` and ``close``; reached by ``url`` (its socket), ``tcp_url``, and with an ``authority`` by
    ``tls_url``. With ``shared`` its images are the machine's own, as on common storage. Its networks are
    made in the name space of the process ``network_of``."""

    def __init__(
        self,
        folder: Path,
        name: str,
        *,
        shared: bool = True,
        authority: Authority | None = None,
        network_of: int | None = None,
    ) -> None:
        assert len(str(folder)) < 70, f"{folder} is too long a path for a host"
        self.folder, self.name, self.shared = folder, name, shared
        self.process: subprocess.Popen[bytes] | None = None
        self.tcp_port, self.tls_port = _free_port(), _free_port()
        self._authority = authority
        # What is put in front of a command to have it in the name space of the networks.
        self._enter = ["nsenter", f"--net=/proc/{network_of}/ns/net"] if network_of else []
        self._prepare()

    @property
    def socket(self) -> Path:
        return self.folder / "run" / "libvirt-sock"

    @property
    def url(self) -> str:
        return f"qemu+unix:///system?socket={self.socket}"

    @property
    def tcp_url(self) -> str:
        return f"qemu+tcp://127.0.0.1:{self.tcp_port}/system"

    @property
    def tls_url(self) -> str:
        return f"qemu+tls://127.0.0.1:{self.tls_port}/system"

    def start(self) -> LibvirtHost:
        environ = {**os.environ, "F": str(self.folder), "NAME": self.name}
        environ["SHARED"] = str(_SHARED_IMAGES) if self.shared else ""
        (self.folder / "pid").unlink(missing_ok=True)
        with (self.folder / "daemon.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self._enter, "unshare", "--mount", "--uts", "sh", "-c", _SCRIPT],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environ,
                start_new_session=True,
            )
        try:
            until(self._answers, f"the host {self.name} answers", 30)
            self._pool_make()
        except AssertionError as error:
            self.close()
            said = (self.folder / "daemon.log").read_text()[-1500:]
            raise AssertionError(f"{error}: {said}") from error
        return self

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self, *, guests: bool = True) -> None:
        """End the daemon hard, and with ``guests`` what runs on it: the power is cut."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)
        if guests:
            self._guests_end()

    def stop(self) -> None:
        """The daemon alone; its guests run on."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            self.process.wait(20)

    def close(self) -> None:
        self.stop()
        self._guests_end()
        # They outlive the daemon, and would hold the name space of its networks for ever.
        self._children_end("network", b"dnsmasq")
        shutil.rmtree(self.folder, ignore_errors=True)

    def connect(self) -> libvirt.virConnect:
        return libvirt.open(self.url)

    def inside(self) -> list[str]:
        """What is put in front of a command so that this host is the local one for it."""
        assert self.process is not None
        return [*self._enter, "nsenter", f"--mount=/proc/{self.process.pid}/ns/mnt", f"--wd={ROOT}"]

    def image_copy(self, name: str) -> None:
        """An image of the machine's own pool, for a host that does not share it."""
        images = self.folder / "lib" / "images"
        images.mkdir(exist_ok=True)
        shutil.copyfile(_SHARED_IMAGES / name, images / name)

    def domain_names(self) -> list[str]:
        conn = self.connect()
        try:
            return sorted(domain.name() for domain in conn.listAllDomains(0))
        finally:
            conn.close()

    def _answers(self) -> bool:
        assert self.process is not None and self.process.poll() is None, "the daemon ended"
        try:
            self.connect().close()
        except libvirt.libvirtError:
            return False
        return True

    def _guests_end(self) -> None:
        """Emulators know their host by the path of its monitor, which only this mount name space has; so
        they are told by the name space of the one that kept their pid files."""
        self._children_end("qemu", b"qemu-system")

    def _children_end(self, kept_in: str, program: bytes) -> None:
        for file in (self.folder / "run" / kept_in).glob("*.pid"):
            with contextlib.suppress(OSError, ValueError):
                pid = int(file.read_text())
                if program in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)
                    until(lambda pid=pid: _is_over(pid), f"{program.decode()} {pid} ends", 10)
            file.unlink(missing_ok=True)

    def _pool_make(self) -> None:
        conn = self.connect()
        try:
            if "default" not in [pool.name() for pool in conn.listAllStoragePools(0)]:
                xml = "<pool type='dir'><name>default</name><target><path>%s</path></target></pool>"
                conn.storagePoolDefineXML(xml % _SHARED_IMAGES, 0).create(0)
        finally:
            conn.close()

    def _prepare(self) -> None:
        for part in ("etc/qemu", "run", "log/qemu", "lib"):
            (self.folder / part).mkdir(parents=True)
        for folder in (self.folder, *self.folder.iterdir(), self.folder / "log/qemu"):
            folder.chmod(0o755)
        # What the emulators can do was asked once on this machine; asking again takes seconds.
        shutil.copytree(_CACHE, self.folder / "cache")
        first = 49152 + self.tcp_port % 1000 * 16
        (self.folder / "etc" / "qemu.conf").write_text(
            'stdio_handler = "file"\nremember_owner = 0\nsecurity_driver = "none"\n'
            f"migration_port_min = {first}\nmigration_port_max = {first + 15}\n"
        )
        settings = {
            "host_uuid": str(uuid.uuid4()),
            "listen_addr": "127.0.0.1",
            "auth_tcp": "none",
            "auth_unix_rw": "none",
            "unix_sock_rw_perms": "0777",
            "tcp_port": str(self.tcp_port),
            "tls_port": str(self.tls_port),
        }
        lines = [f'{key} = "{value}"' for key, value in settings.items()]
        lines += ["listen_tcp = 1", f"listen_tls = {int(self._authority is not None)}"]
        if self._authority is not None:
            certificate, key = self._authority.issue(f"host-{self.name}")
            lines += [f'ca_file = "{self._authority.ca}"', f'cert_file = "{certificate}"']
            lines += [f'key_file = "{key}"']
        (self.folder / "etc" / "libvirtd.conf").write_text("\n".join(lines) + "\n")


def _is_over(pid: int) -> bool:
    """Gone, or a zombie that nobody has waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

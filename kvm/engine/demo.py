"""The demonstration guest: a kernel, busybox and a boot loader on a 40 MiB disk, made here.

It boots to a shell on its serial line and its screen in seconds, even without hardware acceleration,
takes its host name and a ``#!`` user-data script from a NoCloud seed, asks for an address by DHCP, runs
QEMU's guest agent, and turns off when the power button is pressed.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

import libvirt

from compute.backends.types import Reporter
from compute.errors import BackendError
from kvm.engine import storage
from kvm.engine.connection import Connection
from kvm.engine.demo_agent import FOLDER, agent_copy
from kvm.engine.domain_xml import parse
from kvm.engine.scan import scan

DEMO_IMAGE = "libgo-demo"
_TOOLS = {
    "busybox": "busybox-static",
    "syslinux": "syslinux",
    "mcopy": "mtools",
    "mkfs.vfat": "dosfstools",
    "sfdisk": "fdisk",
    "mke2fs": "e2fsprogs",
    "qemu-img": "qemu-utils",
    "dpkg": "dpkg",
}
_MBR = Path("/usr/lib/syslinux/mbr/mbr.bin")
_SECTOR = 512
_DISK_BYTES = 40 * 1024**2
_RECIPE_BYTES = 45
# A FAT partition for the boot loader and a small ext4 one that outlives a reboot.
_BOOT_START, _BOOT_SECTORS, _DATA_START, _DATA_SECTORS = 2048, 49152, 51200, 28672
# Roughly in the order of their dependencies.
_MODULES = (
    "virtio virtio_ring virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk "
    "failover net_failover virtio_net scsi_common scsi_mod cdrom sr_mod sd_mod virtio_scsi isofs "
    "virtio_balloon button evdev "
    "virtio_console virtio-rng rng-core libata ata_piix crc16 mbcache jbd2 crc32c_generic ext4"
).split()
_FOLDERS = "bin sbin dev proc sys tmp run etc/acpi/PWRF mnt data lib/modules var/run etc opt".split()
# Each word of the last line saves a tenth of a boot without acceleration; nobody attacks from inside here.
_BOOT_CONFIG = """SERIAL 0 115200
DEFAULT libgo
PROMPT 0
TIMEOUT 1
LABEL libgo
  KERNEL /vmlinuz
  APPEND initrd=/initrd.gz console=tty0 console=ttyS0,115200 panic=1 quiet \
nokaslr cryptomgr.notests mitigations=off
"""
_INIT = """#!/bin/sh
export PATH=/bin:/sbin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
exec </dev/console >/dev/console 2>&1
# What a module needs may come after it in the list.
left=
for module in /lib/modules/*.ko; do insmod "$module" 2>/dev/null || left="$left $module"; done
for module in $left; do insmod "$module" 2>/dev/null; done
tries=0
while [ ! -e /dev/vda ] && [ $tries -lt 30 ]; do usleep 100000; tries=$((tries+1)); done
[ -e /dev/vda2 ] && mount -t ext4 /dev/vda2 /data 2>/dev/null
hostname libgo-demo
seed=
tries=0
while [ ! -e /dev/sr0 ] && [ -n "$(ls /sys/class/scsi_host 2>/dev/null)" ] && [ $tries -lt 20 ]; do
  usleep 100000; tries=$((tries+1))
done
for block in /sys/block/sr* /sys/block/vd*; do
  [ -e "$block" ] || continue
  device=/dev/${block##*/}
  # The volume name of an ISO 9660 image stands 40 bytes into its 16th sector.
  label=$(dd if=$device bs=1 skip=32808 count=32 2>/dev/null | tr -d ' \\0' | tr A-Z a-z)
  [ "$label" = cidata ] && mount -t iso9660 -o ro $device /mnt && seed=$device && break
done
field() { tr -d "\\"'" </mnt/meta-data | sed -n "s/^$1: *\\([A-Za-z0-9._-]*\\).*/\\1/p"; }
if [ -n "$seed" ]; then
  name=$(field local-hostname)
  [ -n "$name" ] && hostname "$name"
  if head -n 1 /mnt/user-data 2>/dev/null | grep -q '^#!'; then
    cp /mnt/user-data /tmp/user-data && chmod +x /tmp/user-data && /tmp/user-data
  fi
  echo "LIBGO SEED $seed instance-id=$(field instance-id)"
fi
ip link set lo up
for card in /sys/class/net/e*; do
  [ -e "$card" ] || continue
  ip link set ${card##*/} up
  udhcpc -b -q -t 20 -T 1 -i ${card##*/} -s /etc/udhcpc.sh -x hostname:$(hostname) >/dev/null 2>&1 &
done
acpid -d -c /etc/acpi >/dev/null 2>&1 &
for port in /sys/class/virtio-ports/*; do
  [ "$(cat $port/name 2>/dev/null)" = org.qemu.guest_agent.0 ] && [ -e /data/AGENT/qemu-ga ] || continue
  # From memory, so that neither a frozen nor an unmounted file system is under it.
  (cp -r /data/AGENT /opt/agent && cd /opt/agent &&
    exec ./ld.so --library-path . ./qemu-ga -m virtio-serial -p /dev/${port##*/} -t /run -f /run/ga.pid) \\
    >/dev/null 2>&1 &
done
(while :; do setsid sh -c 'PS1="$(hostname):screen# " exec sh -i </dev/tty1 >/dev/tty1 2>&1'; sleep 1; done) &
echo "LIBGO GUEST UP $(uname -r) host=$(hostname)"
while :; do
  setsid sh -c 'PS1="$(hostname)# " exec cttyhack sh -i </dev/ttyS0 >/dev/ttyS0 2>&1'
  sleep 1
done
"""
_INIT = _INIT.replace("AGENT", FOLDER)
_UDHCPC = """#!/bin/sh
case $1 in
  bound|renew)
    ip addr flush dev $interface
    ip addr add $ip/${mask:-24} dev $interface
    [ -n "$router" ] && ip route add default via $router
    echo "LIBGO IP $interface $ip" >/dev/ttyS0
  ;;
esac
"""
_SHUTDOWN = "#!/bin/sh\nsync\n(sleep 1; poweroff -f) &\nexit 0\n"
_RELEASE = 'NAME="LibGo demo"\nID=libgo-demo\nVERSION_ID=2\nPRETTY_NAME="LibGo demo guest"\n'
_POWER = "#!/bin/sh\nsync\numount /data 2>/dev/null\npoweroff -f\n"


def demo_image_make(
    connection: Connection, report: Reporter, *, name: str = DEMO_IMAGE, renew: bool = False
) -> str:
    """Build and upload the image unless the pool has it; with ``renew`` also one that was made by
    another recipe, if no disk stands on it. Raises ``BackendError`` naming the packages that this
    machine lacks."""
    pool_name = str(connection.node.options.get("pool_name", "default"))
    recipe = demo_recipe(connection, name)
    if recipe is not None:
        if not renew or recipe == _recipe():
            report.log(f"{name} is there already")
            return name
        if _is_used(connection, pool_name, name):
            report.log(f"{name} was made by an older recipe, and stays: machines use it")
            return name
    _tools_check()
    with tempfile.TemporaryDirectory(prefix="libgo-demo-") as folder:
        image = _build(Path(folder), report)
        report.progress(85, f"Uploading {name}")
        # QEMU reads nothing behind the last cluster, so the mark of the recipe has its place there.
        data = image.read_bytes() + _recipe()
        if recipe is not None and _is_used(connection, pool_name, name):
            report.log(f"{name} stays: a machine was made of it in the meantime")
            return name

        def method(conn: libvirt.virConnect) -> None:
            pool = storage.pool_ensure(conn, pool_name)
            storage.volume_delete(pool, name)
            storage.upload(conn, pool, storage.NewVolume(name, "qcow2", _DISK_BYTES), data)

        connection.call(method, 120)
    report.progress(100, f"{name} is ready")
    return name


def demo_is_current(connection: Connection) -> bool:
    """Whether the image is what this recipe makes."""
    return demo_recipe(connection, DEMO_IMAGE) == _recipe()


def demo_recipe(connection: Connection, name: str) -> bytes | None:
    """The mark of the recipe by which the image was made, whatever it says; None without an image."""
    pool_name = str(connection.node.options.get("pool_name", "default"))

    def method(conn: libvirt.virConnect) -> bytes | None:
        volume = storage.volume_or_none(storage.pool_ensure(conn, pool_name), name)
        if volume is None:
            return None
        size = int(parse(volume.XMLDesc(0)).findtext("./physical") or 0)
        stream = conn.newStream(0)
        volume.download(stream, max(0, size - _RECIPE_BYTES), _RECIPE_BYTES, 0)
        found = b""
        while piece := stream.recv(_RECIPE_BYTES):
            found += piece
        stream.finish()
        return found

    return connection.call(method)


def _recipe() -> bytes:
    """What says by which recipe an image was made: everything that this module writes into one."""
    parts = (_INIT, _UDHCPC, _POWER, _SHUTDOWN, _RELEASE, _BOOT_CONFIG, " ".join(_MODULES), str(_DATA_START))
    return b"libgo-recipe:" + hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32].encode()


def _is_used(connection: Connection, pool_name: str, name: str) -> bool:
    """Whether a disk stands on it, or a machine has it itself."""

    def method(conn: libvirt.virConnect) -> bool:
        found = scan(conn)
        volume = found.find(pool_name, name)
        return volume is not None and bool(volume.uses or volume.path in found.standing_on())

    return connection.call(method)


def _tools_check() -> None:
    missing = sorted(package for tool, package in _TOOLS.items() if shutil.which(tool) is None)
    if not _MBR.exists():
        missing.append("syslinux-common")
    if missing:
        raise BackendError(
            f"The demo guest is built with tools that are missing: apt install {' '.join(missing)}"
        )


def _build(folder: Path, report: Reporter) -> Path:
    report.progress(10, "Finding a kernel")
    kernel, modules = _kernel(folder)
    report.progress(30, "Packing the root file system")
    initrd = _initrd(folder, modules)
    if not agent_copy(folder, folder / "data" / FOLDER):
        report.log("There is no package qemu-guest-agent here: the guest is made without an agent")
    report.progress(50, "Making the disk")
    raw = _disk(folder, kernel, initrd)
    image = folder / "demo.qcow2"
    _run(["qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", str(raw), str(image)], folder)
    return image


def _kernel(folder: Path) -> tuple[Path, Path]:
    """A kernel and the folder of its modules: from the package that ``libgo up`` kept, from the
    package archive, or this machine's own."""
    package = _kernel_package(folder)
    if package is not None:
        _run(["dpkg", "-x", str(package), "kernel"], folder)
        kernels = sorted((folder / "kernel" / "boot").glob("vmlinuz-*"))
        modules = folder / "kernel" / "lib" / "modules"
        if not modules.is_dir():
            modules = folder / "kernel" / "usr" / "lib" / "modules"
    else:
        kernels = sorted(Path("/boot").glob(f"vmlinuz-{platform.release()}")) or sorted(
            Path("/boot").glob("vmlinuz-*")
        )
        modules = Path("/lib/modules") / (kernels[-1].name.removeprefix("vmlinuz-") if kernels else "none")
    if not kernels or not modules.is_dir():
        raise BackendError(
            "No kernel for the demo guest: put a linux-image .deb into the cache folder, or make "
            "“apt-get download linux-image-cloud-amd64” work."
        )
    return kernels[-1], modules


def _kernel_package(folder: Path) -> Path | None:
    cache = Path(os.environ.get("LIBGO_VAR") or "var") / "cache"
    kept = sorted(cache.glob("linux-image-*.deb"))
    if kept:
        return kept[-1].resolve()
    if shutil.which("apt-cache") is None:
        return None
    depends = subprocess.run(
        ["apt-cache", "depends", "linux-image-cloud-amd64"], capture_output=True, text=True, check=False
    ).stdout
    names = [line.split()[1] for line in depends.splitlines() if "Depends: linux-image-" in line]
    if not names:
        return None
    subprocess.run(["apt-get", "download", "-q", names[0]], cwd=folder, capture_output=True, check=False)
    return next(iter(sorted(folder.glob("linux-image-*.deb"))), None)


def _initrd(folder: Path, modules: Path) -> Path:
    root = folder / "root"
    for name in _FOLDERS:
        (root / name).mkdir(parents=True, exist_ok=True)
    busybox = Path(str(shutil.which("busybox")))
    shutil.copy(busybox, root / "bin" / "busybox")
    for applet in _output([str(busybox), "--list"]).split():
        if applet != "busybox":
            (root / "bin" / applet).symlink_to("busybox")
    _modules_copy(modules, root / "lib" / "modules", folder)
    for name, text in {
        "init": _INIT,
        "etc/udhcpc.sh": _UDHCPC,
        "etc/acpi/PWRF/00000080": _POWER,
        "etc/os-release": _RELEASE,
        "sbin/shutdown": _SHUTDOWN,
    }.items():
        path = root / name
        path.write_text(text)
        path.chmod(0o755)
    names = "\0".join(sorted(str(path.relative_to(root)) for path in root.rglob("*")))
    archive = subprocess.run(
        [str(busybox), "cpio", "-0", "-o", "-H", "newc"],
        cwd=root,
        input=names.encode(),
        capture_output=True,
        check=True,
    ).stdout
    initrd = folder / "initrd.gz"
    initrd.write_bytes(gzip.compress(archive, 9))
    return initrd


def _modules_copy(modules: Path, target: Path, folder: Path) -> None:
    """Only those the guest needs, numbered in load order, unpacked if the kernel ships them packed."""
    for number, name in enumerate(_MODULES, start=10):
        found = next(iter(sorted(modules.rglob(f"{name}.ko*"))), None)
        if found is None:
            # Built into this kernel.
            continue
        path = target / f"{number}-{name}.ko"
        if found.suffix == ".xz":
            path.write_bytes(_output_bytes(["xz", "-dc", str(found)]))
        elif found.suffix == ".zst":
            path.write_bytes(_output_bytes(["zstd", "-dc", str(found)]))
        else:
            shutil.copy(found, path)


def _disk(folder: Path, kernel: Path, initrd: Path) -> Path:
    raw = folder / "disk.raw"
    with raw.open("wb") as file:
        file.truncate(_DISK_BYTES)
    table = f"{_BOOT_START},{_BOOT_SECTORS},6,*\n{_DATA_START},{_DATA_SECTORS},83\n"
    _run(["sfdisk", "-q", str(raw)], folder, table)
    kib = _BOOT_SECTORS * _SECTOR // 1024
    # Clusters of 4 KiB are read in half the time of smaller ones; with larger ones it would not be FAT16.
    words = ["-F", "16", "-s", "8", "-n", "LIBGOBOOT", "--offset", str(_BOOT_START)]
    _run(["mkfs.vfat", *words, str(raw), str(kib)], folder)
    config = folder / "syslinux.cfg"
    config.write_text(_BOOT_CONFIG)
    drive = f"{raw}@@{_BOOT_START * _SECTOR}"
    _run(["mcopy", "-i", drive, str(kernel), "::/vmlinuz"], folder)
    _run(["mcopy", "-i", drive, str(initrd), str(config), "::/"], folder)
    _run(["syslinux", "--install", "--offset", str(_BOOT_START * _SECTOR), str(raw)], folder)
    with raw.open("r+b") as file:
        # The partition table begins at byte 446 and stays.
        file.write(_MBR.read_bytes()[:440])
    data = folder / "data"
    data.mkdir(exist_ok=True)
    _run(
        [
            *("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal,^metadata_csum", "-L", "LIBGODATA"),
            *("-d", str(data), "-E", f"offset={_DATA_START * _SECTOR}", str(raw), "14M"),
        ],
        folder,
    )
    return raw


def _run(command: list[str], folder: Path, text: str | None = None) -> None:
    """Run one tool of the build. Raises ``BackendError`` with the end of what it said."""
    environ = {**os.environ, "MTOOLS_SKIP_CHECK": "1", "LC_ALL": "C"}
    done = subprocess.run(
        command, cwd=folder, input=text, capture_output=True, text=True, env=environ, check=False
    )
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()[-300:]
        raise BackendError(f"Building the demo guest failed at {command[0]}: {said}")


def _output(command: list[str]) -> str:
    return _output_bytes(command).decode()


def _output_bytes(command: list[str]) -> bytes:
    return subprocess.run(command, capture_output=True, check=True).stdout

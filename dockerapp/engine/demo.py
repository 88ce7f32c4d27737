"""The demonstration image: the machine's own busybox, packed without any registry."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

from compute.backends.types import Reporter
from compute.errors import BackendError
from dockerapp.engine.client import EngineClient
from dockerapp.engine.errors import engine_errors
from dockerapp.engine.pull import image_present

DEMO_IMAGE = "libgo/demo:latest"
# A program that needs a loader names it near its beginning.
_INTERPRETER = re.compile(rb"/lib[0-9a-z]*/ld-[\w.-]+\.so")
_START = """#!/bin/sh
# Says that it is up, counts quietly, and leaves at once when asked to.
trap 'echo "LIBGO CONTAINER DOWN"; exit 0' TERM INT
echo "LIBGO CONTAINER UP $(hostname)"
while :; do sleep 3600 & wait $!; done
"""
_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
}


def demo_image_make(client: EngineClient, report: Reporter) -> str:
    """Import it unless it is there. Raises ``BackendError`` when this machine has no static busybox."""
    if image_present(client, DEMO_IMAGE):
        report.log(f"{DEMO_IMAGE} is there already")
        return DEMO_IMAGE
    busybox = shutil.which("busybox")
    if busybox is None:
        raise BackendError("The demo image is made from busybox. Install the package busybox-static.")
    report.progress(20, f"Packing {DEMO_IMAGE}")
    archive = busybox_archive(Path(busybox))
    repository, _, tag = DEMO_IMAGE.partition(":")
    with engine_errors(client.node.name):
        client.api.import_image_from_data(
            archive, repository=repository, tag=tag, changes=['CMD ["/start"]', "ENV PATH=/bin"]
        )
    report.progress(100, f"{DEMO_IMAGE} is ready")
    return DEMO_IMAGE


def busybox_archive(busybox: Path) -> bytes:
    """A tar of a root file system: one static program, and links to it. The same bytes each time."""
    program = busybox.read_bytes()
    if _INTERPRETER.search(program[:8192]):
        raise BackendError(
            "The busybox of this machine needs shared libraries, which the demo image has not. "
            "Install the package busybox-static."
        )
    try:
        applets = subprocess.run(
            [str(busybox), "--list"], check=True, capture_output=True, text=True, timeout=10
        ).stdout.split()
    except (subprocess.SubprocessError, OSError) as error:
        raise BackendError("The busybox of this machine does not run. Reinstall busybox-static.") from error
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for folder in ("bin", "etc", "tmp", "proc", "sys", "dev", "root"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            tar.addfile(entry)
        _file(tar, "bin/busybox", program, 0o755)
        for applet in applets:
            if applet != "busybox":
                link = tarfile.TarInfo(f"bin/{applet}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
        for name, text in _FILES.items():
            _file(tar, name, text.encode(), 0o644)
        _file(tar, "start", _START.encode(), 0o755)
    return data.getvalue()


def _file(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))

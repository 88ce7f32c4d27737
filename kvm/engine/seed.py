"""The NoCloud seed: a small ISO with the label ``cidata`` that cloud-init reads at first boot.

Source: https://cloudinit.readthedocs.io/en/latest/reference/datasources/nocloud.html
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping

import pycdlib
from pycdlib.pycdlibexception import PyCdlibException

from compute.errors import BackendError


def seed_iso(files: Mapping[str, str]) -> bytes:
    """The image with ``files`` (``user-data``, ``meta-data``, ``network-config``) at its root."""
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident="cidata")
    for name, text in sorted(files.items()):
        data = text.encode()
        short = name.upper().replace("-", "_")
        iso.add_fp(io.BytesIO(data), len(data), f"/{short}.;1", rr_name=name, joliet_path=f"/{name}")
    out = io.BytesIO()
    iso.write_fp(out)
    iso.close()
    return out.getvalue()


def seed_read(data: bytes) -> dict[str, str]:
    """The files of an image as ``seed_iso`` made it. Raises ``BackendError`` for anything else."""
    iso, files = pycdlib.PyCdlib(), {}
    try:
        iso.open_fp(io.BytesIO(data))
        for entry in iso.list_children(rr_path="/"):
            if entry is None or not entry.is_file() or entry.get_data_length() > len(data):
                continue
            name = entry.rock_ridge.name().decode()
            out = io.BytesIO()
            iso.get_file_from_iso_fp(out, rr_path=f"/{name}")
            files[name] = out.getvalue().decode()
        iso.close()
    except (PyCdlibException, AttributeError, LookupError, ValueError, struct.error) as error:
        raise BackendError("The cloud-init seed cannot be read: it is no image of LibGo's.") from error
    return files

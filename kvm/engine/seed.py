"""The NoCloud seed: a small ISO with the label ``cidata`` that cloud-init reads at first boot.

Source: https://cloudinit.readthedocs.io/en/latest/reference/datasources/nocloud.html
"""

from __future__ import annotations

import io
from collections.abc import Mapping

import pycdlib


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

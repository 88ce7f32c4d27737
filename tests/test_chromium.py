"""The browser of the tests hears nothing of the machine's network, and reaches it all the same."""

from __future__ import annotations

import errno
import socket
import subprocess
import sys

from tests.live import ROOT

_TRY = """
import runpy, socket
runpy.run_path("tests/chromium.py")["_netlink_forbid"]()
for family in (socket.AF_INET, socket.AF_UNIX):
    socket.socket(family).close()
try:
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)
except OSError as error:
    print(error.errno)
"""


def test_only_the_socket_that_tells_of_networks_is_forbidden() -> None:
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close()
    found = subprocess.run([sys.executable, "-c", _TRY], cwd=ROOT, capture_output=True, text=True)
    assert found.stdout.strip() == str(errno.EAFNOSUPPORT), found

#!/usr/bin/env python3
"""The tests' Chromium, which does not hear when the machine's network changes.

Chromium drops each request under way, to the machine itself, too, when any interface comes or goes
(``net::ERR_NETWORK_CHANGED``). Tests beside it make and remove those of containers and machines all the
time. It learns of them by a netlink socket; where it gets none, it takes the network for steady. So this
file is also the program that Playwright starts: it forbids that socket, then becomes Chromium.

Source of the filter: seccomp(2); of what Chromium does without: its ``AddressTrackerLinux``.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import shutil
import socket
import struct
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserType

_WHOLE = "/usr/bin/chromium"
_WANTED = "LIBGO_TEST_CHROMIUM"
_NO_NEW_PRIVS, _SECCOMP, _FILTER = 38, 22, 2
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
# Classic BPF: load a word, compare it with a number, return.
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
# Where a call's number and its first argument stand (struct seccomp_data, little endian).
_NUMBER, _FIRST = 0, 16
_SOCKET = {"x86_64": 41, "aarch64": 198}


def chromium_launch(chromium: BrowserType, *words: str, whole: bool = False) -> Browser:
    """``playwright.chromium`` without a window; ``words`` are further switches. Where the system has one that
    cannot make windows, that one, unless ``whole``: windows that nobody sees take as much again as pages."""
    lean = None if whole else shutil.which("chromium-headless-shell")
    return chromium.launch(
        executable_path=__file__,
        args=["--no-sandbox", "--disable-dev-shm-usage", *words],
        env={**os.environ, _WANTED: lean or _WHOLE},
    )


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.c_char_p)]


def _netlink_forbid() -> None:
    """For this process and whatever it becomes or starts.

    Raises:
        OSError: the kernel takes no filter.
    """
    steps = [
        (_LOAD, 0, 0, _NUMBER),
        (_EQUAL, 0, 3, _SOCKET[platform.machine()]),
        (_LOAD, 0, 0, _FIRST),
        (_EQUAL, 0, 1, socket.AF_NETLINK),
        (_RETURN, 0, 0, _ERRNO | errno.EAFNOSUPPORT),
        (_RETURN, 0, 0, _ALLOW),
    ]
    program = _Program(len(steps), b"".join(struct.pack("HBBI", *step) for step in steps))
    libc = ctypes.CDLL(None, use_errno=True)
    for words in ((_NO_NEW_PRIVS, 1, 0), (_SECCOMP, _FILTER, ctypes.byref(program))):
        if libc.prctl(*words, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    _netlink_forbid()
    _program = os.environ[_WANTED]
    os.execv(_program, [_program, *sys.argv[1:]])

"""What callers may call a path."""

from __future__ import annotations

import pytest

from compute.errors import InvalidInput
from dockerapp.paths import path_checked
from tests.attacks.catalogue import attack


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("/", "/"),
        ("/etc//./hosts/", "/etc/hosts"),
        ("/a b/ü", "/a b/ü"),
        ("/..a/...", "/..a/..."),
        ("/%2e%2e/x", "/%2e%2e/x"),
    ],
)
def test_a_path_is_absolute_and_plain(given: str, meant: str) -> None:
    assert path_checked(given) == meant


@attack("S48", "paths that are relative, lead out or hold NUL", refused="400")
@pytest.mark.parametrize(
    "given", ["", "etc", "../etc", "/..", "/a/../b", "/a/..", "/a\0b", "/" + "x" * 256, "/x" * 2100]
)
def test_anything_else_is_refused(given: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        path_checked(given, field="path")
    assert "path" in refusal.value.details["fields"]

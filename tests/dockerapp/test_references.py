"""Image names: taken apart as engines do, and held against the site's list of registries."""

from __future__ import annotations

import pytest

from compute.errors import InvalidInput
from dockerapp.references import host_allowed, host_of_url, reference_parse
from tests.attacks.catalogue import attack

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "host", "path", "tag", "name"),
    [
        ("nginx", "docker.io", "nginx", "", "nginx:latest"),
        ("acme/app:2", "docker.io", "acme/app", "2", "acme/app:2"),
        ("127.0.0.1:5000/a/b", "127.0.0.1:5000", "a/b", "", "127.0.0.1:5000/a/b:latest"),
        ("localhost/x:1", "localhost", "x", "1", "localhost/x:1"),
        ("index.docker.io/library/a", "docker.io", "library/a", "", "docker.io/library/a:latest"),
        (f"ghcr.io/a/b:1@{DIGEST}", "ghcr.io", "a/b", "1", f"ghcr.io/a/b@{DIGEST}"),
    ],
)
def test_a_name_has_a_registry_a_path_and_a_tag(text: str, host: str, path: str, tag: str, name: str) -> None:
    found = reference_parse(text)
    assert (found.host, found.path, found.tag, found.name) == (host, path, tag, name)


@attack("S62", "references of images that look like options, or hold newlines and NUL", refused="400")
@pytest.mark.parametrize(
    "text",
    ["", "A", "a b", "a:", "a@sha256:12", "/a", "a//b", "-x", "a\nb", "a:b:c", "x.io/", "a" * 300, "a\x00"],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="not an image name"):
        reference_parse(text)


@pytest.mark.parametrize(
    ("text", "allowed", "fits"),
    [
        ("nginx", "*", True),
        ("nginx", "docker.io", True),
        ("nginx", "registry.example.com", False),
        ("evil-example.com/x", "*.example.com", False),
        ("r.example.com/x", "*.example.com", True),
        ("r.example.com:5000/x", "r.example.com", False),
        ("ghcr.io/team/x", "ghcr.io/team", True),
        ("ghcr.io/teams/x", "ghcr.io/team", False),
        ("nginx", "", False),
    ],
)
def test_the_list_of_registries(text: str, allowed: str, fits: bool) -> None:
    assert host_allowed(reference_parse(text), [allowed]) is fits


def test_the_registry_of_an_address() -> None:
    assert host_of_url("https://Registry.example.com:5000/v2/") == "registry.example.com:5000"
    assert host_of_url("https://index.docker.io/v1/") == "docker.io"
    with pytest.raises(InvalidInput):
        host_of_url("https://user:pw@example.com/")

"""Static files have their edition in their address: kept for good by browsers, new with each upgrade."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.templatetags.static import static
from django.test import Client

from libgo_site.static_version import static_version

_PACKAGES = ("Django",)


@pytest.fixture(autouse=True)
def host(settings: object) -> None:
    settings.ALLOWED_HOSTS = ["testserver"]  # type: ignore[attr-defined]


def _version(folder: Path, lock: Path, packages: tuple[str, ...] = _PACKAGES) -> str:
    return static_version(folder, [lock], packages)


def test_the_edition_changes_with_whatever_could_change_a_file(tmp_path: Path) -> None:
    folder, lock = tmp_path / "static", tmp_path / "package-lock.json"
    (folder / "js").mkdir(parents=True)
    (folder / "js" / "one.js").write_text("1")
    lock.write_text("{}")
    seen = [_version(folder, lock)]
    assert re.fullmatch("[0-9a-f]{12}", seen[0]) and _version(folder, lock) == seen[0]
    (folder / "js" / "one.js").write_text("2")
    seen.append(_version(folder, lock))
    (folder / "js" / "one.js").rename(folder / "js" / "two.js")
    seen.append(_version(folder, lock))
    lock.write_text('{"a": 1}')
    seen.append(_version(folder, lock))
    seen.append(_version(folder, lock, ("Django", "whitenoise")))
    seen.append(_version(folder, lock, ("Django", "no-such-package")))
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize(
    "name",
    [
        "js/live.js",
        "vendor/tabler/css/tabler.min.css",
        "vendor/novnc/core/rfb.js",
        "admin/css/base.css",
        "drf_spectacular_sidecar/swagger-ui-dist/swagger-ui.css",
    ],
)
def test_a_file_is_kept_for_good_under_the_address_of_its_edition(client: Client, name: str) -> None:
    answer = client.get(static(name))
    assert answer.status_code == 200
    assert "immutable" in answer["Cache-Control"] and "max-age=3153" in answer["Cache-Control"]
    # Read to its end: closing it here would have Django look for old connections of the database.
    assert b"".join(answer)


def test_what_scripts_import_is_of_their_edition(client: Client) -> None:
    """By relative addresses alone, so the edition in the address of the first holds for all of them."""
    ours = [path.read_text() for path in (settings.BASE_DIR / "static" / "js").glob("*.js")]
    asked = re.findall(r'^import .* from "([^"]+)";$', "\n".join(ours), re.MULTILINE)
    assert len(asked) == len(re.findall(r"^import|\bimport\(", "\n".join(ours), re.MULTILINE))
    assert asked and all(name.startswith("../") for name in asked), asked
    assert not [text for text in ours if "/static/" in text]


def test_another_edition_leads_to_the_file_of_today(client: Client) -> None:
    for asked in ("0123456789ab/js/live.js", "js/live.js"):
        answer = client.get(f"/static/{asked}")
        assert (answer.status_code, answer["Location"]) == (302, static("js/live.js"))
        assert "no-store" in answer["Cache-Control"] or "no-cache" in answer["Cache-Control"]
    assert client.get("/favicon.ico")["Location"] == static("img/icon.svg")


@pytest.mark.parametrize(
    "asked",
    ["js/none.js", "0123456789ab/js/none.js", "0123456789ab/", "../manage.py", "%2e%2e/manage.py", "a\0b"],
)
def test_what_is_no_file_is_not_found(client: Client, asked: str) -> None:
    assert client.get(f"/static/{asked}").status_code == 404
    assert client.get(static(asked)).status_code == 404
    assert client.post("/static/js/live.js").status_code == 405

"""Static texts travel compressed; a browser's copy is still recognised; pages are left alone."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from django.core.signals import request_finished
from django.templatetags.static import static
from django.test import Client

FILE = "js/some.js"
TEXT = b"// A text as pages have them.\n" * 200


@pytest.fixture(autouse=True)
def ground(settings: Any, tmp_path: Path) -> None:
    """One file of the test's own: those of a checkout may be written anew meanwhile, and then have another
    tag."""
    settings.ALLOWED_HOSTS = ["testserver"]
    settings.STATICFILES_DIRS = [tmp_path]
    file = tmp_path / FILE
    file.parent.mkdir()
    file.write_bytes(TEXT)


def _get(client: Client, path: str, **headers: str) -> Any:
    return client.get(static(path), headers=headers)


def test_a_text_is_sent_compressed_to_those_who_take_it(client: Client) -> None:
    plain = b"".join(_get(client, FILE))
    assert plain == TEXT
    for _ in range(2):
        pressed = _get(client, FILE, accept_encoding="gzip, br")
        assert pressed["Content-Encoding"] == "gzip" and "Accept-Encoding" in pressed["Vary"]
        assert gzip.decompress(pressed.content) == plain
        assert int(pressed["Content-Length"]) == len(pressed.content) < len(plain) / 2


def test_a_request_that_is_compressed_ends_once(client: Client) -> None:
    """Django closes what it keeps for a request when it hears of its end; a second end would close what
    belongs to another."""
    ended: list[object] = []

    def hear(**_: object) -> None:
        ended.append(1)

    request_finished.connect(hear)
    try:
        pressed = _get(client, FILE, accept_encoding="gzip")
    finally:
        request_finished.disconnect(hear)
    assert pressed["Content-Encoding"] == "gzip" and len(ended) == 1


def test_a_copy_that_is_still_good_is_not_sent_again(client: Client) -> None:
    tag = _get(client, FILE, accept_encoding="gzip")["ETag"]
    assert tag.startswith("W/")
    assert _get(client, FILE, accept_encoding="gzip", if_none_match=tag).status_code == 304
    plain = _get(client, FILE)
    assert _get(client, FILE, if_none_match=plain["ETag"]).status_code == 304
    assert _get(client, FILE, if_modified_since=plain["Last-Modified"]).status_code == 304


def test_what_is_not_there_and_what_is_a_page_are_as_they_were(client: Client) -> None:
    assert _get(client, "js/none.js", accept_encoding="gzip").status_code == 404
    assert "Content-Encoding" not in client.get("/login", headers={"accept-encoding": "gzip"})

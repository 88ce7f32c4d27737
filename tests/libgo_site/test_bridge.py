"""Requests cross to a thread and back once: what Django is asked, and what the server is answered."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from libgo_site.bridge import WsgiBridge


class Site:
    """A WSGI application that keeps what it was asked and answers in pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces, self.is_closed = pieces, False
        self.asked: dict[str, Any] = {}
        self.body, self.thread = b"", ""

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Site:
        self.asked, self.body = environ, environ["wsgi.input"].read()
        self.thread = threading.current_thread().name
        start_response("201 Created", [("Content-Type", "text/plain"), ("Set-Cookie", "ä=1")])
        return self

    def __iter__(self) -> Iterator[bytes]:
        yield from self.pieces

    def close(self) -> None:
        self.is_closed = True


async def _ask(site: Any, *bodies: bytes, **scope: Any) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []
    left = [
        {"type": "http.request", "body": body, "more_body": number < len(bodies)}
        for number, body in enumerate(bodies, 1)
    ]

    async def receive() -> Any:
        return left.pop(0) if left else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    usual: dict[str, Any] = {
        "method": "POST",
        "path": "/wörter/a b",
        "query_string": b"a=1&b=%20",
        "http_version": "1.1",
        "headers": [],
        "server": ("127.0.0.1", 8000),
        "client": ("10.0.0.7", 4711),
        "scheme": "https",
    }
    await WsgiBridge(site, workers=1)({**usual, **scope}, receive, send)
    return sent


async def test_an_answer_in_pieces_is_sent_as_one_start_and_one_body() -> None:
    site = Site(b"one ", b"", b"two")
    start, body = await _ask(site, b"x")
    assert start == {
        "type": "http.response.start",
        "status": 201,
        "headers": [(b"content-type", b"text/plain"), (b"set-cookie", "ä=1".encode("latin-1"))],
    }
    assert body == {"type": "http.response.body", "body": b"one two"}
    assert site.is_closed and site.thread.startswith("WSGI")


async def test_the_request_is_what_was_sent() -> None:
    site = Site()
    headers = [
        (b"content-type", b"text/plain"),
        (b"content-length", b"6"),
        (b"x-two", b"1"),
        (b"x-two", b"2"),
    ]
    await _ask(site, b"abc", b"def", headers=headers)
    asked = site.asked
    assert site.body == b"abcdef"
    assert (asked["REQUEST_METHOD"], asked["QUERY_STRING"]) == ("POST", "a=1&b=%20")
    assert asked["PATH_INFO"].encode("latin-1").decode() == "/wörter/a b" and asked["SCRIPT_NAME"] == ""
    assert (asked["CONTENT_TYPE"], asked["CONTENT_LENGTH"], asked["HTTP_X_TWO"]) == ("text/plain", "6", "1,2")
    assert (asked["REMOTE_ADDR"], asked["SERVER_PORT"], asked["wsgi.url_scheme"]) == (
        "10.0.0.7",
        "8000",
        "https",
    )
    assert "HTTP_CONTENT_TYPE" not in asked


@pytest.mark.parametrize("query", [b"a=\xff\xfe", b"\xc3\xa4"])
async def test_bytes_that_are_no_text_come_through(query: bytes) -> None:
    site = Site()
    await _ask(site, b"", query_string=query, client=None, server=None)
    assert site.asked["QUERY_STRING"].encode("latin-1") == query
    assert "REMOTE_ADDR" not in site.asked and site.asked["SERVER_NAME"] == "localhost"


async def test_an_answer_that_breaks_is_closed_and_told_to_the_server() -> None:
    class Breaks(Site):
        def __iter__(self) -> Iterator[bytes]:
            yield b"a part"
            raise OSError("the disk is gone")

    site = Breaks()
    with pytest.raises(OSError, match="the disk is gone"):
        await _ask(site, b"")
    assert site.is_closed

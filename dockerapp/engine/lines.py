"""Kept connections to an engine's socket, for what is asked and answered whole.

The libraries between docker-py and the socket (requests, urllib3) take ten times as long for a question as
the engine's own answer takes to be read: a millisecond of the processor, three times in the create of a
container. What streams, goes over a network or is anything but plain stays theirs; what goes wrong here
leaves as what they raise.
"""

from __future__ import annotations

import http.client
import select
import socket
import threading
from collections.abc import Mapping
from typing import Any, NamedTuple

import requests

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PIECE = 64 * 1024


class Question(NamedTuple):
    """``target``: path and query."""

    method: str
    target: str
    body: str | bytes | None
    headers: Mapping[str, str]
    timeout_s: float


class TooLong(Exception):
    """The answer has more bytes than it may have."""


class SocketLines:
    """Of one engine, for any number of threads; at most ``most`` stay open while nobody asks."""

    def __init__(self, path: str, most: int, answer_max: int) -> None:
        self._path, self._most, self._answer_max = path, most, answer_max
        self._lock = threading.Lock()
        self._idle: list[_Line] = []

    def ask(self, question: Question) -> requests.Response:
        """The answer with its body. Raises ``requests`` exceptions, and ``TooLong``."""
        line = self._taken()
        try:
            answer, body = line.ask(question, self._answer_max)
        except TooLong:
            line.close()
            raise
        except (OSError, http.client.HTTPException) as error:
            line.close()
            raise _as_requests(error, is_sent=line.is_sent) from error
        if answer.will_close:
            line.close()
        else:
            self._give_back(line)
        return _response(question, answer, body)

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for line in idle:
            line.close()

    def _taken(self) -> _Line:
        """The one that rested last, unless the engine has closed it meanwhile."""
        while True:
            with self._lock:
                line = self._idle.pop() if self._idle else None
            if line is None:
                return _Line(self._path)
            if line.is_quiet():
                return line
            line.close()

    def _give_back(self, line: _Line) -> None:
        with self._lock:
            if len(self._idle) < self._most:
                self._idle.append(line)
                return
        line.close()


class _Line(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path
        self.is_sent = False

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)

    def ask(self, question: Question, answer_max: int) -> tuple[http.client.HTTPResponse, bytes]:
        self.is_sent, self.timeout = False, question.timeout_s
        if self.sock is not None:
            self.sock.settimeout(question.timeout_s)
        self.request(question.method, question.target, question.body, dict(question.headers))
        self.is_sent = True
        answer = self.getresponse()
        pieces, size = [], 0
        while piece := answer.read(_PIECE):
            pieces.append(piece)
            size += len(piece)
            if size > answer_max:
                raise TooLong
        if answer.length:
            raise http.client.IncompleteRead(b"", answer.length)
        return answer, b"".join(pieces)

    def is_quiet(self) -> bool:
        """Whether nothing came since the last answer: not even the end."""
        waiting = select.poll()
        waiting.register(self.sock, select.POLLIN)
        return not waiting.poll(0)


def _as_requests(error: Exception, *, is_sent: bool) -> requests.exceptions.RequestException:
    """As the libraries would have it, with the cause in its text."""
    if isinstance(error, http.client.IncompleteRead):
        return requests.exceptions.ChunkedEncodingError(error)
    if isinstance(error, TimeoutError) and is_sent:
        return requests.exceptions.ReadTimeout(error)
    return requests.exceptions.ConnectionError(error)


def _response(question: Question, answer: http.client.HTTPResponse, body: bytes) -> requests.Response:
    found: Any = requests.Response()
    found.status_code, found.reason = answer.status, answer.reason
    found.url = f"http+docker://localhost{question.target}"
    found.headers.update(answer.getheaders())
    found.encoding = "utf-8"
    found._content, found._content_consumed = body, True
    if answer.status in _REDIRECTS and "location" in found.headers:
        raise requests.exceptions.TooManyRedirects("The engine sends us elsewhere.", response=found)
    return found

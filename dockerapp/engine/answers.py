"""What an engine answers, taken in with bounds: an answer without end must not fill our memory.

What only asks is asked again when the engine stumbled over it; nothing else is ever sent twice.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson
import requests
from docker import APIClient
from requests.models import RequestEncodingMixin

from compute.errors import BackendError
from dockerapp.engine.lines import Question, SocketLines, TooLong

# A list of some thousand containers has 3 MiB. What it becomes in memory is up to twenty times as much.
ANSWER_MAX = 16 * 1024**2
_LINE_MAX = 1024**2
_PIECE = 64 * 1024
_ASKS = ("GET", "HEAD")
# The engine, or who stands before it, says that it could not now.
_STUMBLED = frozenset({429, 500, 502, 503, 504})
# Nothing in it that the library would write in another way.
_PLAIN = re.compile(r"(?:/(?!\.)[A-Za-z0-9_.:%@~-]+)+")
_KNOWN = frozenset({"params", "data", "json", "headers", "timeout", "stream", "allow_redirects"})
_NEVER_SENT = ("FileNotFoundError", "ConnectionRefused", "NewConnectionError")


class BoundedClient(APIClient):
    """``tries``: how often a question that only asks is asked again; ``pause_s`` doubles each time.
    ``lines``: the short way to its socket, if it has one."""

    lines: SocketLines | None = None

    def __init__(self, *args: Any, tries: int, pause_s: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._tries, self._pause_s = tries, pause_s

    def close(self) -> None:
        super().close()
        if self.lines is not None:
            self.lines.close()

    def request(self, method: str, url: str, **kwargs: Any) -> requests.Response:
        lines, question = self.lines, self._question(method, url, kwargs)
        if lines is None or question is None:
            return super().request(method, url, **kwargs)
        return self._again(method, lambda: _asked(lines, question))

    def _question(self, method: str, url: str, kwargs: Mapping[str, Any]) -> Question | None:
        """What is to be asked, if that is plain; else the library knows better."""
        path, timeout_s, data = url.removeprefix(self.base_url), kwargs.get("timeout"), kwargs.get("data")
        is_plain = kwargs.keys() <= _KNOWN and not kwargs.get("stream") and kwargs.get("json") is None
        if not is_plain or not isinstance(timeout_s, (int, float)) or not _PLAIN.fullmatch(path):
            return None
        if not isinstance(data, (str, bytes, type(None))):
            return None
        query = RequestEncodingMixin._encode_params(kwargs.get("params") or {})
        agent = {"User-Agent": self.headers["User-Agent"], **(kwargs.get("headers") or {})}
        headers = {name: str(value) for name, value in agent.items() if value is not None}
        body = data.encode() if isinstance(data, str) else data
        return Question(method, f"{path}?{query}" if query else path, body, headers, timeout_s)

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        if kwargs.get("stream"):
            return super().send(request, **kwargs)
        return self._again(str(request.method), lambda: self._whole(request, kwargs))

    def _again(self, method: str, once: Callable[[], requests.Response]) -> requests.Response:
        for attempt in range(self._tries if method in _ASKS else 0):
            try:
                answer = once()
            except (requests.exceptions.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
                if never_sent(error) or "timed out" in repr(error):
                    raise
            else:
                if answer.status_code not in _STUMBLED:
                    return answer
            time.sleep(self._pause_s * 2**attempt)
        return once()

    def _whole(self, request: requests.PreparedRequest, kwargs: dict[str, Any]) -> requests.Response:
        """With its body, as the library would read it. Raises ``BackendError`` for one without end."""
        answer = super().send(request, **{**kwargs, "stream": True})
        with_body, size = [], 0
        for piece in answer.iter_content(_PIECE):
            with_body.append(piece)
            size += len(piece)
            if size > ANSWER_MAX:
                answer.close()
                raise too_long()
        answer._content = b"".join(with_body)
        return answer


def _asked(lines: SocketLines, question: Question) -> requests.Response:
    try:
        return lines.ask(question)
    except TooLong as error:
        raise too_long() from error


def never_sent(error: Exception) -> bool:
    """Whether the engine could not even be connected to."""
    text = repr(error)
    return any(word in text for word in _NEVER_SENT)


def too_long() -> BackendError:
    return BackendError(
        "The engine's answer has no end; it was given up. Is it a Docker engine that answers there?",
        state="endless_answer",
    )


def json_lines(response: requests.Response) -> Iterator[Any]:
    """The values of a stream that has one in a line, as they come. Raises ``BackendError`` for a line
    without end or that is no JSON."""
    raw, left = response.raw, b""
    while data := raw.read1(_PIECE, decode_content=True):
        *lines, left = (left + data).split(b"\n")
        for line in lines:
            if line.strip():
                yield _value(line)
        if len(left) > _LINE_MAX:
            response.close()
            raise too_long()
    if left.strip():
        yield _value(left)


def _value(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise BackendError("The engine broke off in the middle of what it said.") from error

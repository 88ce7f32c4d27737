"""What an engine answers, taken in with bounds: an answer without end must not fill our memory.

What only asks is asked again when the engine stumbled over it; nothing else is ever sent twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import orjson
import requests
from docker import APIClient

from compute.errors import BackendError

# A list of some thousand containers has 3 MiB. What it becomes in memory is up to twenty times as much.
ANSWER_MAX = 16 * 1024**2
_LINE_MAX = 1024**2
_PIECE = 64 * 1024
_ASKS = ("GET", "HEAD")
# The engine, or who stands before it, says that it could not now.
_STUMBLED = frozenset({429, 500, 502, 503, 504})
_NEVER_SENT = ("FileNotFoundError", "ConnectionRefused", "NewConnectionError")


class BoundedClient(APIClient):
    """``tries``: how often a question that only asks is asked again; ``pause_s`` doubles each time."""

    def __init__(self, *args: Any, tries: int, pause_s: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._tries, self._pause_s = tries, pause_s

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        if kwargs.get("stream"):
            return super().send(request, **kwargs)
        for attempt in range(self._tries if request.method in _ASKS else 0):
            try:
                answer = self._whole(request, kwargs)
            except (requests.exceptions.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
                if never_sent(error) or "timed out" in repr(error):
                    raise
            else:
                if answer.status_code not in _STUMBLED:
                    return answer
            time.sleep(self._pause_s * 2**attempt)
        return self._whole(request, kwargs)

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

"""Kept connections to an engine's socket: used again, given up when the engine left, nothing sent twice."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from dockerapp.engine.lines import Question, SocketLines, TooLong
from tests.dockerapp.scripted import Request, ScriptedEngine
from tests.live import until

_MAX = 100_000


@pytest.fixture
def engine() -> Iterator[ScriptedEngine]:
    with tempfile.TemporaryDirectory(prefix="lg-") as folder:
        engine = ScriptedEngine(Path(folder) / "s")
        yield engine
        engine.stop()


@pytest.fixture
def lines(engine: ScriptedEngine) -> Iterator[SocketLines]:
    lines = SocketLines(engine.url.removeprefix("unix://"), 2, _MAX)
    yield lines
    lines.close()


def _asks(method: str = "GET", timeout_s: float = 5) -> Question:
    return Question(method, "/thing", b"" if method == "POST" else None, {}, timeout_s)


def _seen_from(engine: ScriptedEngine) -> list[int]:
    """A number for each connection on which something is asked."""
    found: list[int] = []

    def answer(request: Request) -> None:
        found.append(id(request))
        request.answer(200, {"a": 1})

    engine.script = {"GET /thing": answer, "POST /thing": answer}
    return found


def test_one_line_is_used_again(engine: ScriptedEngine, lines: SocketLines) -> None:
    seen = _seen_from(engine)
    for method in ("GET", "POST", "GET"):
        answer = lines.ask(_asks(method))
        assert answer.status_code == 200 and answer.json() == {"a": 1}
    assert len(seen) == 3 and len(set(seen)) == 1


def test_many_threads_get_whole_answers(engine: ScriptedEngine, lines: SocketLines) -> None:
    engine.script["GET /thing"] = lambda request: request.answer(200, list(range(5000)))
    with ThreadPoolExecutor(8) as pool:
        for answer in pool.map(lambda _: lines.ask(_asks()), range(40)):
            assert answer.json() == list(range(5000))
    assert engine.asked == ["GET /thing"] * 40


def test_a_line_that_the_engine_closed_is_not_used(engine: ScriptedEngine, lines: SocketLines) -> None:
    def answer_and_leave(request: Request) -> None:
        request.answer(200, {})
        request.close_connection = True

    engine.script["POST /thing"] = answer_and_leave
    for number in range(1, 4):
        assert lines.ask(_asks("POST")).status_code == 200
        assert engine.asked == ["POST /thing"] * number
        until(lambda: not lines._idle[0].is_quiet(), "its end has come", 5)


@pytest.mark.parametrize(
    ("head", "body", "problem"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", b"half", requests.exceptions.ChunkedEncodingError),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"9\r\nhalf",
            requests.exceptions.ChunkedEncodingError,
        ),
        (b"SSH-2.0-OpenSSH\r\n", b"", requests.exceptions.ConnectionError),
        (b"", b"", requests.exceptions.ConnectionError),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * (_MAX + 1), TooLong),
        (
            b"HTTP/1.1 302 Found\r\nLocation: http://other/\r\nContent-Length: 0\r\n\r\n",
            b"",
            requests.exceptions.TooManyRedirects,
        ),
    ],
)
def test_a_bad_answer_is_an_error_and_the_next_question_gets_its_own(
    engine: ScriptedEngine, lines: SocketLines, head: bytes, body: bytes, problem: type[Exception]
) -> None:
    def answer(request: Request) -> None:
        request.wfile.write(head + body)
        request.close_connection = True

    engine.script["POST /thing"] = answer
    with pytest.raises(problem):
        lines.ask(_asks("POST"))
    assert engine.asked == ["POST /thing"], "sent once"
    _seen_from(engine)
    assert lines.ask(_asks()).json() == {"a": 1}


def test_a_silent_engine_is_told_from_one_that_is_not_there(
    engine: ScriptedEngine, lines: SocketLines, tmp_path: Path
) -> None:
    engine.script["GET /thing"] = Request.hang
    with pytest.raises(requests.exceptions.ReadTimeout):
        lines.ask(_asks(timeout_s=0.2))
    nobody = SocketLines(str(tmp_path / "none"), 2, _MAX)
    with pytest.raises(requests.exceptions.ConnectionError, match="No such file"):
        nobody.ask(_asks())

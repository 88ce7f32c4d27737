"""Bytes of an engine's log into lines, however they are cut."""

from __future__ import annotations

import pytest

from compute.backends.types import LogLine, nanos_text
from compute.errors import BackendError
from dockerapp.engine.logs import LineDecoder
from tests.attacks.catalogue import attack

STAMP = b"2026-01-02T03:04:05.000000006Z "
NANOS = 1_767_323_045_000_000_006


def frame(data: bytes, stream: int = 1) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_frames_may_be_cut_anywhere(size: int) -> None:
    data = (
        frame(STAMP + b"one\n") + frame(STAMP + b"two\n", 2) + frame(STAMP + b"th") + frame(STAMP + b"ree\n")
    )
    decoder, lines = LineDecoder(framed=True), []
    for start in range(0, len(data), size):
        lines += decoder.feed(data[start : start + size])
    assert lines + decoder.finish() == [
        LogLine("one", "stdout", NANOS),
        LogLine("two", "stderr", NANOS),
        LogLine("three", "stdout", NANOS),
    ]


def test_pieces_of_both_streams_do_not_mix() -> None:
    decoder = LineDecoder(framed=True)
    lines = decoder.feed(frame(STAMP + b"out ") + frame(STAMP + b"err ", 2))
    lines += decoder.feed(frame(STAMP + b"more\n") + frame(STAMP + b"more\n", 2))
    assert [(line.stream, line.text) for line in lines] == [("stdout", "out more"), ("stderr", "err more")]


@attack("S80", "a line of a log longer than 64 KB", refused="cut into pieces")
def test_a_line_longer_than_64_kb_is_cut_and_nothing_is_lost() -> None:
    decoder, lines = LineDecoder(framed=True), []
    for _ in range(10):
        lines += decoder.feed(frame(STAMP + b"x" * 16384))
    lines += decoder.feed(frame(STAMP + b"\n"))
    assert "".join(line.text for line in lines) == "x" * 163840
    assert 2 <= len(lines) <= 4 and all(line.nanos == NANOS for line in lines)


def test_a_terminal_has_no_frames_and_its_long_lines_no_times_inside() -> None:
    decoder = LineDecoder(framed=False)
    data = STAMP + b"a" * 16384 + STAMP + b"b" * 16384 + STAMP + b"c\r\n" + STAMP + b"next\r\n"
    lines = [*decoder.feed(data[:20000]), *decoder.feed(data[20000:])]
    assert [line.text for line in lines] == ["a" * 16384 + "b" * 16384 + "c", "next"]


@pytest.mark.parametrize(
    ("stamp", "nanos"),
    [
        (b"2026-01-02T03:04:05Z ", NANOS - 6),
        (b"2026-01-02T03:04:05.5Z ", NANOS - 6 + 500_000_000),
        (b"2026-01-02T05:04:05.000000006+02:00 ", NANOS),
        (b"2026-01-01T21:34:05.000000006-05:30 ", NANOS),
    ],
)
def test_times_of_other_engines_are_read_too(stamp: bytes, nanos: int) -> None:
    (line,) = LineDecoder(framed=True).feed(frame(stamp + b"x\n"))
    assert line == LogLine("x", "stdout", nanos)


@pytest.mark.parametrize("stamp", [b"", b"9999-99-99T99:99:99.000000006Z ", b"yesterday "])
def test_what_is_no_time_costs_no_line(stamp: bytes) -> None:
    (line,) = LineDecoder(framed=True).feed(frame(stamp + b"hello\n"))
    assert line.nanos is None and line.text.endswith("hello")


def test_what_a_container_says_itself_is_no_time_of_ours() -> None:
    said = STAMP + b"said by the program\n"
    (line,) = LineDecoder(framed=True, stamped=False).feed(frame(said))
    assert line == LogLine(said.decode().rstrip(), "stdout", None)
    (line,) = LineDecoder(framed=True).feed(frame(STAMP + said))
    assert line.text == said.decode().rstrip()


@attack("S69", "escapes and hostile bytes in a log", refused="stay data")
def test_hostile_bytes_and_escapes_stay_data() -> None:
    (line,) = LineDecoder(framed=True).feed(frame(STAMP + b"\xff\x00\x1b]52;c;aGk=\x07<script>\n"))
    assert line.text == "\ufffd\x00\x1b]52;c;aGk=\x07<script>"


@attack("S75", "an engine whose frame claims gigabytes", refused="refused, not awaited")
def test_a_frame_that_claims_gigabytes_is_refused_not_awaited() -> None:
    with pytest.raises(BackendError):
        LineDecoder(framed=True).feed(b"\x01\x00\x00\x00\xff\xff\xff\xff")


def test_a_time_is_told_to_the_last_digit() -> None:
    assert nanos_text(NANOS) == "2026-01-02T03:04:05.000000006Z"

"""How many may wait for one engine: a busy one serves all in turn, one that hangs refuses the next soon."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from compute.backends.turnstile import answering, engine_waited_for
from compute.backends.types import NodeConfig
from compute.errors import BackendUnavailable
from tests.live import strain


@pytest.fixture
def node() -> NodeConfig:
    return NodeConfig(id=str(uuid4()), name="far", backend="docker", url="unix:///nowhere")


@pytest.fixture
def hands() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(32) as pool:
        yield pool


def _ask(node: NodeConfig, takes: threading.Event | float) -> str:
    """As a thread that answers; the engine takes so long."""
    try:
        with answering(), engine_waited_for(node):
            if isinstance(takes, threading.Event):
                takes.wait()
            else:
                time.sleep(takes)
    except BackendUnavailable as error:
        return str(error.details["reason"])
    return "answered"


def test_a_busy_engine_serves_all_in_turn(node: NodeConfig, hands: ThreadPoolExecutor) -> None:
    """Fifteen at once, three rounds of the five places: longer than one moment, and nobody is refused."""
    asked = [hands.submit(_ask, node, 0.4) for _ in range(15)]
    assert [one.result() for one in asked] == ["answered"] * 15


def test_of_an_engine_that_hangs_the_sixth_is_refused(node: NodeConfig, hands: ThreadPoolExecutor) -> None:
    freed = threading.Event()
    held = [hands.submit(_ask, node, freed) for _ in range(5)]
    try:
        began = time.monotonic()
        assert hands.submit(_ask, node, 0.0).result() == "busy"
        assert hands.submit(_ask, node, 0.0).result() == "busy"
        assert time.monotonic() - began < 2 * strain()
        other = NodeConfig(id=str(uuid4()), name="near", backend="docker", url="unix:///nowhere")
        assert hands.submit(_ask, other, 0.0).result() == "answered"
    finally:
        freed.set()
    assert [one.result() for one in held] == ["answered"] * 5
    assert hands.submit(_ask, node, 0.0).result() == "answered", "it is asked again once somebody left"

"""One storm for all that is demanded of it."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator

import pytest

from tests.load.place import place_made
from tests.load.storm import Storm, storm_run

_LONG_S, _SHORT_S = 300.0, 45.0


@pytest.fixture(scope="package")
def storm(engines: None, request: pytest.FixtureRequest) -> Iterator[Storm]:
    """Long when it was asked for by its mark, short beside all other tests."""
    is_asked = "storm" in str(request.config.getoption("-m"))
    seconds = float(os.environ.get("LIBGO_STORM_SECONDS") or (_LONG_S if is_asked else _SHORT_S))
    seed = int(os.environ.get("LIBGO_STORM_SEED") or random.randrange(1_000_000))
    with place_made() as place:
        yield storm_run(place, seed, seconds)


@pytest.fixture
def seen(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """``seen("412 operations")``: a cell of the table."""

    def note(text: str) -> None:
        request.node.user_properties.append(("seen", text))

    return note

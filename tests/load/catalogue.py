"""The register of the storm: what must hold at its end, and what was seen.

A test says ``@storm("agree", "…")`` and tells with the fixture ``seen``. ``./libgo storm`` writes the table.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.register import Register

_HEAD = """# A storm that LibGo stands

Written by `./libgo storm`; do not edit it by hand. Twenty people's browsers and twenty programs of the API
do everything at once on a Docker engine and a libvirt host of the test's own, while engines and processes
of LibGo are killed, frozen and made to forget. Then it is quiet, and everything is counted.

A browser here is a session that loads pages with their scripts and styles, holds the sockets that the scripts
hold, asks again for every part that a fact concerns, and presses buttons: twenty Chromiums do not fit on two
cores. One real Chromium has the list open all the time, and must show at the end what is. Guests are emulated
by the processor's software, so three of the twenty programs make machines, the others containers.

`LIBGO_STORM_SEED` makes everybody choose the same again (what comes of it depends on the clock, too),
`LIBGO_STORM_SECONDS` how long it lasts: 300 by `./libgo storm`, 45 in the whole suite.

"""


def storm(what: str, holds: str) -> pytest.MarkDecorator:
    return pytest.mark.storm(what=what, holds=holds)


def _cells(mark: dict[str, Any], report: pytest.TestReport) -> tuple[str, ...]:
    told = dict(report.user_properties)
    return (mark["what"], mark["holds"], str(told.get("seen", "")))


STORM = Register(
    mark="storm",
    variable="LIBGO_STORM_TABLE",
    columns=("what", "what must hold", "what was seen", "result"),
    head=_HEAD,
    cells=_cells,
    by_case=False,
)

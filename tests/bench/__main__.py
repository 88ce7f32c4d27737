"""``./libgo bench``: LibGo beside the engines and the limits that were set, in one run.

./libgo bench [--quick] [--write] [--json FILE] [NAME...]

Without names everything runs, and docs/benchmarks.md is written; with names it is written with ``--write``.
``--quick`` repeats each case a few times only, to see that it works, and writes nothing.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from types import FrameType
from typing import NoReturn

from libgo_site.launch import state
from tests.bench.parts import PARTS
from tests.bench.place import left_clear, place
from tests.bench.report import report_write, results_load, results_save, shown
from tests.bench.run import Result, Site, part_run


def main(arguments: list[str]) -> int:
    asked = _asked(arguments)
    wanted = [part for part in PARTS if not asked.names or part.name in asked.names]
    # What a part measured last is kept, so that one can be run again alone.
    store = state.var() / "bench.json"
    results: dict[str, Result] = {}
    began = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _ended)
    for mark in left_clear():
        print(f"cleared what run {mark} had left", flush=True)
    with place() as (folder, mark):
        site = Site(folder, mark, quick=asked.quick)
        try:
            for part in wanted:
                print(f"--- {part.name}: {part.title}", flush=True)
                result = part_run(part, site, lambda row: print(shown(row), flush=True))
                results[part.name] = replace(result, run=began)
                _told(results[part.name])
        finally:
            site.close()
    if asked.json:
        results_save(asked.json, results)
    if not asked.quick and (asked.write or not asked.names):
        known = {**results_load(store), **results}
        results_save(store, known)
        print(f"written to {report_write(PARTS, known)}")
    return 1 if any(result.error for result in results.values()) else 0


def _ended(number: int, frame: FrameType | None) -> NoReturn:
    """By a signal: it clears up like one that came to its end, and no limit of a part ends that."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    sys.exit(128 + number)


def _asked(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="libgo bench")
    parser.add_argument("--quick", action="store_true", help="a few repeats only, and nothing is written")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md also for some parts")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    names = [part.name for part in PARTS]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(names)}")
    asked = parser.parse_args(arguments)
    unknown = set(asked.names) - set(names)
    if unknown:
        parser.error(f"no such bench: {', '.join(sorted(unknown))}")
    return asked


def _told(result: Result) -> None:
    noise = ", ".join(f"{row.what} {row.p50:.0f} ms" for row in result.noise)
    print(
        f"    {result.took_s:.0f} s, noise {noise}{'; ' + result.error if result.error else ''}", flush=True
    )


if __name__ == "__main__":
    began = time.monotonic()
    code = main(sys.argv[1:])
    print(f"libgo bench: {time.monotonic() - began:.0f} s")
    sys.exit(code)

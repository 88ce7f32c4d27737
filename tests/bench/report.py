"""``docs/benchmarks.md``: the last figures of each part, what was wanted, how loud the machine was."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.bench.figures import Row
from tests.bench.run import Part, Result
from tests.live import ROOT

_HEAD = """# What it costs

Written by `./libgo bench`; do not edit it by hand. Each part runs alone, too (`./libgo bench echo sockets`).
LibGo and the engine do the same work in one run, each case once a round, so that the machine's moods hit
both alike. Ratios travel; milliseconds do not. “of the engine's” is the median beside the engine's own (raw
HTTP on its socket, or libvirt's binding). Before and after each part a fixed piece of work is done fifteen
times (“noise”): on a quiet machine it always takes as long; where its p95 is far from its median, or before
from after, the figures say less.

"""
_COLUMNS = ("what", "p50", "p95", "n", "of the engine's", "wanted", "")


def results_load(path: Path) -> dict[str, Result]:
    if not path.exists():
        return {}
    return {name: Result.of(kept) for name, kept in json.loads(path.read_text()).items()}


def results_save(path: Path, results: dict[str, Result]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({name: each.plain() for name, each in results.items()}, indent=1))


def report_write(parts: Sequence[Part], results: dict[str, Result]) -> Path:
    """The document and the plots beside it; where it is."""
    known = [(part, results[part.name]) for part in parts if part.name in results]
    pictures = ROOT / "docs" / "images"
    for _, result in known:
        for plot in result.plots:
            (pictures / f"bench-{plot.name}.svg").write_text(plot.svg())
    target = ROOT / "docs" / "benchmarks.md"
    text = [
        _HEAD,
        _machine(),
        _runs(known, len(parts)),
        _missed(known),
        *(_section(part, result) for part, result in known),
    ]
    target.write_text("\n".join(text))
    return target


def shown(row: Row) -> str:
    """A line for the terminal."""
    cells = _cells(row)
    return f"{cells[0]:<72} {cells[1]:>14} p95 {cells[2]:>12}  {cells[4]:>5}  {cells[5]} {cells[6]}"


def _machine() -> str:
    engines = {
        "Docker": ["docker", "version", "--format", "{{.Server.Version}}"],
        "libvirt": ["virsh", "--version"],
    }
    found = [f"{os.cpu_count()} cores", f"Linux {platform.release()}", f"Python {platform.python_version()}"]
    for name, command in engines.items():
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found.append(f"{name} {done.stdout.strip() or 'unknown'}")
    return f"The machine: {', '.join(found)}; guests run without acceleration by the processor.\n"


def _runs(known: list[tuple[Part, Result]], parts: int) -> str:
    """Whether the figures belong together."""
    runs = {result.run for _, result in known}
    minutes = sum(result.took_s for _, result in known) / 60
    if len(runs) == 1 and len(known) == parts:
        return f"All parts are of one run, begun {runs.pop()} UTC, {minutes:.0f} minutes.\n"
    return "The parts are of several runs; beneath each stands when it was measured.\n"


def _missed(known: list[tuple[Part, Result]]) -> str:
    rows = [row for _, result in known for row in result.rows if row.is_met is not None]
    missed = [row.what for row in rows if not row.is_met]
    told = f"Wanted: {len(rows)} figures; reached: {len(rows) - len(missed)}."
    return told + (f" Missed: {'; '.join(missed)}.\n" if missed else "\n")


def _section(part: Part, result: Result) -> str:
    lines = [f"## {part.title} (`./libgo bench {part.name}`)"]
    if part.notes:
        lines += [part.notes.strip(), ""]
    lines += [_line(_COLUMNS), "|" + "---|" * len(_COLUMNS), *(_line(_cells(row)) for row in result.rows)]
    if result.error:
        lines.append(_line((f"**the rest was not measured: {result.error}**", *[""] * 6)))
    lines += ["", *(f"![{plot.title}](images/bench-{plot.name}.svg)\n" for plot in result.plots)]
    noise = ", ".join(f"{row.what} {row.p50:.0f} ms (p95 {row.p95 or 0:.0f})" for row in result.noise)
    lines.append(f"_{result.at} UTC, {result.took_s:.0f} s; load {result.load:.1f}; noise: {noise}_\n")
    return "\n".join(lines)


def _cells(row: Row) -> tuple[str, ...]:
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    verdict = {None: "", True: "reached", False: "**missed**"}[row.is_met]
    p95 = "" if row.p95 is None else _number(row.p95, row.unit)
    return (row.what, _number(row.p50, row.unit), p95, str(row.n), ratio, row.target, verdict)


def _number(amount: float, unit: str) -> str:
    digits = 0 if abs(amount) >= 1000 or amount == int(amount) else 1 if abs(amount) >= 10 else 2
    return f"{amount:,.{digits}f} {unit}".strip()


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "/").replace("\n", " ") for cell in cells) + " |"

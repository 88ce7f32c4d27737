"""Small plots as SVG, readable by light and by dark: how something grows, on two logarithmic axes."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BOTTOM = 640, 300, 64, 40, 190, 44
_COLOURS = ("#206bc4", "#d63939", "#2fb344", "#f76707", "#ae3ec9", "#0ca678", "#868e96")
_STYLE = """text{font:12px system-ui,sans-serif;fill:#495057}.title{font-size:14px;font-weight:600}
line{stroke:#868e96;stroke-opacity:.35}@media(prefers-color-scheme:dark){text{fill:#dee2e6}}"""

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Plot:
    """``lines``: by name, points (how many there are, how much it takes)."""

    name: str
    title: str
    across: str
    up: str
    lines: dict[str, Points]

    def plain(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, kept: dict[str, Any]) -> Plot:
        lines = {name: tuple((x, y) for x, y in points) for name, points in kept["lines"].items()}
        return cls(**{**kept, "lines": lines})

    def svg(self) -> str:
        points = [point for line in self.lines.values() for point in line]
        across = _decades([x for x, _ in points])
        up = _decades([y for _, y in points])

        def place(x: float, y: float) -> tuple[float, float]:
            return (
                _LEFT + (_WIDTH - _LEFT - _RIGHT) * _share(x, across),
                _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * _share(y, up),
            )

        drawn = [f'<text class="title" x="{_LEFT}" y="20">{escape(self.title)}</text>']
        drawn += _axes(self, across, up, place)
        for number, (name, line) in enumerate(self.lines.items()):
            drawn += _line(name, line, number, place)
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">'
        return "\n".join(
            [head, f"<title>{escape(self.title)}</title><style>{_STYLE}</style>", *drawn, "</svg>\n"]
        )


def _decades(values: list[float]) -> tuple[int, int]:
    """The powers of ten around them."""
    known = [max(each, 1e-3) for each in values]
    low, high = math.floor(math.log10(min(known)) + 1e-9), math.ceil(math.log10(max(known)) - 1e-9)
    return low, max(high, low + 1)


def _share(amount: float, decades: tuple[int, int]) -> float:
    return (math.log10(max(amount, 1e-3)) - decades[0]) / (decades[1] - decades[0])


def _axes(plot: Plot, across: tuple[int, int], up: tuple[int, int], place: Any) -> list[str]:
    drawn = []
    for power in range(across[0], across[1] + 1):
        x, low = place(10.0**power, 10.0 ** up[0])
        drawn.append(f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{low:.1f}"/>')
        drawn.append(f'<text x="{x:.1f}" y="{low + 16:.1f}" text-anchor="middle">{10.0**power:g}</text>')
    for power in range(up[0], up[1] + 1):
        left, y = place(10.0 ** across[0], 10.0**power)
        drawn.append(f'<line x1="{left}" y1="{y:.1f}" x2="{_WIDTH - _RIGHT}" y2="{y:.1f}"/>')
        drawn.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:g}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    drawn.append(f'<text x="{middle}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(plot.across)}</text>')
    return [*drawn, f'<text x="8" y="{_TOP - 8}">{escape(plot.up)}</text>']


def _line(name: str, points: Points, number: int, place: Any) -> list[str]:
    colour, places = _COLOURS[number % len(_COLOURS)], [place(*point) for point in points]
    track = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
    top, left = _TOP + 6 + number * 20, _WIDTH - _RIGHT + 14
    legend = f'<rect x="{left}" y="{top - 9}" width="10" height="10" fill="{colour}"/>'
    text = f'<text x="{left + 16}" y="{top}">{escape(name)}</text>'
    return [
        f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{track}"/>',
        *dots,
        legend,
        text,
    ]

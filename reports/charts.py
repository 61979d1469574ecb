"""Line charts as inline SVG: no script, no fonts, no network; colours come from the page's style sheet.

Lines differ by colour and by dashes, so that they can be told apart in print and by everybody.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from itertools import pairwise
from statistics import median
from typing import Final

Points = Sequence[tuple[float, float | None]]
"""(epoch seconds, value); None breaks the line."""

WIDTH, HEIGHT = 720, 190
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 12, 26
DASHES: Final = ("", "7 3", "2 3", "9 3 2 3")
_STEPS_S: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)


def line_chart(
    lines: Mapping[str, Points], shown: Callable[[float], str], *, label: str, top: float | None = None
) -> str:
    """One chart of named lines over time. `shown` writes a value; `top` fixes the upper end. "" without a value."""
    values = [value for points in lines.values() for _, value in points if value is not None]
    times = [at for points in lines.values() for at, _ in points]
    if not values:
        return ""
    low, high = min(times), max(times)
    high = max(high, low + 1.0)
    rungs = ticks(top if top is not None else max(values))
    scale = _Scale(low, high, rungs[-1])
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}" class="chart">']
    for tick in rungs:
        y = scale.y(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">{escape(shown(tick))}</text>')
    parts += _time_axis(scale)
    for index, (name, points) in enumerate(lines.items()):
        dash = DASHES[index % len(DASHES)]
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        drawn = path(points, scale.x, scale.y)
        parts.append(f'<path class="line s{index % 6}" d="{drawn}"{dashes}><title>{escape(name)}</title></path>')
    parts.append("</svg>")
    return "".join(parts)


def legend(names: Sequence[str]) -> str:
    """The lines' names, each with a piece of its line."""
    if len(names) < 2:
        return ""
    parts = ['<div class="legend">']
    for index, name in enumerate(names):
        dash = DASHES[index % len(DASHES)]
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        piece = f'<line class="line s{index % 6}" x1="0" x2="26" y1="5" y2="5"{dashes}/>'
        parts.append(f'<span><svg width="26" height="10">{piece}</svg> {escape(name)}</span>')
    return "".join([*parts, "</div>"])


def path(points: Points, x: Callable[[float], float], y: Callable[[float], float]) -> str:
    """SVG path data: broken at missing values and at gaps of more than four usual steps."""
    steps = [later - earlier for (earlier, _), (later, _) in pairwise(points)]
    gap = 4 * median(steps) if steps else math.inf
    parts: list[str] = []
    before: float | None = None
    pieces: list[list[str]] = []
    for at, value in points:
        if value is None:
            before = None
            continue
        if before is None or at - before > gap:
            pieces.append([])
        pieces[-1].append(f"{x(at):.1f} {y(value):.1f}")
        before = at
    for piece in pieces:
        # A lone point is a short stroke, else it would not be seen.
        drawn = piece if len(piece) > 1 else [piece[0], piece[0]]
        parts.append("M" + "L".join(drawn))
    return "".join(parts)


class _Scale:
    def __init__(self, low: float, high: float, top: float) -> None:
        self.low, self.high, self.top = low, high, top

    def x(self, at: float) -> float:
        return LEFT + (at - self.low) / (self.high - self.low) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - min(value, self.top) / self.top * (HEIGHT - TOP - BOTTOM)


def ticks(highest: float) -> list[float]:
    """Round values from 0 to at least `highest`: four or five of them."""
    if highest <= 0:
        return [0.0, 1.0]
    rough = highest / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    count = math.ceil(highest / step - 1e-9)
    return [step * number for number in range(count + 1)]


def _time_axis(scale: _Scale) -> list[str]:
    span = scale.high - scale.low
    step = next((step for step in _STEPS_S if span / step <= 8), 86_400 * math.ceil(span / 86_400 / 8))
    at = math.ceil(scale.low / step) * step
    parts = []
    while at <= scale.high:
        moment = datetime.fromtimestamp(at, UTC)
        text = f"{moment:%H:%M:%S}" if step < 60 else f"{moment:%H:%M}" if step < 86_400 else f"{moment:%d %b}"
        if step >= 60 and step < 86_400 and moment.hour == moment.minute == 0:
            text = f"{moment:%d %b}"
        x = scale.x(at)
        anchor = "start" if x < LEFT + 16 else "end" if x > WIDTH - RIGHT - 16 else "middle"
        parts.append(
            f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{HEIGHT - BOTTOM}" y2="{HEIGHT - BOTTOM + 4}"/>'
        )
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 8}" text-anchor="{anchor}">{text}</text>')
        at += step
    return parts

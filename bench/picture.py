"""The rates of several cases of a benchmark as an SVG of its own, drawn by what draws the charts of reports."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from bench.result import Result
from reports.charts import BOTTOM, DASHES, HEIGHT, LEFT, RIGHT, TOP, WIDTH, path, ticks

_STYLE = (
    "text{font:12px sans-serif;fill:#555}.grid{stroke:#8884}.line{fill:none;stroke-width:2.5}"
    ".s0{stroke:#0a6e5c}.s1{stroke:#b3541e}.s2{stroke:#4a5fc1}.s3{stroke:#8a4fa3}"
)
_LEGEND = 22


def rates_picture(results: Sequence[Result]) -> str:
    """Rows per second of ours and of what it is compared with, a place per case. Raises ValueError without a rate."""
    lines: dict[str, list[tuple[float, float | None]]] = {}
    for place, result in enumerate(results):
        ceiling = {"ceiling": result.ceiling} if result.ceiling else {}
        for name, figures in {"ours": result.ours, **ceiling, **result.peers}.items():
            lines.setdefault(name, []).append((float(place), figures.get("rows_per_s")))
    rungs = ticks(max(rate for points in lines.values() for _, rate in points if rate is not None))
    step = (WIDTH - LEFT - RIGHT) / max(1, len(results))

    def x(place: float) -> float:
        return LEFT + (place + 0.5) * step

    def y(rate: float) -> float:
        return HEIGHT - BOTTOM - rate / rungs[-1] * (HEIGHT - TOP - BOTTOM)

    title = f"rows per second: {results[0].bench}"
    box = f"0 0 {WIDTH} {HEIGHT + _LEGEND}"
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" role="img" aria-label="{escape(title)}">']
    parts.append(f"<style>{_STYLE}</style>")
    for rung in rungs:
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(rung):.1f}" y2="{y(rung):.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(rung) + 4:.1f}" text-anchor="end">{rung:,.0f}</text>')
    for place, result in enumerate(results):
        parts.append(f'<text x="{x(place):.1f}" y="{HEIGHT - 8}" text-anchor="middle">{escape(result.case)}</text>')
    for index, (name, points) in enumerate(lines.items()):
        dashes = f' stroke-dasharray="{DASHES[index % len(DASHES)]}"'
        parts.append(f'<path class="line s{index % 4}" d="{path(points, x, y)}"{dashes}/>')
        left = LEFT + index * (WIDTH - LEFT - RIGHT) / len(lines)
        height = HEIGHT + _LEGEND / 2
        drawn = f"M{left:.1f} {height}h26"
        parts.append(f'<path class="line s{index % 4}" d="{drawn}"{dashes}/>')
        parts.append(f'<text x="{left + 32:.1f}" y="{height + 4}">{escape(name)}</text>')
    return "".join([*parts, "</svg>\n"])

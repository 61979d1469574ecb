"""A table's heat strip: its chunks in key order, how old each proof is, and where the last look found something else.

A cell that is not proven carries a mark as well as a colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any, Final

from reports.words import age

WIDTH, HEIGHT = 192, 14
AGES: Final = ((3600.0, "h0"), (21_600.0, "h1"), (86_400.0, "h2"), (604_800.0, "h3"))
"""A proof younger than that (seconds) has this class."""


def heat_strip(cells: Sequence[Sequence[Any]]) -> str:
    """SVG of cells [state, age_s, rows]; a dash when there is none."""
    if not cells:
        return '<span class="none">–</span>'
    each = WIDTH / len(cells)
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" class="strip" role="img" aria-label="{escape(_told(cells))}">']
    for index, (state, age_s, rows) in enumerate(cells):
        x = index * each
        kind = cell_class(state, age_s)
        title = f"{state}, {age(age_s)}, {rows:,} rows"
        parts.append(
            f'<rect class="{kind}" x="{x:.2f}" width="{max(each - 0.4, 0.5):.2f}" height="{HEIGHT}">'
            f"<title>{escape(title)}</title></rect>"
        )
        if state == "differs":
            middle = x + each / 2
            parts.append(f'<path class="mark" d="M{middle - 3:.1f} 4l6 6m0 -6l-6 6"/>')
    return "".join([*parts, "</svg>"])


def cell_class(state: str, age_s: float | None) -> str:
    """The style of one cell."""
    if state != "proven" or age_s is None:
        return {"differs": "bad", "undecided": "open"}.get(state, "none")
    return next((name for limit, name in AGES if age_s < limit), "h4")


def _told(cells: Sequence[Sequence[Any]]) -> str:
    proven = sum(cell[0] == "proven" for cell in cells)
    bad = sum(cell[0] == "differs" for cell in cells)
    return f"{proven} of {len(cells)} parts proven" + (f", {bad} differ" if bad else "")

"""What a benchmark reports: one result per case, as a line of JSON or as text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

Figures = Mapping[str, float]
"""Measurements by name, e.g. `rows_per_s`."""


@dataclass(frozen=True, slots=True)
class Result:
    """One case of a benchmark. Ratios are ours divided by the other's (for times, the other's divided by ours)."""

    bench: str
    case: str
    rows: int
    ours: Figures
    ceiling: Figures = field(default_factory=dict)
    """What the servers can do without us, in the same run; empty where there is no such limit."""
    peers: Mapping[str, Figures] = field(default_factory=dict)
    """Other programs that are installed, in the same run."""
    ratios: Figures = field(default_factory=dict)
    """By the name of the peer, and `ceiling`."""
    correct: bool = True
    """Whether what was measured also gave the right answer."""

    def to_json(self) -> str:
        """One JSON object on one line."""
        return json.dumps(
            {
                "bench": self.bench,
                "case": self.case,
                "rows": self.rows,
                "ours": _rounded(self.ours),
                "ceiling": _rounded(self.ceiling),
                "peers": {name: _rounded(figures) for name, figures in self.peers.items()},
                "ratios": {name: round(ratio, 3) for name, ratio in self.ratios.items()},
                "correct": self.correct,
            }
        )

    def to_text(self) -> str:
        """A few words for people."""
        lines = [f"{self.bench} · {self.case} · {self.rows:,} rows{'' if self.correct else ' · WRONG RESULT'}"]
        everyone = {"ours": self.ours, **({"ceiling": self.ceiling} if self.ceiling else {}), **self.peers}
        for name, figures in everyone.items():
            shown = ", ".join(f"{figure} {_shown(value)}" for figure, value in figures.items())
            ratio = f"   (ours × {self.ratios[name]:,.2f})" if name in self.ratios else ""
            lines.append(f"  {name:<22}{shown}{ratio}")
        return "\n".join(lines)


def ratios_of(rate: float, ceiling: Figures, peers: Mapping[str, Figures]) -> dict[str, float]:
    """Our rows per second divided by the ceiling's and by those of every peer."""
    others = {"ceiling": ceiling, **peers} if ceiling else peers
    return {name: rate / figures["rows_per_s"] for name, figures in others.items()}


def _shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.2f}"


def _rounded(figures: Figures) -> dict[str, float]:
    return {name: round(value, 3 if abs(value) < 100 else 0) for name, value in figures.items()}

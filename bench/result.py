"""What a benchmark reports: one result per case, as a line of JSON or as text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Result:
    """One case of a benchmark. Figures are by name, e.g. `rows_per_s`; ratios are ours divided by the other's."""

    bench: str
    case: str
    rows: int
    ours: Mapping[str, float]
    peers: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    ratios: Mapping[str, float] = field(default_factory=dict)
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
                "peers": {name: _rounded(figures) for name, figures in self.peers.items()},
                "ratios": {name: round(ratio, 3) for name, ratio in self.ratios.items()},
                "correct": self.correct,
            }
        )

    def to_text(self) -> str:
        """A few words for people."""
        lines = [f"{self.bench} · {self.case} · {self.rows:,} rows{'' if self.correct else ' · WRONG RESULT'}"]
        everyone = {"ours": self.ours, **self.peers}
        for name, figures in everyone.items():
            shown = ", ".join(f"{figure} {value:,.0f}" for figure, value in figures.items())
            ratio = f"   (ours × {self.ratios[name]:,.2f})" if name in self.ratios else ""
            lines.append(f"  {name:<22}{shown}{ratio}")
        return "\n".join(lines)


def _rounded(figures: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 3 if abs(value) < 100 else 0) for name, value in figures.items()}

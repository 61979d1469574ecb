"""Spans: which rows of a plan are looked at together. The whole table, or a range of a whole-number key column.

A span covers both sides: rows that only the store has lie in one too, as the outermost spans are open. No I/O.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from transforms.names import quoted, quoted_mysql
from transforms.plan import TablePlan

EVERYTHING_ON_SOURCE = "1 = 1"
EVERYTHING_IN_STORE = "true"


@dataclass(frozen=True, slots=True)
class Span:
    """`column` is a target column with whole numbers on both sides, None for the whole table; ends are inclusive."""

    column: str | None = None
    low: int | None = None
    """None: from the lowest value on."""
    high: int | None = None
    """None: up to the highest value."""

    @property
    def whole(self) -> bool:
        """Whether it holds every row of the table."""
        return self.column is None or (self.low is None and self.high is None)

    def document(self) -> dict[str, Any]:
        """JSON form; {} for the whole table."""
        return {} if self.column is None else {"column": self.column, "low": self.low, "high": self.high}

    @staticmethod
    def of(document: Mapping[str, Any]) -> Span:
        """The span that `document` made."""
        return Span(document.get("column"), document.get("low"), document.get("high"))

    def __str__(self) -> str:
        if self.whole:
            return "the whole table"
        if self.low is None:
            return f"{self.column} up to {self.high}"
        return f"{self.column} from {self.low}" + ("" if self.high is None else f" to {self.high}")

    def conditions(self, plan: TablePlan) -> tuple[str, str]:
        """SQL conditions of its rows on source and store."""
        if self.column is None or self.whole:
            return EVERYTHING_ON_SOURCE, EVERYTHING_IN_STORE
        column = next(column for column in plan.columns if column.target.name == self.column)
        assert column.source is not None
        return (
            self._condition(quoted_mysql(plan.source.columns[column.source].name)),
            self._condition(quoted(self.column)),
        )

    def _condition(self, name: str) -> str:
        if self.low is None:
            return f"{name} <= {self.high}"
        return f"{name} >= {self.low}" if self.high is None else f"{name} BETWEEN {self.low} AND {self.high}"

    def holds(self, value: int) -> bool:
        """Whether a value of the column lies in it."""
        return (self.low is None or self.low <= value) and (self.high is None or value <= self.high)

    def clipped(self, low: int, high: int) -> tuple[int, int]:
        """The part of a range of the column that lies in it."""
        return low if self.low is None else max(low, self.low), high if self.high is None else min(high, self.high)

    def halves(self, low: int, high: int) -> tuple[Span, Span] | None:
        """Two spans that cover it, given the lowest and highest value in it; None when it has one value only."""
        if self.column is None or low >= high:
            return None
        middle = (low + high) // 2
        return Span(self.column, self.low, middle), Span(self.column, middle + 1, self.high)


def between(column: str, starts: Sequence[int]) -> tuple[Span, ...]:
    """Spans that begin at these values (rising, without the first span's, which is open) and cover everything."""
    edges: list[int | None] = [None, *starts, None]
    return tuple(Span(column, low, None if high is None else high - 1) for low, high in pairwise(edges))

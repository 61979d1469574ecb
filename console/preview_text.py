"""A preview as text and as JSON values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from model.rows import Field, Row
from model.tables import TableDef
from transforms.preview import PreviewedColumn, PreviewedRow, Returned

LONGEST = 60
Shown = tuple[PreviewedRow, tuple[Returned, ...], str]
"""A row in one target, what would come back of it, and why that is not known."""


def as_text(source: TableDef, row: Row, targets: Sequence[Shown]) -> list[str]:
    """The lines of one source row."""
    lines = [f"{source.id}"]
    lines += _table([(column.name, value_text(value)) for column, value in zip(source.columns, row, strict=True)])
    for seen, back, problem in targets:
        lines += ["", f"→ {seen.plan.target}  {'' if seen.taken else f'no row: {seen.why}'}".rstrip()]
        if seen.taken:
            lines += _table([(column.target, value_text(column.value), _steps(column)) for column in seen.columns])
            lines += [f"  ← {problem}"] if problem else ["  ← what would come back"]
            lines += _table([_back(column) for column in back], indent=4)
    return [*lines, ""]


def _steps(column: PreviewedColumn) -> str:
    if not column.steps:
        return "" if not column.reads or column.reads[0][0] == column.target else f"of {column.reads[0][0]}"
    start = ", ".join(f"{name} {value_text(value)}" for name, value in column.reads)
    steps = [f"{step.what}: {value_text(step.value)}" for step in column.steps]
    return " → ".join([start, *steps] if start else steps)


def _back(column: Returned) -> tuple[str, str, str]:
    if column.kept:
        return column.column, "(kept)", column.reason
    mark = "" if column.same else f"  was {value_text(column.before)}"
    word = "" if column.same and str(column.way) == "exact" else str(column.way)
    return column.column, value_text(column.after) + mark, ": ".join(part for part in (word, column.reason) if part)


def _table(rows: Sequence[tuple[str, ...]], indent: int = 2) -> list[str]:
    widths = [max((len(row[place]) for row in rows), default=0) for place in range(len(rows[0]) if rows else 0)]
    return [
        (" " * indent + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))).rstrip()
        for row in rows
    ]


def value_text(value: Field) -> str:
    """A value for people: NULL, or its text, shortened."""
    if not isinstance(value, bytes):
        return "NULL" if value is None else "(default)"
    text = value.decode(errors="replace")
    shown = text if text and text.isprintable() and text == text.strip() else repr(text)
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}…"


def as_json(source: TableDef, row: Row, targets: Sequence[Shown]) -> dict[str, Any]:
    """The same as JSON values."""
    return {
        "source": {column.name: _plain(value) for column, value in zip(source.columns, row, strict=True)},
        "targets": [
            {
                "plan": seen.plan.id,
                "store": seen.plan.target.store,
                "table": f"{seen.plan.target.schema}.{seen.plan.target.name}",
                "taken": seen.taken,
                "why": seen.why,
                "row": {column.target: _plain(column.value) for column in seen.columns} if seen.taken else None,
                "columns": [
                    {
                        "target": column.target,
                        "reads": {name: _plain(value) for name, value in column.reads},
                        "steps": [{"what": step.what, "value": _plain(step.value)} for step in column.steps],
                        "value": _plain(column.value),
                        "refused": column.refused or None,
                    }
                    for column in seen.columns
                ],
                "back": [
                    {
                        "column": column.column,
                        "before": _plain(column.before),
                        "after": _plain(column.after),
                        "same": column.same,
                        "kept": column.kept,
                        "way": str(column.way),
                        "reason": column.reason,
                    }
                    for column in back
                ],
                "back_problem": problem or None,
            }
            for seen, back, problem in targets
        ],
    }


def _plain(value: Field) -> str | None:
    return value.decode(errors="replace") if isinstance(value, bytes) else None

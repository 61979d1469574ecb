"""Which rows of a target table are those of one plan: all, or in a shared table the ones with its constants."""

from __future__ import annotations

from transforms.names import literal, quoted
from transforms.plan import TablePlan

ALL = "TRUE"


def own_rows(plan: TablePlan, alias: str = "") -> str:
    """The condition in PostgreSQL's SQL, over columns of `alias` when one is given."""
    prefix = f"{alias}." if alias else ""
    parts = []
    for index in plan.told_by:
        column = plan.columns[index]
        assert isinstance(column.constant, bytes)
        value = literal(column.constant.decode())
        parts.append(f"{prefix}{quoted(column.target.name)} = {value}::{column.target.type}")
    return " AND ".join(parts) or ALL

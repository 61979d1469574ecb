"""A table plan in words, for people: where each column comes from, what happens to it, and what is lost.

Fits 100 columns of a terminal; longer texts are wrapped under their own column.
"""

from __future__ import annotations

import re
import textwrap
from typing import Any

from model.rows import ABSENT
from transforms.plan import ColumnKind, ColumnPlan, SoftDelete, TablePlan
from transforms.reverse import ReversePlan, Reversibility
from transforms.target import TargetColumn

WIDTH = 100


def describe(plan: TablePlan, back: ReversePlan | None = None) -> str:
    """The plan, and what its way back does, as text without a final newline."""
    target = plan.target
    lines = [f"{plan.source.id}  →  {target.store}:{target.schema}.{target.name}", ""]
    lines += _columns(plan)
    lines.append("")
    lines += _entry("key", f"({', '.join(target.key)})" if target.key else "none: rows are found by all their values")
    if left_out := _left_out(plan):
        lines += _entry("left out", ", ".join(left_out))
    where = plan.deleted.others if plan.deleted else plan.where.text if plan.where else None
    if where is not None:
        lines += _entry("where", where)
    if plan.deleted is not None:
        lines += _entry("deleted", f"when {plan.deleted.text}; {_marked(plan, plan.deleted)}")
    for index in target.indexes:
        kind = "unique" if index.unique else index.method if index.method != "btree" else "index"
        lines += _entry(kind, f"{index.name} ({', '.join(part.replace(chr(34), '') for part in index.parts)})")
    for key in target.foreign_keys:
        lines += _entry(
            "reference",
            f"{key.name} ({', '.join(key.columns)}) → {key.ref_table} ({', '.join(key.ref_columns)})"
            f" on delete {key.on_delete.lower()}, on update {key.on_update.lower()}",
        )
    for check in target.checks:
        lines += _entry("check", check.expression)
    for note in plan.notes:
        lines += _entry("note", note)
    if back is not None:
        lines += ["", *_way_back(back)]
    return "\n".join(line.rstrip() for line in lines)


def explained(plan: TablePlan, back: ReversePlan) -> dict[str, Any]:
    """The same as plain JSON values."""
    written = {column.target.name: column for column in plan.columns}
    return {
        "id": plan.id,
        "description": describe(plan, back),
        "columns": [
            {
                "source": _origin(plan, written.get(target.name)),
                "target": target.name,
                "type": target.type,
                "nullable": target.nullable,
                "how": _how(target, written.get(target.name)),
            }
            for target in plan.target.columns
        ],
        "key": list(plan.target.key),
        "where": plan.where.text if plan.where else None,
        "delete_when": plan.deleted.text if plan.deleted else None,
        "notes": list(plan.notes),
        "way_back": str(back.way),
        "verdicts": [{"column": one.column, "way": str(one.way), "reason": one.reason} for one in back.verdicts],
    }


def _marked(plan: TablePlan, deleted: SoftDelete) -> str:
    if not deleted.marks:
        return "a delete in the store deletes the row in the source"
    marks = [
        f"{plan.source.columns[ordinal].name} to {'the time' if value is ABSENT else _shown(value)}"
        for ordinal, value in deleted.marks
    ]
    return f"a delete in the store sets {', '.join(marks)} in the source"


def _way_back(back: ReversePlan) -> list[str]:
    """What comes back of each column: exact ones in one line, the others with their reasons."""
    lines = [f"the way back: {back.way}"]
    plain = [one.column for one in back.verdicts if one.way is Reversibility.EXACT and one.column and not one.reason]
    if plain:
        lines += _entry("  exact", ", ".join(plain))
    for way in Reversibility:
        for one in back.verdicts:
            if one.way is way and (one.reason or way is not Reversibility.EXACT):
                label = "kept" if way is Reversibility.EXACT_WITH_KEPT_VALUE else str(way)
                lines += _entry(f"  {label}", f"{one.column}: {one.reason}" if one.column else one.reason)
    return lines


def _columns(plan: TablePlan) -> list[str]:
    written = {column.target.name: column for column in plan.columns}
    rows = [("SOURCE", "TARGET", "TYPE", "HOW")]
    for target in plan.target.columns:
        column = written.get(target.name)
        rows.append((_origin(plan, column), target.name, _type(target), _how(target, column)))
    widths = [min(max(len(row[place]) for row in rows), limit) for place, limit in enumerate((24, 24, 32))]
    lines: list[str] = []
    for row in rows:
        head = "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False))
        room = max(WIDTH - sum(widths) - 6, 20)
        first, *rest = textwrap.wrap(row[3], room) or [""]
        lines.append(f"{head}  {first}")
        lines += [" " * (sum(widths) + 6) + more for more in rest]
    return lines


def _left_out(plan: TablePlan) -> list[str]:
    """Source columns that have no column of their own in the store; generated ones may be generated there."""
    taken = {column.source for column in plan.columns if column.source is not None}
    taken.update(
        at for column in plan.columns if column.expression and column.one_way for at in column.expression.columns
    )
    generates = any(column.generated is not None for column in plan.target.columns)
    return [
        column.name
        for place, column in enumerate(plan.source.columns)
        if place not in taken and not (column.generated and generates)
    ]


def _origin(plan: TablePlan, column: ColumnPlan | None) -> str:
    if column is not None and column.expression is not None:
        return _several([plan.source.columns[ordinal].name for ordinal in column.expression.columns])
    if column is None or column.source is None:
        return "–"
    return plan.source.columns[column.source].name


def _several(names: list[str]) -> str:
    text = ", ".join(names) or "–"
    return text if len(text) <= 24 else f"{names[0][:18]}, …"


def _short(text: str) -> str:
    """The type or default as people write it: varchar(20), timestamptz(0)."""
    text = re.sub(r"timestamp(\(\d\))? with time zone", r"timestamptz\1", text.replace('"', ""))
    return re.sub(r"(time(?:stamp)?(?:\(\d\))?) without time zone", r"\1", text).replace("character varying", "varchar")


def _type(target: TargetColumn) -> str:
    return _short(target.type) + ("" if target.nullable else " not null")


def _how(target: TargetColumn, column: ColumnPlan | None) -> str:
    parts: list[str] = []
    if target.lookup is not None:
        parts.append(f"looked up: {target.lookup.text}")
    elif column is None:
        parts.append(f"generated: {target.generated}".replace('"', ""))
    else:
        if column.kind is ColumnKind.CONSTANT and column.expression is None:
            parts.append(f"always {_shown(column.constant)}")
        if column.expression is not None:
            parts.append(column.expression.text)
        if column.kind is ColumnKind.MAP:
            pairs = [f"{_shown(key)} → {_shown(value)}" for key, value in (column.mapping or {}).items()]
            pairs.append("else refused" if column.strict else f"else {_shown(column.otherwise)}")
            parts.append("map " + ", ".join(pairs))
        parts += [cast.name + ("" if cast.reversible else " (one way)") for cast in column.casts]
    if target.identity:
        parts.append("counts by itself")
    elif target.default is not None:
        parts.append(f"default {_short(target.default.removesuffix(f'::{target.type}'))}")
    return "; ".join(parts)


def _shown(value: object) -> str:
    return "NULL" if value is None else repr(value.decode(errors="replace")) if isinstance(value, bytes) else str(value)


def _entry(label: str, text: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=f"{label:<10}", subsequent_indent=" " * 10, break_on_hyphens=False
    ) or [label]

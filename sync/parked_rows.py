"""The stored form of a parked change: the key under which others wait for it, and the source row as JSON.

Pure. Keys and values are text forms; what cannot be stored as PostgreSQL text is escaped the same way everywhere, so
that keys from the store and keys of new changes compare.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, TypeAlias

from model.errors import ValueRefused
from model.rows import ABSENT, Field, Op, Row, RowChange, Undecodable
from transforms.plan import TablePlan

Key: TypeAlias = tuple[str | None, ...]


def row_key(plan: TablePlan, row: Row) -> Key:
    """The target key of a source row; the source's value where the key itself is refused.

    The whole source row for a table without a key: identical rows are refused for the same reason.
    """
    if not plan.key:
        return tuple(_storable(value) for value in row)
    return fields_text(plan, plan.key, row)


def fields_text(plan: TablePlan, columns: Iterable[int], row: Row) -> Key:
    """The target's values of some columns of a plan; the source's value where the value itself is refused."""
    found: list[str | None] = []
    for index in columns:
        column = plan.columns[index]
        try:
            value = column.value(row)
        except ValueRefused:
            value = row[column.source] if column.source is not None else None
        found.append(_storable(value))
    return tuple(found)


def keys_of(plan: TablePlan, change: RowChange) -> tuple[Key, ...]:
    """Every key that a change concerns: one, or two when it moves the row; the old one first."""
    found: list[Key] = []
    if change.before is not None:
        found.append(row_key(plan, change.before))
    if change.after is not None:
        after = overlaid(change.before, change.after) if change.before is not None else change.after
        key = row_key(plan, after)
        if key not in found:
            found.append(key)
    return tuple(found)


def require_text(plan: TablePlan, change: RowChange) -> None:
    """Raises ValueRefused when the target row would need a field that is no text."""
    wanted = {column.source for column in plan.columns if column.source is not None}
    wanted |= {ordinal for column in plan.columns if column.expression for ordinal in column.expression.columns}
    wanted |= set(plan.where.columns) if plan.where else set()
    key = {plan.columns[index].source for index in plan.key} if plan.key else wanted
    for row, needed in ((change.before, key), (change.after, wanted)):
        for ordinal, value in enumerate(row or ()):
            if isinstance(value, Undecodable) and ordinal in needed:
                column = plan.source.columns[ordinal]
                raise ValueRefused(
                    f"the bytes {value.decode()} are no text of character set {column.charset}",
                    hint="Mend the row in the source, or map the column to bytea.",
                    table=str(plan.source.id),
                    column=column.name,
                )


def overlaid(base: Row, change: Row) -> Row:
    """`change` with the fields that it lacks taken from `base`."""
    return tuple(old if new is ABSENT else new for old, new in zip(base, change, strict=True))


def row_json(plan: TablePlan, row: Row) -> dict[str, Any]:
    """Column → text form, null, or `{"undecodable": "\\x…"}`; what the image lacks is left out."""
    names = (column.name for column in plan.source.columns)
    return {name: _json(value) for name, value in zip(names, row, strict=True) if value is not ABSENT}


def to_payload(plan: TablePlan, change: RowChange) -> bytes:
    """INSERT: the new row; DELETE: the old one; UPDATE: `{"before": row, "after": row}`."""
    if change.op is Op.UPDATE:
        assert change.before is not None and change.after is not None
        found: dict[str, Any] = {"before": row_json(plan, change.before), "after": row_json(plan, change.after)}
    else:
        row = change.after if change.op is Op.INSERT else change.before
        assert row is not None
        found = row_json(plan, row)
    return json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode()


def from_payload(plan: TablePlan, op: Op, payload: bytes) -> RowChange:
    """The change as it was; columns that the source table did not have then are absent."""
    found = json.loads(payload)
    table = plan.source.id
    if op is Op.UPDATE:
        return RowChange(op, table, _row(plan, found["before"]), _row(plan, found["after"]))
    row = _row(plan, found)
    return RowChange(op, table, None, row) if op is Op.INSERT else RowChange(op, table, row, None)


def _row(plan: TablePlan, found: dict[str, Any]) -> Row:
    fields: list[Field] = []
    for column in plan.source.columns:
        value = found.get(column.name)
        if isinstance(value, dict):
            fields.append(Undecodable(value["undecodable"].encode()))
            continue
        fields.append(value.encode() if value is not None else None if column.name in found else ABSENT)
    return tuple(fields)


def _json(value: Field) -> str | dict[str, str] | None:
    return {"undecodable": value.decode()} if isinstance(value, Undecodable) else _text(value)


def _text(value: Field) -> str | None:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else None


def _storable(value: Field) -> str | None:
    return None if (text := _text(value)) is None else storable(text)


def storable(text: str) -> str:
    """Without what PostgreSQL's text and jsonb cannot hold."""
    return text.replace("\x00", "\\u0000")

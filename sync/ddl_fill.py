"""The value that rows which are there get in a column that the source adds."""

from __future__ import annotations

import time
from typing import Final

from model.errors import ValueRefused
from model.rows import Field
from model.tables import ColumnDef, DefaultKind
from transforms.names import literal
from transforms.plan import ColumnPlan
from transforms.source_types import family

_ZEROS: Final = {
    "integer": "0", "float": "0.0", "text": "", "date": "0000-00-00", "json": "null",
    "uuid": "00000000-0000-0000-0000-000000000000",
}  # fmt: skip
"""What MySQL and MariaDB put into a NOT NULL column without a default, by family (manuals, "Data Type Defaults")."""


class UnknownFill(ValueError):
    """The value differs from row to row, or depends on what the binlog does not tell."""


def fill_sql(column: ColumnDef, plan: ColumnPlan, moment: int | None) -> str | None:
    """The value as PostgreSQL SQL; None is NULL.

    `moment`: when the statement ran, in seconds since the epoch; None when the rows got their values at other times.
    Raises UnknownFill with the reason.
    """
    if column.auto_increment:
        raise UnknownFill("the source has numbered the rows")
    if column.generated:
        raise UnknownFill("the source computes its values")
    match column.default_kind:
        case DefaultKind.NULL:
            return None
        case DefaultKind.LITERAL:
            if plan.target.default is None:
                raise UnknownFill(f"the default {column.default!r} has no counterpart in the store")
            return plan.target.default
        case DefaultKind.NOW:
            return _converted(plan, _moment(column, moment))
        case DefaultKind.EXPRESSION:
            raise UnknownFill(f"the default {column.default} may give each row a value of its own")
        case DefaultKind.NONE:
            return None if column.nullable else _converted(plan, _zero(column))


def _moment(column: ColumnDef, moment: int | None) -> bytes:
    if moment is None or column.type != "timestamp" or column.scale:
        raise UnknownFill("the default is the time at which the source ran the statement")
    return time.strftime("%Y-%m-%d %H:%M:%S+00", time.gmtime(moment)).encode()


def _zero(column: ColumnDef) -> bytes:
    kind = family(column)
    scale = column.scale or 0
    fraction = "." + "0" * scale if scale else ""
    match kind:
        case "decimal":
            text = f"0{fraction}"
        case "bit":
            text = "0" * (column.length or 1)
        case "binary":
            text = "\\x" + "00" * (column.length or 0 if column.type == "binary" else 0)
        case "enum":
            text = column.labels[0]
        case "set":
            text = "{}"
        case "datetime":
            text = f"0000-00-00 00:00:00{fraction}"
        case "timestamp":
            text = f"0000-00-00 00:00:00{fraction}+00"
        case "time":
            text = f"00:00:00{fraction}"
        case _ if kind in _ZEROS:
            text = _ZEROS[kind]
        case _:
            raise UnknownFill(f"a {column.column_type} that must have a value has no default")
    return text.encode()


def _converted(plan: ColumnPlan, field: Field) -> str | None:
    try:
        for cast in plan.casts:
            field = cast.convert(field)
    except ValueRefused as error:
        raise UnknownFill(str(error)) from error
    return f"{literal(field.decode())}::{plan.target.type}" if isinstance(field, bytes) else None

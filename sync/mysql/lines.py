"""Row events straight into lines that COPY takes, for plans that only copy columns: the applier's fast way.

Gives what `decode.TableDecoder` and `TablePlan.project` and COPY's escapes would give, without an object per value. It
never decides: a value that a cast refuses raises, and the caller takes the slow way for that event.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from model.rows import ABSENT
from sync.mysql.decode import shape_of
from sync.mysql.forms import FieldForm
from sync.mysql.guards import ALWAYS, IF_BACKSLASH, IF_LONGER, IF_NUL, IF_ODD_DATE, NEVER
from sync.mysql.kernel import LineColumn, RowReader
from sync.mysql.layout import forms_of
from sync.mysql.long_values import LONG_BYTES, Line
from sync.mysql.table_map import TableMap
from transforms.plan import Cast, ColumnKind, ColumnPlan, TablePlan


class RowLines(NamedTuple):
    """The rows of one event in order, in lists of one length; a list is empty where such rows have no such side.

    A tuple, not a dataclass: one is made per event and plan on the hot path.
    """

    old_keys: list[bytes]
    new_keys: list[bytes]
    lines: list[Line]
    moved: list[bool] = []  # noqa: RUF012 (nobody changes it)
    """UPDATE of a plan with other unique indexes: whether one of their values changed."""

    @property
    def rows(self) -> int:
        """Their number."""
        return len(self.old_keys or self.new_keys)


_GUARDS: Final = {
    "nul_quarantine": IF_NUL,
    "nul_strip": IF_NUL,
    "jsonb_nul_quarantine": IF_BACKSLASH,
    "jsonb_nul_strip": IF_BACKSLASH,
    "zero_date_infinity": IF_ODD_DATE,
    "zero_date_null": IF_ODD_DATE,
    "zero_date_quarantine": IF_ODD_DATE,
    "real": NEVER,
}
"""Per cast the values that it may change or refuse; casts that are not here see every value."""
_MAX_CHARACTERS: Final = re.compile(r"max_characters\((\d+)\)")


def guard_of(casts: Iterable[Cast]) -> tuple[int, int]:
    """Bits and byte limit of the values that the casts must see.

    A cast that changes what a later one sees is itself called only for values that it may change, so the bits add up.
    """
    guard, limit = NEVER, 1 << 62
    for cast in casts:
        longest = _MAX_CHARACTERS.fullmatch(cast.name)
        if longest:
            # Bytes are never fewer than characters.
            guard |= IF_LONGER
            limit = min(limit, int(longest[1]))
        else:
            guard |= _GUARDS.get(cast.name, ALWAYS)
    return guard, limit


def is_direct(plan: TablePlan) -> bool:
    """Whether a plan can be decoded into lines: no filter, every column copied or constant."""
    return plan.where is None and all(
        column.kind is ColumnKind.COPY or (column.kind is ColumnKind.CONSTANT and column.constant is not ABSENT)
        for column in plan.columns
    )


class LineDecoder:
    """Decodes the row events that follow one table map into lines for one plan. One thread at a time."""

    def __init__(self, plan: TablePlan, table_map: TableMap, long_bytes: int = LONG_BYTES) -> None:
        """Check the map against the plan's source table. Raises UndecodableRow, Refused; ValueError when not direct."""
        if not is_direct(plan):
            raise ValueError(f"{plan.id} is not made of copied columns alone")
        self.plan = plan
        table = plan.source
        forms = forms_of(table, table_map)
        self._reader = RowReader(str(table.id), [column.name for column in table.columns], forms)
        uniques = {plan.columns[index].source for columns in plan.uniques for index in columns}
        self._reader.aim(
            [line_column(column, forms) for column in plan.columns],
            list(plan.key),
            sorted(source for source in uniques if source is not None),
            long_bytes,
        )

    def decode(self, event_type: int, body: bytes) -> RowLines | None:
        r"""Rows of an event: their keys before, keys after and lines after.

        A line has the plan's columns in order as COPY's text format wants them: escaped, joined by tabs, `\N` for NULL,
        no newline; one with a long value is a LongLine. A key has the key columns in the same form, in the order of
        `plan.key`; of a keyless plan it is the whole line. INSERT has no keys before, DELETE neither keys nor lines
        after; an UPDATE that changes the key has two keys that differ. Keys and lines are made after the casts, so
        equal keys are equal target keys.

        Returns None when the image lacks a column that is needed (MINIMAL row images): use TableDecoder for this event.
        Raises ValueRefused (table, column, row) when any value of the event is refused: TableDecoder and
        `TablePlan.project` then tell which rows. Raises UndecodableRow and UnsupportedChange as TableDecoder does.
        """
        extended, before, after = shape_of(event_type, self.plan.source)
        found = self._reader.lines(body, extended, before, after)
        return None if found is None else RowLines._make(found)


def line_decoder(plan: TablePlan, table_map: TableMap) -> LineDecoder | None:
    """The decoder of a plan's lines; None for a plan that is made of more than copied columns."""
    return LineDecoder(plan, table_map) if is_direct(plan) else None


def line_column(column: ColumnPlan, forms: list[FieldForm]) -> LineColumn:
    """How a target column of a direct plan is written; `forms` are those of the source's columns."""
    if column.kind is ColumnKind.CONSTANT:
        constant = column.constant
        return LineColumn(-1, None, constant=constant if isinstance(constant, bytes) else None)
    assert column.source is not None
    guard, limit = guard_of(column.casts)
    if [cast.name for cast in column.casts] == ["nul_quarantine"]:
        # The form itself refuses NUL on the way to COPY.
        guard = NEVER
    return LineColumn(column.source, forms[column.source], tuple(cast.convert for cast in column.casts), guard, limit)

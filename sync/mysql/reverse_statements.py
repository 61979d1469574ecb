"""SQL of the reverse stream for one inverse plan: the only place that words its statements on the source's tables.

Rows are neutral forms in the order of `plan.columns`. Every UPDATE and DELETE names the whole old row, so that a row
which is not as the store last saw it is not touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from model.rows import ABSENT, Field, Row
from model.tables import ColumnDef
from stores.mysql import ServerInfo
from sync.mysql.literals import quoted_name
from sync.mysql.reverse_literals import column_sql
from sync.mysql.textform import from_select, select_expression
from transforms.reverse import ReversePlan

ANOTHER_ROW = 1690
"""The error of an INSERT that would complete a row with another key."""


class ReverseStatements:
    """Statements of one plan."""

    def __init__(self, plan: ReversePlan, info: ServerInfo) -> None:
        self.plan = plan
        self._table = quoted_name(plan.source.id.schema, plan.source.id.name).encode()
        self._columns = tuple(column_sql(item.column, mariadb=info.mariadb) for item in plan.columns)
        self._compared = tuple(index for index, item in enumerate(plan.columns) if item.compared)
        self._always = tuple(index for index, item in enumerate(plan.columns) if item.always_set)
        filled = [item for item in plan.kept if item.insert is not ABSENT and item.insert is not None]
        names = [column.name for column in self._columns] + [quoted_name(item.column.name).encode() for item in filled]
        self._filled = b"".join(
            b", " + column_sql(item.column, mariadb=info.mariadb).literal(item.insert)  # type: ignore[arg-type]
            for item in filled
        )
        self._insert = b"INSERT INTO %b (%b) VALUES " % (self._table, b", ".join(names))
        self._held = [
            quoted_name(item.column.name).encode() + b" = " + quoted_name(item.column.name).encode()
            for item in plan.kept
            if item.hold
        ]
        self._merge = b""
        if plan.shared:
            pairs = [_same(self._columns[index].name) for index in plan.key]
            pairs += [
                column.name + b" = VALUES(" + column.name + b")"
                for index, column in enumerate(self._columns)
                if index not in plan.key
            ]
            self._merge = b" ON DUPLICATE KEY UPDATE " + b", ".join([*pairs, *self._held])
        deleted = plan.plan.deleted
        marks = deleted.marks if deleted else ()
        self._marks = b", ".join(_mark(plan.source.columns[at], value, info) for at, value in marks)
        self._deleted = deleted.mysql.encode() if deleted and plan.key else b""
        self._guard = b" AND (" + plan.guard.mysql.encode() + b")" if plan.guard else b""
        self._limit = b"" if plan.key else b" LIMIT 1"
        self._select = "SELECT " + ", ".join(select_expression(item.column, info) for item in plan.columns)
        self._readers = tuple(from_select(item.column) for item in plan.columns)

    def values(self, row: Row) -> bytes:
        """One row of an INSERT. Raises ValueRefused."""
        return b"(" + b", ".join(map(self._written, range(len(row)), row)) + self._filled + b")"

    def insert(self, rows: Iterable[bytes]) -> bytes:
        """INSERT of rows made by `values`; where several plans share the table it completes rows that are there."""
        return self._insert + b", ".join(rows) + self._merge

    def clear(self, row: Row) -> bytes:
        """DELETE of the row that the application has marked as deleted and that a new one takes the key of."""
        return b"DELETE FROM %b WHERE %b AND (%b)" % (self._table, self._found_by(row), self._deleted)

    @property
    def clears(self) -> bool:
        """Whether a row marked as deleted may be in the way of a new one."""
        return bool(self._deleted)

    def update(self, old: Row, new: Row, changed: Sequence[int]) -> bytes:
        """UPDATE of one row: only what changed is set. Raises ValueRefused."""
        indexes = sorted({*changed, *self._always})
        pairs = [self._columns[index].name + b" = " + self._written(index, new[index]) for index in indexes]
        pairs += self._held
        if not pairs:
            # Nothing to set: the row must still be there as the store knows it.
            name = self._columns[self.plan.key[0] if self.plan.key else 0].name
            pairs = [name + b" = " + name]
        return b"UPDATE %b SET %b WHERE %b" % (self._table, b", ".join(pairs), self._is(old))

    def delete(self, old: Row) -> bytes:
        """DELETE of one row, or the mark that stands for it."""
        if self._marks:
            return b"UPDATE %b SET %b WHERE %b" % (self._table, b", ".join([*self._held, self._marks]), self._is(old))
        return b"DELETE FROM %b WHERE %b" % (self._table, self._is(old))

    def delete_all(self) -> bytes:
        """DELETE of every row that belongs to the plan: a TRUNCATE would commit the transaction."""
        where = self.plan.plan.where
        all_rows = b" WHERE " + where.mysql.encode() if where else b""
        if self._marks:
            return b"UPDATE " + self._table + b" SET " + b", ".join([*self._held, self._marks]) + all_rows
        return b"DELETE FROM " + self._table + all_rows

    def read(self, row: Row) -> bytes:
        """SELECT of the row with the key of `row`, to say what was found instead."""
        table, where = self._table, self._found_by(row)
        return self._select.encode() + b" FROM " + table + b" WHERE " + where + b" LIMIT 1"

    def fields(self, raw: Sequence[bytes | None]) -> Row:
        """What `read` selected as neutral forms."""
        return tuple(reader(value) for reader, value in zip(self._readers, raw, strict=True))

    def _written(self, index: int, field: Field) -> bytes:
        if field is None:
            return b"NULL"
        assert isinstance(field, bytes)
        return self._columns[index].literal(field)

    def _found_by(self, row: Row) -> bytes:
        parts = []
        for index in self.plan.key or self._compared:
            field = row[index]
            parts.append(self._columns[index].seek(field) if isinstance(field, bytes) else b"FALSE")
        return b" AND ".join(parts)

    def _is(self, row: Row) -> bytes:
        """The condition: the key for the index, then every comparable column, then the plan's filter."""
        parts = [self._found_by(row)] if self.plan.key else []
        for index in self._compared:
            field = row[index]
            parts.append(self._columns[index].is_(field if isinstance(field, bytes) else None))
        return b" AND ".join(parts) + self._guard + self._limit


def _same(name: bytes) -> bytes:
    """The assignment of a key column to the row that an INSERT met. Met by another unique index it is another row:
    then EXP is out of range, which is an error in every version, as a NULL or a text in place of a number is not.
    """
    return b"%b = IF(%b <=> VALUES(%b) OR EXP(9999 + (%b <=> VALUES(%b))), VALUES(%b), %b)" % ((name,) * 7)


def _mark(column: ColumnDef, value: Field, info: ServerInfo) -> bytes:
    """The assignment that marks a row as deleted."""
    name = quoted_name(column.name).encode()
    if isinstance(value, bytes):
        return name + b" = " + column_sql(column, mariadb=info.mariadb).literal(value)
    return name + b" = " + (b"UTC_DATE()" if column.type == "date" else b"UTC_TIMESTAMP(%d)" % (column.scale or 0))

"""A source in memory: tables with keys, uniques and foreign keys, whose transactions come out as decoded row changes.

Cascades happen in it as in InnoDB: to the rows, but not to the changes that it hands out.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from model.position import BinlogCoordinate, Flavour, Position
from model.rows import ABSENT, Op, Row, RowChange
from model.tables import ColumnDef, ForeignKeyDef, IndexDef, IndexPart, TableDef, TableId
from sync.changes import RowsBatch
from transforms.plan import ColumnKind, ColumnPlan, TablePlan
from transforms.target import TargetColumn, TargetIndex, TargetTable

TYPES = {"int": "bigint", "text": "text", "json": "json", "blob": "bytea"}


def make_table(
    name: str,
    columns: str,
    *,
    key: Sequence[str] = ("id",),
    uniques: Sequence[Sequence[str]] = (),
    parents: Sequence[tuple[str, str, str, str]] = (),
) -> TableDef:
    """`columns` is `name type, …`; `parents` are (column, parent table, ON DELETE, ON UPDATE) that refer to `id`."""
    made = tuple(
        ColumnDef(column, kind, kind, nullable=column not in key)
        for column, kind in (part.split() for part in columns.split(","))
    )
    indexes = tuple(
        IndexDef(f"u{number}", tuple(IndexPart(column) for column in unique), unique=True)
        for number, unique in enumerate(uniques)
    )
    foreign_keys = tuple(
        ForeignKeyDef(f"fk_{name}_{column}", (column,), TableId("shop", parent), ("id",), on_delete, on_update)
        for column, parent, on_delete, on_update in parents
    )
    return TableDef(TableId("shop", name), made, tuple(key), indexes, foreign_keys)


def make_plan(table: TableDef, *, store: str = "main", prefix: str = "", target: str | None = None) -> TablePlan:
    """A plan that copies every column; `prefix` goes before the target's column names."""
    columns = tuple(TargetColumn(prefix + column.name, TYPES[column.type], column.nullable) for column in table.columns)
    return TablePlan(
        table,
        TargetTable(
            store,
            "public",
            target or table.id.name,
            columns,
            tuple(prefix + name for name in table.primary_key),
            tuple(
                TargetIndex(
                    f"{table.id.name}_{index.name}",
                    (),
                    unique=True,
                    columns=tuple(prefix + str(part.column) for part in index.parts),
                )
                for index in table.indexes
            ),
        ),
        tuple(ColumnPlan(column, ColumnKind.COPY, number) for number, column in enumerate(columns)),
        tuple(table.index_of(name) for name in table.primary_key),
        tuple(tuple(table.index_of(str(part.column)) for part in index.parts) for index in table.indexes),
    )


def create_sql(plan: TablePlan) -> str:
    """CREATE TABLE of a plan's target, without its secondary uniques."""
    parts = [f"{quoted(column.name)} {column.type}" for column in plan.target.columns]
    if plan.target.key:
        parts.append("PRIMARY KEY (" + ", ".join(map(quoted, plan.target.key)) + ")")
    return f"CREATE TABLE {quoted(plan.target.name)} ({', '.join(parts)})"


def quoted(name: str) -> str:
    """A PostgreSQL identifier."""
    return '"' + name.replace('"', '""') + '"'


class Impossible(Exception):
    """The source would refuse the change."""


@dataclass
class SourceModel:
    """Rows by table; keyless tables hold lists."""

    tables: dict[str, TableDef]
    rows: dict[str, list[Row]] = field(default_factory=dict)
    minimal: bool = False
    _log: list[RowsBatch] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in self.tables:
            self.rows.setdefault(name, [])

    def insert(self, name: str, *fields: object) -> None:
        """INSERT of one row; integers become text."""
        row = as_row(fields)
        self._check(name, row, None)
        self.rows[name].append(row)
        self._note(Op.INSERT, name, None, row)

    def load(self, name: str, *fields: object) -> None:
        """INSERT without looking for duplicates, for many rows."""
        row = as_row(fields)
        self.rows[name].append(row)
        self._note(Op.INSERT, name, None, row)

    def update(self, name: str, old: Row, new: Row) -> None:
        """UPDATE of one row, with what cascades from it."""
        self._check(name, new, old)
        self.rows[name][self.rows[name].index(old)] = new
        self._note(Op.UPDATE, name, old, new)
        self._cascade_update(name, old, new)

    def delete(self, name: str, old: Row) -> None:
        """DELETE of one row, with what cascades from it."""
        self.rows[name].remove(old)
        self._note(Op.DELETE, name, old, None)
        self._cascade_delete(name, old)

    def find(self, name: str, key: object) -> Row:
        """The row whose first column is `key`."""
        for row in self.rows[name]:
            if row[0] == str(key).encode():
                return row
        raise KeyError(key)

    def commit(self) -> list[RowsBatch]:
        """The changes since the last commit, as the binlog has them."""
        log, self._log = self._log, []
        return log

    def _children(self, name: str) -> Iterator[tuple[str, ForeignKeyDef, int]]:
        for child, table in self.tables.items():
            for key in table.foreign_keys:
                if key.ref_table.name == name:
                    yield child, key, table.index_of(key.columns[0])

    def _cascade_delete(self, name: str, old: Row) -> None:
        for child, key, column in self._children(name):
            for row in [row for row in self.rows[child] if row[column] == old[0]]:
                if row not in self.rows[child]:
                    continue
                if key.on_delete == "CASCADE":
                    self.rows[child].remove(row)
                    self._cascade_delete(child, row)
                else:
                    self._replace(child, row, column, None)

    def _cascade_update(self, name: str, old: Row, new: Row) -> None:
        if old[0] == new[0]:
            return
        for child, key, column in self._children(name):
            for row in [row for row in self.rows[child] if row[column] == old[0]]:
                self._replace(child, row, column, new[0] if key.on_update == "CASCADE" else None)  # type: ignore[arg-type]

    def _replace(self, name: str, row: Row, column: int, value: bytes | None) -> None:
        changed = (*row[:column], value, *row[column + 1 :])
        self.rows[name][self.rows[name].index(row)] = changed
        self._cascade_update(name, row, changed)

    def _check(self, name: str, row: Row, old: Row | None) -> None:
        table = self.tables[name]
        groups = [table.primary_key] if table.primary_key else []
        groups += [tuple(str(part.column) for part in index.parts) for index in table.indexes]
        others = list(self.rows[name])
        if old is not None:
            others.remove(old)
        for group in groups:
            places = [table.index_of(column) for column in group]
            mine = [row[place] for place in places]
            if None not in mine and any([other[place] for place in places] == mine for other in others):
                raise Impossible(f"duplicate {group} in {name}")
        for key in table.foreign_keys:
            value = row[table.index_of(key.columns[0])]
            parents = self.rows[key.ref_table.name]
            if (
                value is not None
                and all(parent[0] != value for parent in parents)
                and not (key.ref_table == table.id and row[0] == value)
            ):
                raise Impossible(f"no parent {value!r} of {name}")

    def _note(self, op: Op, name: str, before: Row | None, after: Row | None) -> None:
        table = self.tables[name]
        if self.minimal and table.primary_key and before is not None:
            keys = {table.index_of(column) for column in table.primary_key}
            if after is not None:
                after = tuple(ABSENT if new == old else new for old, new in zip(before, after, strict=True))
            before = tuple(value if index in keys else ABSENT for index, value in enumerate(before))
        change = RowChange(op, table.id, before, after)
        self._log.append(RowsBatch(table.id, [change], True, 50))


def as_row(fields: Sequence[object]) -> Row:
    """Fields of Python values."""
    return tuple(
        None if value is None else value if isinstance(value, bytes) else str(value).encode() for value in fields
    )


@dataclass
class FakeTransaction:
    """A transaction whose changes are decoded already."""

    seq: int
    changes: list[RowsBatch]
    commit_time: float
    rolled_back: bool = False
    bytes: int = 0

    @property
    def coordinate(self) -> BinlogCoordinate:
        """100 bytes a transaction."""
        return BinlogCoordinate("binlog.000001", self.seq * 100)

    @property
    def position(self) -> Position:
        """Without GTIDs."""
        return Position(Flavour.MYSQL, self.coordinate)

    def events(self) -> Iterator[object]:
        """Never asked for: `FakeChanges` hands out the changes."""
        raise AssertionError("a fake transaction has no events")


@dataclass
class FakeTail:
    """The relay's end."""

    seq: int
    position: Position


class FakeRelay:
    """A relay in memory that one thread writes and another reads."""

    def __init__(self) -> None:
        self._held: list[FakeTransaction] = []
        self._grown = threading.Condition()

    def add(self, changes: list[RowsBatch]) -> int:
        """Append a transaction; gives its number."""
        with self._grown:
            seq = len(self._held) + 1
            self._held.append(FakeTransaction(seq, changes, time.time()))
            self._grown.notify_all()
            return seq

    @property
    def tail(self) -> FakeTail:
        """The end."""
        return FakeTail(
            len(self._held), Position(Flavour.MYSQL, BinlogCoordinate("binlog.000001", len(self._held) * 100))
        )

    def transactions(self, after_seq: int) -> Iterator[FakeTransaction]:
        """Transactions after a number."""
        position = after_seq
        while position < len(self._held):
            yield self._held[position]
            position += 1

    def wait(self, after_seq: int, timeout_s: float) -> bool:
        """Wait for more."""
        with self._grown:
            return self._grown.wait_for(lambda: len(self._held) > after_seq, timeout_s)

    def interrupt(self) -> None:
        """Nobody is hurried here."""


class FakeChanges:
    """Hands out what the fake transactions hold."""

    def batches(self, transaction: FakeTransaction, wanted: frozenset[TableId]) -> Iterator[RowsBatch]:
        """Changes of wanted tables."""
        for batch in transaction.changes:
            if batch.table in wanted:
                yield batch

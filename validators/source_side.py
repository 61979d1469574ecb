"""Reads one table plan's rows on the source: leaf digests, keys with hashes, canonical rows. Read-only.

Digests and hashes are computed by the source where every column can be; else the rows are read and the plan's own
transform is applied here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from model.errors import ValueRefused
from model.rows import ABSENT, Field, Row
from stores.mysql import MysqlConnection, ServerInfo
from sync.mysql.literals import quoted_name
from sync.mysql.result_records import Hashed
from sync.mysql.snapshot import raw_blocks, raw_rows, run
from sync.mysql.textform import as_is, from_select, select_expression
from transforms.plan import TablePlan
from validators.canonical.record import CanonicalRow, RecordForm
from validators.canonical.source_forms import NotPushable
from validators.keys import source_condition
from validators.leaves import Digest, KeyRange, Leaves, integer_key_columns
from validators.source_records import result_digests

REFUSED: Final = b"\x01refused: "
"""Begins the canonical text of a value that the plan refuses: no store can hold it."""
EVERYTHING: Final = "1 = 1"


class SourceSide:
    """One plan's table on one connection (of `sync.mysql.snapshot.connect_reader`)."""

    def __init__(
        self, connection: MysqlConnection[Any], info: ServerInfo, plan: TablePlan, form: RecordForm, *, pushed: bool
    ) -> None:
        """Raises Refused for a column type that a SELECT does not show whole."""
        self.connection = connection
        self.plan = plan
        self.form = form
        self.pushed = pushed
        self._from = quoted_name(plan.source.id.schema, plan.source.id.name)
        self._where = f"({plan.where.mysql})" if plan.where else EVERYTHING
        self._hash = form.mysql_hash() if pushed else "0"
        self._all = _Selection(plan, info, _read_by(plan, range(len(plan.columns)), filtered=True))
        self._keys = _Selection(plan, info, _read_by(plan, plan.key, filtered=False))

    @property
    def hash_sql(self) -> str:
        """The row's hash in the source's SQL."""
        return self._hash

    def count(self) -> int:
        """Number of rows that the plan takes."""
        if self.plan.where is None or self.pushed:
            query = f"SELECT COUNT(*) FROM {self._from} WHERE {self._where}"
            return next(int(row[0] or 0) for row in list(raw_rows(self.connection, query)))
        return sum(1 for _ in self.rows(EVERYTHING))

    def size(self) -> int:
        """Number of rows: the catalogue's estimate when it has one, else counted."""
        if self.plan.source.rows_estimate > 0:
            return self.plan.source.rows_estimate
        query = f"SELECT COUNT(*) FROM {self._from}"
        return next(int(row[0] or 0) for row in list(raw_rows(self.connection, query)))

    def ranges(self, positions: Sequence[int] | None = None, condition: str = EVERYTHING) -> Iterator[KeyRange]:
        """Lowest and highest value of integer key columns (all without `positions`), asked for one by one.

        None when no row meets `condition`.
        """
        for position in integer_key_columns(self.plan) if positions is None else positions:
            ordinal = self.plan.columns[position].source
            assert ordinal is not None
            name = quoted_name(self.plan.source.columns[ordinal].name)
            for low, high in list(
                raw_rows(
                    self.connection, f"SELECT MIN({name}) + 0, MAX({name}) + 0 FROM {self._from} WHERE {condition}"
                )
            ):
                if low is not None and high is not None:
                    yield KeyRange(position, int(low), int(high))

    def digests(self, leaves: Leaves, condition: str = EVERYTHING) -> dict[int, Digest]:
        """Digests of the leaves of the rows that meet `condition`, from one scan."""
        if self.pushed:
            query = leaves.mysql_digests(self.plan.source, self._hash, f"{self._where} AND {condition}")
            return {
                int(leaf or 0): (int(count or 0), int(total or 0))
                for leaf, count, total in raw_rows(self.connection, query)
            }
        position = leaf_index(self.plan, leaves)
        records = result_digests(
            self.plan,
            self.form,
            self._all.ordinals,
            leaves,
            -1 if position is None else position,
            self._slowly(position),
        )
        for block in raw_blocks(self.connection, f"SELECT {self._all.columns} FROM {self._from} WHERE {condition}"):
            records.add(block.data)
        return records.digests()

    def _slowly(self, position: int | None) -> Callable[[list[bytes | None]], Hashed]:
        """What becomes of a row with a refused value."""

        def hashed(raw: list[bytes | None]) -> Hashed:
            row = self.canonical(self._all.row(raw))
            return self.form.hash(row), None if position is None else _whole_number(row[position])

        return hashed

    def hashes(
        self, leaves: Leaves, chosen: Sequence[int], condition: str, within: str = EVERYTHING
    ) -> Iterator[tuple[Sequence[bytes | None], int]]:
        """Key as `read_key` takes it, and hash, of every row of the chosen leaves.

        `condition` is that of these rows, `within` one of more rows that does not ask for their hashes.
        """
        if not self.pushed:
            wanted = set(chosen)
            for row in self.rows(condition if leaves.by_key else within):
                row_hash = self.form.hash(row)
                if leaves.by_key or leaves.of(None, row_hash) in wanted:
                    yield self.form.key_of(row), row_hash
            return
        query = f"SELECT {self._keys.columns}, {self._hash} FROM {self._from} WHERE {self._where} AND {condition}"
        for raw in raw_rows(self.connection, query):
            yield raw, int(raw[-1] or 0)

    def read_key(self, read: Sequence[bytes | None]) -> CanonicalRow:
        """The canonical key of what `hashes` gave: few of its rows need one."""
        return self.canonical_key(self._keys.row(read)) if self.pushed else tuple(read)

    def edge_keys(self, number: int) -> Iterator[CanonicalRow]:
        """The lowest and the highest keys, `number` of each."""
        names = [
            quoted_name(self.plan.source.columns[ordinal].name)
            for ordinal in _read_by(self.plan, self.plan.key, filtered=False)
        ]
        for direction in ("ASC", "DESC"):
            order = ", ".join(f"{name} {direction}" for name in names)
            query = f"SELECT {self._keys.columns} FROM {self._from} WHERE {self._where} ORDER BY {order} LIMIT {number}"
            for raw in raw_rows(self.connection, query):
                yield self.canonical_key(self._keys.row(raw))

    def rows(self, condition: str, *, locking: bool = False) -> Iterator[CanonicalRow]:
        """Canonical target rows of the source rows that meet `condition` and the plan's filter."""
        for row in self.source_rows(condition, locking=locking):
            yield self.canonical(row)

    def lookup(self, keys: Sequence[CanonicalRow], *, locking: bool) -> dict[CanonicalRow, list[CanonicalRow]]:
        """Rows with these canonical keys; the whole table is read when a key has no form in the source's SQL."""
        return {key: [self.canonical(row) for row in rows] for key, rows in self.find(keys, locking=locking).items()}

    def find(self, keys: Sequence[CanonicalRow], *, locking: bool) -> dict[CanonicalRow, list[Row]]:
        """Source rows whose target rows have these canonical keys, columns that the plan does not read ABSENT."""
        try:
            condition = source_condition(self.plan, self.form, keys)
        except NotPushable:
            condition = EVERYTHING
        wanted = set(keys)
        found: dict[CanonicalRow, list[Row]] = {}
        for row in self.source_rows(f"({condition})", locking=locking):
            key = self.canonical_key(row)
            if key in wanted:
                found.setdefault(key, []).append(row)
        return found

    def source_rows(self, condition: str, *, locking: bool) -> Iterator[Row]:
        """Source rows that meet `condition` and the plan's filter, columns that the plan does not read ABSENT."""
        query = f"SELECT {self._all.columns} FROM {self._from} WHERE {condition}"
        if locking:
            run(self.connection, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
            run(self.connection, "START TRANSACTION")
            raws: Iterable[list[bytes | None]] = list(raw_rows(self.connection, query + " LOCK IN SHARE MODE"))
            run(self.connection, "COMMIT")
        else:
            raws = raw_rows(self.connection, query)
        make, accepts = self._all.row, self.plan.accepts
        if self.plan.where is None:
            yield from map(make, raws)
            return
        for raw in raws:
            row = make(raw)
            try:
                if not accepts(row):
                    continue
            except ValueRefused:
                pass  # a row that no store is named for: it waits in the quarantine, and this store answers for it
            yield row

    def canonical(self, row: Row) -> CanonicalRow:
        """The canonical target row of a source row; a refused value says so in its place."""
        try:
            return self.form.canonical(self.plan.project(row))
        except ValueRefused:
            return tuple(self._value(index, row) for index in range(len(self.plan.columns)))

    def canonical_key(self, row: Row) -> CanonicalRow:
        """The canonical key of a source row that may lack all other columns."""
        return tuple(self._value(index, row) for index in self.plan.key)

    def _value(self, index: int, row: Row) -> bytes | None:
        try:
            field = self.plan.columns[index].value(row)
        except ValueRefused as error:
            return REFUSED + error.message.encode()
        return self.form.targets[index].canonical(field) if isinstance(field, bytes) else None


def _whole_number(text: bytes | None) -> int:
    """A canonical key value; a refused one counts as 0, for its row is in no leaf of the store anyway."""
    return int(text) if text is not None and text.lstrip(b"-").isdigit() else 0


class _Selection:
    """Some columns of the source table, read in the neutral form into rows of full width."""

    def __init__(self, plan: TablePlan, info: ServerInfo, ordinals: Sequence[int]) -> None:
        table = plan.source
        self.ordinals = tuple(ordinals)
        reads = [from_select(table.columns[ordinal]) for ordinal in ordinals]
        self._converts = tuple((position, read) for position, read in enumerate(reads) if read is not as_is)
        self._blank: list[Field] = [ABSENT] * len(table.columns)
        self._whole = self.ordinals == tuple(range(len(table.columns)))
        self.columns = ", ".join(select_expression(table.columns[ordinal], info) for ordinal in ordinals) or "1"

    def row(self, raw: Sequence[bytes | None]) -> Row:
        """A source row; columns that were not read are ABSENT."""
        fields: list[Field] = list(raw[: len(self.ordinals)])
        for position, read in self._converts:
            fields[position] = read(raw[position])
        if self._whole:
            return tuple(fields)
        row = self._blank.copy()
        for ordinal, field in zip(self.ordinals, fields, strict=True):
            row[ordinal] = field
        return tuple(row)


def _read_by(plan: TablePlan, indexes: Iterable[int], *, filtered: bool) -> list[int]:
    ordinals: set[int] = set(plan.where.columns) if filtered and plan.where else set()
    for index in indexes:
        ordinals |= plan.columns[index].reads
    return sorted(ordinals)


def leaf_index(plan: TablePlan, leaves: Leaves) -> int | None:
    """Index into `plan.columns` of the column that leaves are cut by; None for hash buckets."""
    if leaves.target_column is None:
        return None
    return next(index for index, column in enumerate(plan.columns) if column.target.name == leaves.target_column)

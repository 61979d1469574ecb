"""Finds what a store has and the source has not by comparing them row by row: for when the store's log of it is lost.

Only between closed gates: both sides stand still, so one read of each decides. The order in which the rows were written
is not known any more; whole rows and the statements that would bring them to the source are.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Final

from config.settings import Settings
from cutover.domain import DomainPlan
from model.errors import CrossfadeError, SchemaDrift
from model.rows import ABSENT, Op, Row
from stores.mysql import MysqlConnection, ServerInfo
from stores.postgres import PostgresConnection, connect_store
from sync.mysql.reverse_statements import ReverseStatements
from sync.mysql.snapshot import connect_reader, raw_rows
from sync.postgres.pgoutput import Lsn, Relation, RelationColumn, lsn_text
from sync.reverse_rows import SourceChange, TableBinding
from sync.stranded import StrandedChange, StrandedTransaction, cleared, wording
from transforms.reverse import ReversePlan
from validators.canonical.record import CanonicalRow, RecordForm
from validators.leaves import cut, differing
from validators.localise import candidates
from validators.source_side import EVERYTHING, SourceSide
from validators.spans import Span
from validators.table_check import source_computes_hashes
from validators.target_side import PrintedRow, TargetSide

BATCH_KEYS: Final = 500


@dataclass(frozen=True, slots=True)
class ComparedStore:
    """One store of a domain against the source; `until` is where its log ends."""

    settings: Settings
    domain: DomainPlan
    store: str
    info: ServerInfo
    until: Lsn

    def transactions(self, stop: threading.Event) -> Iterator[StrandedTransaction]:
        """Every row that differs, each as a transaction of its own. Raises what the servers raise."""
        dsn = self.settings.stores[self.store].dsn
        with (
            closing(connect_reader(self.settings.source, self.info)) as reader,
            closing(connect_store(dsn, application="crossfade cutover")) as connection,
        ):
            connection.execute("SET bytea_output = 'hex'")
            pushed = source_computes_hashes(reader)
            for back in self.domain.backs_of(self.store):
                for changes in _Table(back, self.info, reader, connection, pushed=pushed).changes(
                    self.settings.verify.leaf_rows, stop
                ):
                    yield StrandedTransaction(self.store, lsn_text(self.until), 0, 0.0, changes, "comparison")


class _Table:
    """One plan's rows on both sides."""

    def __init__(
        self,
        back: ReversePlan,
        info: ServerInfo,
        reader: MysqlConnection[Any],
        connection: PostgresConnection,
        *,
        pushed: bool,
    ) -> None:
        plan = back.plan
        self._back = back
        self._form = RecordForm.of(plan)
        self._reader = reader
        self._source = SourceSide(reader, info, plan, self._form, pushed=pushed and self._form.pushable)
        self._target = TargetSide(connection, plan, self._form)
        self._sql = ReverseStatements(back, info)
        self._name = f"{plan.target.schema}.{plan.target.name}"
        self._bound: tuple[tuple[str, ...], TableBinding] | None = None

    def changes(self, leaf_rows: int, stop: threading.Event) -> Iterator[tuple[StrandedChange, ...]]:
        """Every row that the sides do not share."""
        if not self._form.key:
            yield from self._without_key()
            return
        for keys in self._differing(leaf_rows):
            for start in range(0, len(keys), BATCH_KEYS):
                if stop.is_set():
                    return
                yield from self._rows(keys[start : start + BATCH_KEYS])

    def _rows(self, keys: list[CanonicalRow]) -> Iterator[tuple[StrandedChange, ...]]:
        here = self._source.find(keys, locking=False)
        there: dict[CanonicalRow, list[tuple[CanonicalRow, PrintedRow]]] = {}
        for row, printed in self._target.printed(keys):
            there.setdefault(self._form.key_of(row), []).append((row, printed))
        for key in keys:
            for source_row, found in zip_longest(here.get(key, ()), there.get(key, ())):
                if source_row is None or found is None or not self._same(source_row, found[0]):
                    yield self._told(source_row, None if found is None else found[1])

    def _same(self, source_row: Row, row: CanonicalRow) -> bool:
        return self._form.same(self._source.canonical(source_row), row)

    def _differing(self, leaf_rows: int) -> Iterator[list[CanonicalRow]]:
        source, target, plan = self._source, self._target, self._back.plan
        leaves = cut(plan, source.size(), source.ranges(), leaf_rows, pushed=source.pushed)
        here, there = source.digests(leaves), target.digests(leaves)
        unequal = differing(here, there)
        if unequal:
            yield from candidates(source, target, leaves, unequal, here, there, Span())

    def _without_key(self) -> Iterator[tuple[StrandedChange, ...]]:
        """Rows are held by their hashes: what one side has more often than the other."""
        rest = Counter(self._form.hash(row) for row in self._source.rows(EVERYTHING))
        for row, printed in self._target.printed():
            row_hash = self._form.hash(row)
            if rest[row_hash] > 0:
                rest[row_hash] -= 1
            else:
                yield self._told(None, printed)
        if not rest.total():
            return
        for source_row in list(self._source.source_rows(EVERYTHING, locking=False)):
            row_hash = self._form.hash(self._source.canonical(source_row))
            if rest[row_hash] > 0:
                rest[row_hash] -= 1
                yield self._told(source_row, None)

    # -- one row

    def _told(self, source_row: Row | None, printed: PrintedRow | None) -> tuple[StrandedChange, ...]:
        """A row that the source has in another form, or not, or that only the source has."""
        before: tuple[StrandedChange, ...] = ()
        op = Op.INSERT if source_row is None else Op.DELETE if printed is None else Op.UPDATE
        statement, refused = None, ""
        try:
            change = self._change(op, source_row, printed)
            if op is Op.UPDATE and not change.changed:
                refused = "only what does not go back to the source differs"
            else:
                statement = wording(self._sql, change).decode()
                before = tuple(cleared(self._sql, change, self._name))
        except CrossfadeError as error:
            refused = str(error)
        told = StrandedChange(
            str(op), self._name, str(self._back.source.id), self._as_copied(source_row), _text(printed), statement,
            refused,
        )  # fmt: skip
        return (*before, told)

    def _change(self, op: Op, source_row: Row | None, printed: PrintedRow | None) -> SourceChange:
        new = None if printed is None else self._back_row(printed)
        old = None if source_row is None else self._whole(source_row)
        changed: tuple[int, ...] = ()
        if old is not None and new is not None:
            changed = tuple(index for index, (was, now) in enumerate(zip(old, new, strict=True)) if was != now)
        return SourceChange(self._back, op, old, new, changed)

    def _back_row(self, printed: PrintedRow) -> Row:
        names = tuple(printed)
        if self._bound is None or self._bound[0] != names:
            columns = tuple(RelationColumn(name, 0, -1, False) for name in names)
            target = self._back.plan.target
            self._bound = names, TableBinding(Relation(0, target.schema, target.name, "f", columns), self._back)
        return self._bound[1].row(tuple(printed.values()))

    def _whole(self, source_row: Row) -> Row:
        """The source's row in the columns that the way back writes, also those that the copy does not read."""
        row = tuple(source_row[column.ordinal] for column in self._back.columns)
        if ABSENT not in row:
            return row
        found = [self._sql.fields(raw) for raw in list(raw_rows(self._reader, self._sql.read(row).decode()))]
        if not found:
            raise SchemaDrift("the source's row cannot be read whole", table=str(self._back.source.id))
        return found[0]

    def _as_copied(self, source_row: Row | None) -> dict[str, str | None] | None:
        if source_row is None:
            return None
        shown: dict[str, str | None] = {}
        for column in self._back.plan.columns:
            try:
                field = column.value(source_row)
            except CrossfadeError as error:
                field = f"refused: {error.message}".encode()
            shown[column.target.name] = field.decode(errors="replace") if isinstance(field, bytes) else None
        return shown


def _text(printed: PrintedRow | None) -> dict[str, str | None] | None:
    if printed is None:
        return None
    return {name: value.decode() if value is not None else None for name, value in printed.items()}

"""Knows which source tables must stand still because the stores serve their domain: what others write has leaked.

Our own reverse streams are never seen here: their transactions are dropped by their mark. Asked by every applier,
told by the domains' threads.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from model.position import BinlogCoordinate
from model.rows import ABSENT, Row, RowChange
from model.tables import TableDef, TableId
from stores.control.leaks import Leak
from sync.changes import RowsBatch, Transaction
from sync.mysql.event_types import EventType
from sync.mysql.events import parse_query, parse_rows_query

KEPT_ROWS: Final = 1000
"""Rows of one leak that are kept whole; of more there is the number, and the binlog."""
_STATEMENTS: Final = (EventType.ROWS_QUERY, EventType.MARIADB_ANNOTATE_ROWS)


@dataclass(frozen=True, slots=True)
class _Watch:
    domain: str
    until: BinlogCoordinate | None = None
    """The source was opened again after this; None: it is closed."""


class Sentinel:
    """For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watched: dict[TableId, _Watch] = {}

    def watch(self, domain: str, tables: Iterable[TableId], until: BinlogCoordinate | None = None) -> None:
        """Whatever the source commits to these tables up to `until` (None: from now on) is a leak."""
        with self._lock:
            self._watched.update(dict.fromkeys(tables, _Watch(domain, until)))

    def domain_of(self, table: TableId, transaction: Transaction) -> str | None:
        """The domain that the transaction's change of `table` leaked from; None when it may be applied."""
        watch = self._watched.get(table) if self._watched else None
        if watch is None or (watch.until is not None and watch.until < transaction.coordinate):
            return None
        return watch.domain


class LeakNotes:
    """Collects what one transaction leaks, per table."""

    def __init__(self, transaction: Transaction, tables: Mapping[TableId, TableDef]) -> None:
        """`tables`: for the names of columns."""
        self._transaction = transaction
        self._tables = tables
        self._found: dict[TableId, tuple[str, list[RowChange], int]] = {}

    def add(self, domain: str, batch: RowsBatch) -> None:
        """The changes of one event."""
        _, kept, count = self._found.get(batch.table, (domain, [], 0))
        changes = batch.changes
        kept += changes[: KEPT_ROWS - len(kept)]
        self._found[batch.table] = (domain, kept, count + len(changes))

    def leaks(self) -> tuple[Leak, ...]:
        """One for each table."""
        if not self._found:
            return ()
        thread_id, statement = _author(self._transaction)
        return tuple(
            Leak(
                domain, str(table), self._transaction.seq, str(self._transaction.coordinate), thread_id, statement,
                count, [_shown(change, self._tables.get(table)) for change in kept],
            )
            for table, (domain, kept, count) in self._found.items()
        )  # fmt: skip


def _author(transaction: Transaction) -> tuple[int | None, str]:
    """Thread and statement, as far as the binlog tells: MySQL names the thread, an option adds the statement."""
    thread_id: int | None = None
    statement = ""
    for header, body in transaction.events():
        if header.type == EventType.QUERY and thread_id is None:
            thread_id = parse_query(body).thread_id
        elif header.type in _STATEMENTS and not statement:
            statement = parse_rows_query(header.type, body)
    return thread_id, statement


def _shown(change: RowChange, table: TableDef | None) -> dict[str, Any]:
    return {"op": str(change.op), "old": _named(change.before, table), "new": _named(change.after, table)}


def _named(row: Row | None, table: TableDef | None) -> dict[str, str | None] | None:
    if row is None:
        return None
    names = [column.name for column in table.columns] if table else [str(index) for index in range(len(row))]
    return {
        name: field.decode(errors="replace").replace("\0", "�") if isinstance(field, bytes) else None
        for name, field in zip(names, row, strict=True)
        if field is not ABSENT
    }

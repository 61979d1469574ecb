"""Sends generated rows to the server in multi-row INSERTs, over several connections with bounded queues.

A table always goes through the same connection, so its rows arrive in key order and loaders never lock each other out.
"""

from __future__ import annotations

import threading
from collections import Counter
from queue import Full, Queue
from types import TracebackType

import pymysql

from demo.retailcore.address import MysqlAddress

_BATCH_ROWS = 1000
_QUEUE_BATCHES = 6


class BulkLoader:
    """Collects rows as SQL text and inserts them in the background; used as a context manager by one thread.

    Leaving the block waits for all batches and raises the first error a loader met.
    """

    def __init__(self, address: MysqlAddress, columns: dict[str, str], *, connections: int = 2) -> None:
        self.rows_by_table: Counter[str] = Counter()
        self._heads = {table: "INSERT INTO `" + table + "` (" + names + ") VALUES " for table, names in columns.items()}
        self._pending: dict[str, list[str]] = {table: [] for table in columns}
        self._queues: list[Queue[str | None]] = [Queue(_QUEUE_BATCHES) for _ in range(connections)]
        self._error: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._load, args=(address, queue), daemon=True) for queue in self._queues
        ]
        self._queue_of = {table: self._queues[i % connections] for i, table in enumerate(columns)}

    def __enter__(self) -> BulkLoader:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            for table in self._pending:
                self._send(table)
        for queue in self._queues:
            self._put(queue, None)
        for thread in self._threads:
            thread.join()
        if self._error is not None and error is None:
            raise self._error

    def rows(self, table: str) -> list[str]:
        """The list to append rows of a table to, each as '(…)'. Stays the same list; call `flush` now and then."""
        return self._pending[table]

    def flush(self, *tables: str) -> None:
        """Hand over what is pending of these tables, when it fills a batch."""
        for table in tables:
            if len(self._pending[table]) >= _BATCH_ROWS:
                self._send(table)

    def total(self) -> int:
        """Rows handed over or pending, all tables."""
        return sum(self.rows_by_table.values()) + sum(len(rows) for rows in self._pending.values())

    def _send(self, table: str) -> None:
        pending = self._pending[table]
        if not pending:
            return
        self.rows_by_table[table] += len(pending)
        for start in range(0, len(pending), _BATCH_ROWS):
            self._put(self._queue_of[table], self._heads[table] + ",".join(pending[start : start + _BATCH_ROWS]))
        pending.clear()

    def _put(self, queue: Queue[str | None], statement: str | None) -> None:
        while self._error is None or statement is None:
            try:
                queue.put(statement, timeout=0.5)
                return
            except Full:
                if self._error is not None and statement is None:
                    queue.get_nowait()
        raise self._error

    def _load(self, address: MysqlAddress, queue: Queue[str | None]) -> None:
        try:
            connection = address.connect(timeout=120.0)
            try:
                with connection.cursor() as cursor:
                    cursor.execute("SET SESSION foreign_key_checks = 0, unique_checks = 0")
                    while (statement := queue.get()) is not None:
                        cursor.execute(statement)
            finally:
                connection.close()
        except (pymysql.MySQLError, OSError) as error:
            self._error = error

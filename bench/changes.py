"""Rounds of changes to the table of orders, and how far a peer's copy of the table has got with the last of them.

The copy is the table `orders` in the schema `bench` of whatever database the peer writes to.
"""

from __future__ import annotations

from typing import Any

from psycopg.errors import UndefinedTable

from bench.stage import DATABASE, Stage
from bench.workloads import Workload
from stores.postgres import PostgresConnection

_TABLE = f"{DATABASE}.orders"
_WHOLE = f"SELECT COUNT(*), COALESCE(SUM(id), 0), COALESCE(SUM(total), 0) FROM {_TABLE}"
Row = tuple[Any, ...]


class Changes:
    """The rounds of one workload, from 0 on. Every round changes rows of its own in the order of their ids."""

    def __init__(self, stage: Stage, workload: Workload) -> None:
        self._stage = stage
        self._workload = workload
        self._next = 0
        self._expected: dict[str, Row | None] = {}
        self._look(_WHOLE)

    @property
    def rows(self) -> int:
        """Changes of one round."""
        return self._workload.rows

    def write(self) -> None:
        """Let the source write the next round."""
        self._workload.write(self._next)
        self._next += 1
        self._look(_WHOLE, self._order(first=True), self._order(first=False))

    def begun(self, copy: PostgresConnection) -> bool:
        """Whether the round's first row is there; cheap."""
        return self._same(copy, self._order(first=True))

    def done(self, copy: PostgresConnection) -> bool:
        """Whether all is there: the last row and then, only when that is, number and sums of all rows."""
        return self._same(copy, self._order(first=False)) and self._same(copy, _WHOLE)

    def copied(self, copy: PostgresConnection) -> bool:
        """Whether number and sums of all rows are those of the source; a table that is not made yet has no rows."""
        return self._same(copy, _WHOLE)

    def _order(self, *, first: bool) -> str:
        last = self._next * self.rows
        return f"SELECT total FROM {_TABLE} WHERE id = {last - self.rows + 1 if first else last}"

    def _look(self, *queries: str) -> None:
        with self._stage.source_connection() as connection, connection.cursor() as cursor:
            for query in queries:
                cursor.execute(query)
                self._expected[query] = cursor.fetchone()

    def _same(self, copy: PostgresConnection, query: str) -> bool:
        try:
            return copy.execute(query.encode()).fetchone() == self._expected[query]
        except UndefinedTable:
            return self._expected[query] == (0, 0, 0)

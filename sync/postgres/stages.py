"""The session's staging tables: made once per plan, emptied by every commit, and when used again before it."""

from __future__ import annotations

from collections.abc import Iterable

from stores.postgres import PostgresConnection
from sync.postgres.statements import PlanStatements


class Stages:
    """Which staging tables there are, and which have rows of the open transaction."""

    def __init__(self, connection: PostgresConnection) -> None:
        self._connection = connection
        self._made: set[str] = set()
        self._used: set[str] = set()

    def have(self, statements: PlanStatements) -> None:
        """Have the plan's staging table, at least for the type of its rows."""
        if statements.plan.id not in self._made:
            self._connection.execute(statements.create_stage)
            self._made.add(statements.plan.id)

    def open(self, statements: PlanStatements) -> None:
        """Have an empty staging table for a plan."""
        plan_id = statements.plan.id
        self.have(statements)
        if plan_id in self._used:
            self._connection.execute(statements.truncate_stage)
        self._used.add(plan_id)

    def copy(self, statement: bytes, blocks: Iterable[bytes]) -> None:
        """COPY blocks of lines by a statement of the plan; nothing is sent when there are none."""
        waiting = iter(blocks)
        first = next(waiting, None)
        if first is None:
            return
        with self._connection.cursor() as cursor, cursor.copy(statement) as copy:
            copy.write(first)
            for block in waiting:
                copy.write(block)

    def committed(self) -> None:
        """The transaction ended: the tables are empty."""
        self._used.clear()

    def mark(self) -> tuple[frozenset[str], frozenset[str]]:
        """The state now, for `back`."""
        return frozenset(self._made), frozenset(self._used)

    def back(self, mark: tuple[frozenset[str], frozenset[str]]) -> None:
        """A savepoint was rolled back: tables made since are gone, and emptied ones are full again."""
        self._made, self._used = set(mark[0]), set(mark[1])

"""The session's staging tables, made once per plan, emptied by every commit, and when used again before it; and its
row types, which are all that arrays of rows need.
"""

from __future__ import annotations

from collections.abc import Iterable

from stores.postgres import PostgresConnection
from sync.postgres.statements import PlanStatements

Mark = tuple[frozenset[str], frozenset[str], frozenset[str]]


class Stages:
    """Which row types and staging tables there are, and which tables have rows of the open transaction."""

    def __init__(self, connection: PostgresConnection) -> None:
        self._connection = connection
        self._typed: set[str] = set()
        self._made: set[str] = set()
        self._used: set[str] = set()

    def have_row_type(self, statements: PlanStatements) -> None:
        """Have the type of the plan's rows."""
        if statements.plan.id not in self._typed:
            self._connection.execute(statements.create_row_type)
            self._typed.add(statements.plan.id)

    def open(self, statements: PlanStatements) -> None:
        """Have an empty staging table for a plan."""
        plan_id = statements.plan.id
        if plan_id not in self._made:
            self._connection.execute(statements.create_stage)
            self._made.add(plan_id)
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

    def mark(self) -> Mark:
        """The state now, for `back`."""
        return frozenset(self._typed), frozenset(self._made), frozenset(self._used)

    def back(self, mark: Mark) -> None:
        """A savepoint was rolled back: what was made since is gone, and emptied tables are full again."""
        self._typed, self._made, self._used = map(set, mark)

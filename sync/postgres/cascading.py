"""Runs the source's foreign-key cascades in a store: set-based, one statement per edge and kind, following the chain.

Order is the caller's duty: everything that came before a trigger is in the tables when it runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from psycopg import sql

from model.rows import Row
from stores.postgres import PostgresConnection
from sync.cascades import Action, CascadeGraph, Edge, Trigger
from sync.postgres.own_rows import own_rows
from sync.postgres.statements import quoted
from transforms.plan import TablePlan

_NEW = "new_"
_OLD = "old_"


def run_triggers(
    connection: PostgresConnection, graph: CascadeGraph, triggers: Sequence[Trigger], reach: frozenset[str] | None
) -> int:
    """Do to the children what the source did, in the plans of `reach` (None: all); gives the number of rows changed."""
    return sum(_Cascade(connection, graph, reach).run(edge, pairs) for edge, pairs in grouped(triggers))


def grouped(triggers: Iterable[Trigger]) -> Iterator[tuple[Edge, list[tuple[Row, Row | None]]]]:
    """Triggers in runs that may be done at once: one edge, one kind, no value that the run has moved already."""
    runs: dict[int, tuple[Edge, list[tuple[Row, Row | None]], set[Row]]] = {}
    deleting = True
    for trigger in triggers:
        run = runs.get(id(trigger.edge))
        moved = run is not None and trigger.new is not None and trigger.old in run[2]
        if runs and (moved or deleting != (trigger.new is None)):
            yield from ((edge, pairs) for edge, pairs, _ in runs.values())
            runs, run = {}, None
        deleting = trigger.new is None
        if run is None:
            run = runs[id(trigger.edge)] = (trigger.edge, [], set())
        run[1].append((trigger.old, trigger.new))
        if trigger.new is not None:
            run[2].update((trigger.old, trigger.new))
    yield from ((edge, pairs) for edge, pairs, _ in runs.values())


class _Cascade:
    """Follows edges through one store."""

    def __init__(self, connection: PostgresConnection, graph: CascadeGraph, reach: frozenset[str] | None) -> None:
        self._connection = connection
        self._graph = graph
        self._reach = reach

    def run(self, edge: Edge, pairs: list[tuple[Row, Row | None]]) -> int:
        """Run one edge for pairs of one kind, and what follows from it; gives the number of rows changed."""
        deleting = pairs[0][1] is None
        action = edge.on_delete if deleting else edge.on_update
        if action is Action.NONE or (self._reach is not None and edge.child.id not in self._reach):
            return 0
        olds = [old for old, _ in pairs]
        if deleting and action is Action.CASCADE:
            return self._delete(edge, olds)
        blank: Row = (None,) * len(edge.match)
        news = [blank if action is Action.SET_NULL or new is None else new for _, new in pairs]
        return self._update(edge, olds, news)

    def _delete(self, edge: Edge, olds: list[Row]) -> int:
        wanted = [o for o in edge.onward if self._graph.edges[o.edge].on_delete is not Action.NONE]
        returned = sorted({column for onward in wanted for column in onward.columns})
        query = sql.SQL("DELETE FROM {} AS c USING {} AS v WHERE {}").format(
            _table(edge.child), _given(edge, _OLD), _matching(edge)
        )
        if not returned:
            return self._connection.execute(query, _arrays(olds)).rowcount
        query += sql.SQL(" RETURNING {}").format(_texts(edge.child, returned))
        rows = [_bytes(row) for row in self._connection.execute(query, _arrays(olds)).fetchall()]
        count = len(rows)
        for onward in wanted:
            picked = {tuple(row[returned.index(column)] for column in onward.columns) for row in rows}
            pairs: list[tuple[Row, Row | None]] = [(values, None) for values in picked if None not in values]
            if pairs:
                count += self.run(self._graph.edges[onward.edge], pairs)
        return count

    def _update(self, edge: Edge, olds: list[Row], news: list[Row]) -> int:
        assigned = dict(edge.assign)
        wanted = [
            onward
            for onward in edge.onward
            if self._graph.edges[onward.edge].on_update is not Action.NONE and assigned.keys() & set(onward.columns)
        ]
        given = sql.SQL("(SELECT * FROM unnest({}) AS u({}))").format(
            sql.SQL(", ").join([_typed_array(edge, index) for index in edge.match] * 2),
            sql.SQL(", ").join([_value(_OLD, n) for n in range(len(edge.match))])
            + sql.SQL(", ")
            + sql.SQL(", ").join([_value(_NEW, n) for n in range(len(edge.match))]),
        )
        query = sql.SQL("UPDATE {} AS c SET {} FROM {} AS v WHERE {}").format(
            _table(edge.child),
            sql.SQL(", ").join(
                sql.SQL("{} = v.{}").format(_name(edge.child, column), _value(_NEW, place))
                for column, place in edge.assign
            ),
            given,
            _matching(edge),
        )
        parameters = [*_arrays(olds), *_arrays(news)]
        if not wanted:
            return self._connection.execute(query, parameters).rowcount
        returned: list[sql.Composable] = []
        for onward in wanted:
            for prefix in (_OLD, _NEW):
                for column in onward.columns:
                    place = assigned.get(column)
                    value: sql.Composable = (
                        sql.SQL("c.{}").format(_name(edge.child, column))
                        if place is None
                        else sql.SQL("v.{}").format(_value(prefix, place))
                    )
                    returned.append(sql.SQL("{}::text").format(value))
        query += sql.SQL(" RETURNING {}").format(sql.SQL(", ").join(returned))
        rows = [_bytes(row) for row in self._connection.execute(query, parameters).fetchall()]
        count = len(rows)
        start = 0
        for onward in wanted:
            width = len(onward.columns)
            moved = {(row[start : start + width], row[start + width : start + 2 * width]) for row in rows}
            start += 2 * width
            pairs: list[tuple[Row, Row | None]] = [(old, new) for old, new in moved if old != new and None not in old]
            if pairs:
                count += self.run(self._graph.edges[onward.edge], pairs)
        return count


def sweep(connection: PostgresConnection, edge: Edge, parent: TablePlan, columns: Sequence[int]) -> int:
    """Remove (or set NULL) children of `edge` whose parent row is not in the store; gives their number.

    Only for a store that is at one position with parent and child alike: there, InnoDB had no such row.
    """
    is_set = sql.SQL(" AND ").join(sql.SQL("c.{} IS NOT NULL").format(_name(edge.child, index)) for index in edge.match)
    same = sql.SQL(" AND ").join(
        sql.SQL("p.{} = c.{}").format(_name(parent, theirs), _name(edge.child, ours))
        for theirs, ours in zip(columns, edge.match, strict=True)
    )
    orphaned = sql.SQL("{} AND {} AND NOT EXISTS (SELECT 1 FROM {} AS p WHERE {} AND {})").format(
        is_set, _own(edge.child, "c"), _table(parent), same, _own(parent, "p")
    )
    if edge.on_delete is Action.SET_NULL:
        blanks = sql.SQL(", ").join(sql.SQL("{} = NULL").format(_name(edge.child, column)) for column, _ in edge.assign)
        query = sql.SQL("UPDATE {} AS c SET {} WHERE {}").format(_table(edge.child), blanks, orphaned)
    else:
        query = sql.SQL("DELETE FROM {} AS c WHERE {}").format(_table(edge.child), orphaned)
    # Parameters, though there are none: the names are quoted for statements that have them.
    return connection.execute(query, ()).rowcount


def _table(plan: TablePlan) -> sql.SQL:
    return quoted(plan.target.schema, plan.target.name)


def _name(plan: TablePlan, column: int) -> sql.SQL:
    return quoted(plan.columns[column].target.name)


def _own(plan: TablePlan, alias: str) -> sql.SQL:
    """The plan's own rows; the text goes through the driver's placeholders unchanged."""
    return sql.SQL(own_rows(plan, alias).replace("%", "%%"))


def _value(prefix: str, place: int) -> sql.Identifier:
    return sql.Identifier(f"{prefix}{place}")


def _typed_array(edge: Edge, column: int) -> sql.Composed:
    # The type comes from the compiled plan, in PostgreSQL's own spelling; it is not an identifier that can be quoted.
    return sql.SQL("CAST(%s AS {}[])").format(sql.SQL(edge.child.columns[column].target.type))


def _given(edge: Edge, prefix: str) -> sql.Composed:
    return sql.SQL("(SELECT DISTINCT * FROM unnest({}) AS u({}))").format(
        sql.SQL(", ").join([_typed_array(edge, index) for index in edge.match]),
        sql.SQL(", ").join([_value(prefix, place) for place in range(len(edge.match))]),
    )


def _matching(edge: Edge) -> sql.Composed:
    pairs = [
        sql.SQL("c.{} = v.{}").format(_name(edge.child, column), _value(_OLD, place))
        for place, column in enumerate(edge.match)
    ]
    return sql.SQL(" AND ").join([*pairs, *([_own(edge.child, "c")] if edge.child.told_by else [])])


def _texts(plan: TablePlan, columns: Sequence[int]) -> sql.Composed:
    return sql.SQL(", ").join(sql.SQL("c.{}::text").format(_name(plan, column)) for column in columns)


def _arrays(rows: list[Row]) -> list[list[str | None]]:
    """Column-wise arrays of text, for unnest."""
    return [
        [field.decode() if isinstance(field, bytes) else None for field in column] for column in zip(*rows, strict=True)
    ]


def _bytes(row: Sequence[str | None]) -> Row:
    return tuple(None if field is None else field.encode() for field in row)

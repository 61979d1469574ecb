"""Foreign-key cascades that the source does not log: which children a parent's change reaches, from the catalogue.

InnoDB runs ON DELETE / ON UPDATE actions below the binlog (MySQL up to 9.5, MariaDB). Each store has its own graph:
the parent may live elsewhere, then its changes are only watched. What cannot be followed exactly is refused by name
when the graph is built. The SQL is `sync/postgres/cascading.py`'s.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from model.errors import ApplyError, Refused
from model.rows import ABSENT, Field, Op, Row, RowChange
from model.tables import ForeignKeyDef, TableDef, TableId
from stores.mysql import ServerInfo
from transforms.plan import ColumnKind, ColumnPlan, TablePlan


class Action(StrEnum):
    """What the source does to children."""

    NONE = "none"
    CASCADE = "cascade"
    SET_NULL = "set null"


@dataclass(frozen=True, slots=True)
class Onward:
    """From a child, whose rows a cascade changes, to its own children: the next edge and where its values come from."""

    edge: int
    """Index into `CascadeGraph.edges`."""
    columns: tuple[int, ...]
    """Target columns of the child that the next edge's foreign key refers to."""


@dataclass(frozen=True, slots=True)
class Edge:
    """One foreign key of a child plan of this store."""

    name: str
    parent: TableId
    child: TablePlan
    parent_columns: tuple[int, ...]
    """Ordinals of the referenced columns in the parent's source table."""
    match: tuple[int, ...]
    """Target columns of the child that hold the foreign key."""
    assign: tuple[tuple[int, int], ...]
    """(target column of the child, position in the foreign key) of every column that follows the foreign key."""
    on_delete: Action
    on_update: Action
    onward: tuple[Onward, ...] = ()

    def values(self, fields: Row) -> Row | None:
        """Source values of the referenced columns as the child's target column holds them; None when one is NULL."""
        if None in fields:
            return None
        width = len(self.child.source.columns)
        converted: list[Field] = []
        for index, field in zip(self.match, fields, strict=True):
            column = self.child.columns[index]
            assert column.source is not None
            row: list[Field] = [ABSENT] * width
            row[column.source] = field
            converted.append(column.value(tuple(row)))
        return tuple(converted)


@dataclass(frozen=True, slots=True)
class Trigger:
    """A parent's change that reaches children: through `edge`, from the values `old` to `new` (None: deleted)."""

    edge: Edge
    old: Row
    new: Row | None


class CascadeGraph:
    """All edges that end in one store. Immutable."""

    def __init__(self, edges: Iterable[Edge] = ()) -> None:
        self.edges = tuple(edges)
        self._from: dict[TableId, list[Edge]] = {}
        for edge in self.edges:
            self._from.setdefault(edge.parent, []).append(edge)

    @property
    def parents(self) -> frozenset[TableId]:
        """Source tables whose changes must be watched."""
        return frozenset(self._from)

    def parents_of(self, plans: Iterable[TablePlan]) -> frozenset[TableId]:
        """Source tables whose logged changes can reach one of the plans, directly or through rows of this store."""
        wanted = {plan.id for plan in plans}
        return frozenset(
            edge.parent for edge in self.edges if wanted.intersection(plan.id for plan in self.closure([edge]))
        )

    def triggers(self, change: RowChange) -> list[Trigger]:
        """What a logged change sets off. Raises ApplyError when a partial image hides a referenced column."""
        if change.op is Op.INSERT:
            return []
        edges = self._from.get(change.table)
        if not edges:
            return []
        assert change.before is not None
        found: list[Trigger] = []
        for edge in edges:
            trigger = _deleted(edge, change) if change.op is Op.DELETE else _updated(edge, change)
            if trigger is not None:
                found.append(trigger)
        return found

    def closure(self, edges: Iterable[Edge]) -> tuple[TablePlan, ...]:
        """Plans whose rows the edges can change, with what follows from them."""
        found: dict[str, TablePlan] = {}
        seen: set[int] = set()
        queue = list(edges)
        while queue:
            edge = queue.pop()
            if id(edge) in seen:
                continue
            seen.add(id(edge))
            found[edge.child.id] = edge.child
            queue.extend(self.edges[onward.edge] for onward in edge.onward)
        return tuple(found.values())

    def chained(self, plan: TablePlan) -> tuple[Edge, ...]:
        """Edges into `plan` whose parent rows can vanish by a cascade, unseen in the binlog."""
        ids = {(onward.edge) for edge in self.edges for onward in edge.onward}
        return tuple(edge for index, edge in enumerate(self.edges) if index in ids and edge.child.id == plan.id)

    def middles(self, edge: Edge) -> tuple[tuple[TablePlan, tuple[int, ...]], ...]:
        """Plans whose rows are the parents of a chained edge, and the columns of theirs that it refers to."""
        index = next(number for number, other in enumerate(self.edges) if other is edge)
        found = {
            before.child.id: (before.child, onward.columns)
            for before in self.edges
            for onward in before.onward
            if onward.edge == index
        }
        return tuple(found.values())


def _deleted(edge: Edge, change: RowChange) -> Trigger | None:
    if edge.on_delete is Action.NONE:
        return None
    assert change.before is not None
    old = edge.values(_present(edge, change.before, change.table))
    return Trigger(edge, old, None) if old is not None else None


def _updated(edge: Edge, change: RowChange) -> Trigger | None:
    assert change.before is not None and change.after is not None
    after = tuple(change.after[ordinal] for ordinal in edge.parent_columns)
    if edge.on_update is Action.NONE or all(field is ABSENT for field in after):
        return None
    before = _present(edge, change.before, change.table)
    now = tuple(old if new is ABSENT else new for old, new in zip(before, after, strict=True))
    if before == now:
        return None
    old, new = edge.values(before), edge.values(now)
    if old is None:
        return None
    return Trigger(edge, old, new if new is not None else tuple(None for _ in old))


def _present(edge: Edge, row: Row, table: TableId) -> Row:
    fields = tuple(row[ordinal] for ordinal in edge.parent_columns)
    if ABSENT in fields:
        raise ApplyError(
            f"a partial row image hides the columns that foreign key {edge.name} refers to",
            hint="Set binlog_row_image=FULL on the source (also in sessions that change it).",
            table=table,
        )
    return fields


def cascades_are_logged(info: ServerInfo, native_foreign_keys: str | None) -> bool:
    """Whether the source writes cascaded changes to the binlog: MySQL from 9.6 on (WL#11249), then no graph is needed.

    `native_foreign_keys` is the value of the variable `innodb_native_foreign_keys`, which brings the old way back.
    """
    native = (native_foreign_keys or "OFF").upper() in ("ON", "1")
    return not info.mariadb and info.version >= (9, 6, 0) and not native


def build_graph(tables: Mapping[TableId, TableDef], plans: Iterable[TablePlan]) -> CascadeGraph:
    """The graph of one store from the source's tables and the store's plans.

    Raises Refused naming every foreign key whose cascade could not be followed exactly.
    """
    by_source: dict[TableId, list[TablePlan]] = {}
    for plan in plans:
        by_source.setdefault(plan.source.id, []).append(plan)
    problems: list[str] = []
    edges: list[Edge] = []
    keys = [(table, key) for table in tables.values() for key in table.foreign_keys if _acts(key)]
    for table, key in keys:
        for plan in by_source.get(table.id, []):
            edge = _edge(tables, table, key, plan, problems)
            if edge is not None:
                edges.append(edge)
    edges = _linked(edges, tables, keys, by_source, problems)
    if problems:
        raise Refused(
            "cascades of the source cannot be followed: " + "; ".join(sorted(set(problems))),
            hint="Keep these columns and tables in the store, or drop the ON DELETE/ON UPDATE action at the source.",
        )
    return CascadeGraph(edges)


def _acts(key: ForeignKeyDef) -> bool:
    return _action(key.on_delete) is not Action.NONE or _action(key.on_update) is not Action.NONE


def _action(text: str) -> Action:
    upper = text.upper()
    return Action.CASCADE if upper == "CASCADE" else Action.SET_NULL if upper == "SET NULL" else Action.NONE


def _edge(
    tables: Mapping[TableId, TableDef], table: TableDef, key: ForeignKeyDef, plan: TablePlan, problems: list[str]
) -> Edge | None:
    label = f"{table.id}.{key.name}"
    parent = tables.get(key.ref_table)
    if parent is None:
        problems.append(f"{label}: parent table {key.ref_table} is unknown")
        return None
    ordinals = [table.index_of(name) for name in key.columns]
    if _action(key.on_delete) is not Action.CASCADE and not _read(plan).intersection(ordinals):
        return None  # a part of the table that has nothing of the foreign key: no row and no value of it changes
    match: list[int] = []
    for ordinal in ordinals:
        found = [index for index, column in enumerate(plan.columns) if _faithful(column) and column.source == ordinal]
        if not found:
            problems.append(f"{label}: {plan.target} has no faithful copy of column {table.columns[ordinal].name}")
            return None
        match.append(found[0])
    assign = tuple(
        (index, ordinals.index(column.source))
        for index, column in enumerate(plan.columns)
        if column.source is not None and column.source in ordinals
    )
    on_delete, on_update = _action(key.on_delete), _action(key.on_update)
    changes_values = on_delete is Action.SET_NULL or on_update is not Action.NONE
    computed = {ordinal for column in plan.columns if column.expression for ordinal in column.expression.columns}
    filtered = set(plan.where.columns) if plan.where else set()
    if changes_values and (computed | filtered).intersection(ordinals):
        problems.append(f"{label}: an expression or filter of {plan.target} reads the column that the cascade changes")
        return None
    if changes_values and any(not _faithful(plan.columns[index]) for index, _ in assign):
        problems.append(f"{label}: a value map of {plan.target} reads the column that the cascade changes")
        return None
    return Edge(
        label,
        parent.id,
        plan,
        tuple(parent.index_of(name) for name in key.ref_columns),
        tuple(match),
        assign,
        on_delete,
        on_update,
    )


def _read(plan: TablePlan) -> set[int]:
    """Ordinals of the source columns that the plan's rows are made of."""
    found = {column.source for column in plan.columns if column.source is not None}
    found.update(ordinal for column in plan.columns if column.expression for ordinal in column.expression.columns)
    return found | (set(plan.where.columns) if plan.where else set())


def _faithful(column: ColumnPlan) -> bool:
    """Whether different source values stay different, so that a lookup by value finds the right rows."""
    return column.kind is ColumnKind.COPY and all(cast.reversible for cast in column.casts)


def _linked(
    edges: list[Edge],
    tables: Mapping[TableId, TableDef],
    keys: list[tuple[TableDef, ForeignKeyDef]],
    by_source: Mapping[TableId, list[TablePlan]],
    problems: list[str],
) -> list[Edge]:
    """Edges with their `onward` links: edge A → B leads on to edge B → C, whose values are found in B's target rows."""
    onwards: dict[int, list[Onward]] = {}
    for index, edge in enumerate(edges):
        incoming = [key for table, key in keys if table.id == edge.parent and _reaches(key, table, edge)]
        if not incoming:
            continue
        whole = [plan for plan in by_source.get(edge.parent, []) if plan.where is None]
        carriers = [(plan, columns) for plan in whole if (columns := _same_form(plan, edge)) is not None]
        if not carriers:
            problems.append(
                f"{edge.name}: rows of {edge.parent} also change by foreign key {incoming[0].name}, "
                f"and store {edge.child.target.store} does not hold them whole and in the same form"
            )
            continue
        carrier, columns = carriers[0]
        names = {f"{tables[edge.parent].id}.{key.name}" for key in incoming}
        for before, other in enumerate(edges):
            if other.child.id == carrier.id and other.name in names:
                onwards.setdefault(before, []).append(Onward(index, columns))
    return [dataclasses.replace(edge, onward=tuple(onwards.get(index, ()))) for index, edge in enumerate(edges)]


def _reaches(key: ForeignKeyDef, middle: TableDef, edge: Edge) -> bool:
    """Whether what `key` does to rows of `middle` sets off `edge`, whose parent `middle` is."""
    if _action(key.on_delete) is Action.CASCADE and edge.on_delete is not Action.NONE:
        return True
    writes = _action(key.on_update) is not Action.NONE or _action(key.on_delete) is Action.SET_NULL
    touched = {middle.index_of(name) for name in key.columns}
    return writes and edge.on_update is not Action.NONE and bool(touched.intersection(edge.parent_columns))


_FAMILIES = ("smallint", "integer", "bigint"), ("text", "character varying", "varchar")


def _same_form(plan: TablePlan, edge: Edge) -> tuple[int, ...] | None:
    """Columns of the parent's plan whose values are the bytes of the child's foreign key; None if not all are there."""
    found: list[int] = []
    for ordinal, match in zip(edge.parent_columns, edge.match, strict=True):
        child = edge.child.columns[match]
        for index, column in enumerate(plan.columns):
            if column.source != ordinal or not _faithful(column) or column.casts != child.casts:
                continue
            if _family(column.target.type) == _family(child.target.type):
                found.append(index)
                break
        else:
            return None
    return tuple(found)


def _family(type_name: str) -> str:
    base = type_name.partition("(")[0].strip().lower()
    return next((family[0] for family in _FAMILIES if base in family), type_name.lower())

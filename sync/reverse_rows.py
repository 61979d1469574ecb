"""From rows of the replication stream to changes of source rows: one binding per published table shape. No I/O.

An UPDATE converts only what differs from the old row; values that were not sent (UNCHANGED) are those of the old row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from model.errors import SchemaDrift, ValueRefused
from model.rows import Field, Op, Row
from sync.postgres.pgoutput import UNCHANGED, Delete, Insert, Relation, Update, Value, Values
from transforms.reverse import ReversePlan, printed_alike


@dataclass(frozen=True, slots=True)
class SourceChange:
    """One change of one source row; rows are in the order of `plan.columns`. TRUNCATE has neither row."""

    plan: ReversePlan
    op: Op | None
    """None: all rows of the plan go."""
    old: Row | None = None
    new: Row | None = None
    changed: tuple[int, ...] = ()
    """UPDATE: indexes of the columns that differ."""

    @property
    def bytes(self) -> int:
        """Size of its values."""
        return sum(len(field) for field in (*(self.old or ()), *(self.new or ())) if isinstance(field, bytes))


class TableBinding:
    """One relation as it is now, bound to the plan that turns its rows back."""

    def __init__(self, relation: Relation, plan: ReversePlan) -> None:
        """Raises SchemaDrift when the table lacks a column or does not log whole old rows."""
        self.plan = plan
        self._relation = relation
        places = {column.name: index for index, column in enumerate(relation.columns)}
        missing = sorted(plan.reads - places.keys())
        if missing:
            raise SchemaDrift(
                f"the store's table has no column {missing[0]} any more, which goes back to the source",
                table=f"{relation.schema}.{relation.table}",
                column=missing[0],
            )
        self._reads = tuple(tuple(places[name] for name in column.reads) for column in plan.columns)
        self._converts = tuple(column.convert for column in plan.columns)
        self._names = tuple(column.column.name for column in plan.columns)
        known = {column.name for column in plan.plan.target.columns}
        self.unknown = tuple(name for name in places if name not in known)
        """Columns that only the store has; their values are not sent back."""
        looked_up = {column.name for column in plan.plan.target.columns if column.lookup is not None}
        self._looked_up = [column.name in looked_up for column in relation.columns] if looked_up else []

    def kept_by_store(self, message: Insert | Update | Delete) -> bool:
        """Whether nothing changes but looked-up columns: the store did that by itself, and the source has none."""
        if not self._looked_up or not isinstance(message, Update) or message.old is None or not message.whole:
            return False
        pairs = zip(message.old, message.new, self._looked_up, strict=True)
        return all(looked_up or new is UNCHANGED or new == old for old, new, looked_up in pairs)

    def change(self, message: Insert | Update | Delete) -> SourceChange:
        """The change of the source row. Raises ValueRefused (a value MySQL has no place for), SchemaDrift."""
        if isinstance(message, Insert):
            return SourceChange(self.plan, Op.INSERT, None, self.row(message.new))
        if message.old is None or not message.whole:
            raise SchemaDrift(
                "the store does not log whole old rows of a table any more",
                hint="ALTER TABLE … REPLICA IDENTITY FULL; then compare the table: rows changed since may differ.",
                table=f"{self._relation.schema}.{self._relation.table}",
            )
        old = self.row(message.old)
        if isinstance(message, Delete):
            return SourceChange(self.plan, Op.DELETE, old)
        return self._update(message.old, old, message.new)

    def _update(self, before: Values, old: Row, after: Values) -> SourceChange:
        differs = [new is not UNCHANGED and new != was for was, new in zip(before, after, strict=True)]
        row: list[Field] = list(old)
        changed: list[int] = []
        for index, places in enumerate(self._reads):
            if any(differs[place] for place in places):
                whole = [before[place] if after[place] is UNCHANGED else after[place] for place in places]
                row[index] = self._converted(index, whole, after)
                if row[index] != old[index]:
                    changed.append(index)
        return SourceChange(self.plan, Op.UPDATE, old, tuple(row), tuple(changed))

    def row(self, values: Values) -> Row:
        """The source row that a row of the store stands for, in the order of `plan.columns`. Raises ValueRefused."""
        return tuple(
            self._converted(index, [values[place] for place in places], values)
            for index, places in enumerate(self._reads)
        )

    def _converted(self, index: int, fields: Sequence[Value], row: Values) -> Field:
        try:
            return self._converts[index](tuple(fields))  # type: ignore[arg-type]
        except ValueRefused as error:
            error.where.setdefault("table", f"{self._relation.schema}.{self._relation.table}")
            error.where.setdefault("column", self._names[index])
            error.where.setdefault("key", self._shown_key(row))
            raise

    def _shown_key(self, row: Values) -> str:
        names = self.plan.plan.target.key
        values: Mapping[str, Value] = dict(zip((item.name for item in self._relation.columns), row, strict=True))
        found = ((name, values.get(name)) for name in names)
        return ", ".join(
            f"{name}={value.decode(errors='replace')}" for name, value in found if isinstance(value, bytes)
        )


class RelationBinding:
    """One relation and every plan that has rows in it: each row goes back to the source table that it came from."""

    def __init__(self, relation: Relation, plans: Sequence[ReversePlan]) -> None:
        """Raises SchemaDrift as `TableBinding` does."""
        self._relation = relation
        self.tables = tuple(TableBinding(relation, plan) for plan in plans)
        self.target = str(plans[0].plan.target)
        places = {column.name: index for index, column in enumerate(relation.columns)}
        self._owners = tuple(
            tuple(
                (places[name], printed_alike(plan.plan.target.column(name).type), value) for name, value in plan.told_by
            )
            for plan in plans
        )

    @property
    def unknown(self) -> tuple[str, ...]:
        """Columns that only the store has."""
        return self.tables[0].unknown

    def kept_by_store(self, message: Insert | Update | Delete) -> bool:
        """Whether the store changed its looked-up columns only. Tables that several plans share have none."""
        return self.tables[0].kept_by_store(message)

    def changes(self, message: Insert | Update | Delete) -> tuple[SourceChange, ...]:
        """The changes of source rows: one, or two when a row moves from one source table to another.

        Raises ValueRefused, also for a row that is of no source table, and SchemaDrift.
        """
        if len(self.tables) == 1:
            return (self.tables[0].change(message),)
        if isinstance(message, Insert):
            return (self._owner(message.new).change(message),)
        if message.old is None or not message.whole:
            return (self.tables[0].change(message),)  # raises: the store does not log whole old rows
        before = self._owner(message.old)
        if isinstance(message, Delete):
            return (before.change(message),)
        whole = tuple(old if new is UNCHANGED else new for old, new in zip(message.old, message.new, strict=True))
        after = self._owner(whole)
        if after is before:
            return (before.change(message),)
        return before.change(Delete(message.relation, message.old, whole=True)), after.change(
            Insert(message.relation, whole)
        )

    def _owner(self, values: Values) -> TableBinding:
        for table, owner in zip(self.tables, self._owners, strict=True):
            if all(
                isinstance(found := values[place], bytes) and spelled(found) == spelled(value)
                for place, spelled, value in owner
            ):
                return table
        shown = ", ".join(
            f"{self._relation.columns[place].name} = {values[place]!r}" for place, _, _ in self._owners[0]
        )
        raise ValueRefused(
            f"no source table takes rows with {shown}",
            hint="Mend the row in the store: its value must be one of those that the configuration adds.",
            table=f"{self._relation.schema}.{self._relation.table}",
        )

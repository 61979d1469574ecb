"""From a table's plans before and after a statement of the source to the statements that bring the store along.

What loses nothing is to be done at once; what takes something away waits for an operator; what the source did to values
by rules of its own cannot be repeated, and the table has to be copied anew. No I/O.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from sync.ddl_fill import UnknownFill, fill_sql
from sync.ddl_kinship import Kinship, kinship
from transforms.ddl import column_sql, index_sql, qualified, sequence_name
from transforms.names import literal, primary_key_name, quoted
from transforms.plan import ColumnKind, ColumnPlan, TablePlan
from transforms.target import TargetColumn, TargetIndex


class Verdict(IntEnum):
    """What may be done about a change, the worst part counts."""

    FOLLOW = 0
    ASK = 1
    COPY = 2


@dataclass(slots=True)
class Effects:
    """What a statement of the source means for one target table."""

    statements: list[str] = field(default_factory=list)
    """SQL for the store, in order."""
    verdict: Verdict = Verdict.FOLLOW
    reasons: list[str] = field(default_factory=list)
    """Why it is not FOLLOW."""

    def ask(self, reason: str) -> None:
        """An operator has to agree."""
        self.verdict = max(self.verdict, Verdict.ASK)
        self.reasons.append(reason)

    def copy(self, reason: str) -> None:
        """No statement can do it."""
        self.verdict = Verdict.COPY
        self.reasons.append(reason)


def effects(
    old: TablePlan, new: TablePlan, renamed: Mapping[str, str], moment: int | None, *, unique: bool, keep: bool = False
) -> Effects:
    """The statements that lead from one plan's table to the other's.

    `renamed`: source columns by their old names. `moment`: see `ddl_fill`. `unique`: whether the table has its unique
    indexes; without them they come with the phase that creates them. `keep`: columns that the source has dropped stay
    in the store, with the values that they have.
    """
    return _Comparison(old, new, renamed, moment, unique=unique, keep=keep).run()


class _Comparison:
    def __init__(
        self,
        old: TablePlan,
        new: TablePlan,
        renamed: Mapping[str, str],
        moment: int | None,
        *,
        unique: bool,
        keep: bool,
    ) -> None:
        self._old, self._new = old, new
        self._renamed = {before.lower(): after for before, after in renamed.items()}
        self._moment = moment
        self._unique = unique
        self._keep = keep
        self._place = qualified(new.target.schema, new.target.name)
        self._found = Effects()
        self._names: dict[str, str] = {}
        """Target columns that stay: old name → new name."""

    def run(self) -> Effects:
        before, after = self._origins(self._old, renamed=True), self._origins(self._new, renamed=False)
        pairs = [(before[origin], after[origin]) for origin in before if origin in after]
        gone = [name for origin, name in before.items() if origin not in after]
        self._names = dict(pairs)
        self._drop_rules()
        for name in gone:
            if self._keep:
                self._say(f"ALTER TABLE {self._place} ALTER COLUMN {quoted(name)} DROP NOT NULL")
                continue
            self._found.ask(f"the column {name} would go, with its values")
            self._say(f"ALTER TABLE {self._place} DROP COLUMN {quoted(name)}")
        self._rename(pairs)
        self._enums()
        for origin, name in after.items():
            if origin not in before:
                self._add(self._new.target.column(name))
        for name, now in pairs:
            self._column(self._old.target.column(name), self._new.target.column(now))
        self._key()
        self._add_rules()
        return self._found

    def _say(self, statement: str) -> None:
        self._found.statements.append(statement)

    # -- which column is which

    def _origins(self, plan: TablePlan, *, renamed: bool) -> dict[tuple[str, str], str]:
        """Where each target column comes from → its name. Renamed source columns count by their new names."""
        plans = {column.target.name: column for column in plan.columns}
        found: dict[tuple[str, str], str] = {}
        for target in plan.target.columns:
            column = plans.get(target.name)
            origin = ("store", target.name)
            if column is not None and column.source is not None:
                name = plan.source.columns[column.source].name
                name = self._renamed.get(name.lower(), name) if renamed else name
                origin = ("source", name.lower())
                if origin in found:
                    origin = ("source", f"{name.lower()} as {target.name}")
            found[origin] = target.name
        return found

    def _rename(self, pairs: list[tuple[str, str]]) -> None:
        moved = [(name, now) for name, now in pairs if name != now]
        taken = {name for name, _ in moved}
        # Names that change places go by way of another.
        between = {name: f"crossfade_{number}" for number, (name, now) in enumerate(moved) if now in taken}
        for name, now in moved:
            self._say(f"ALTER TABLE {self._place} RENAME COLUMN {quoted(name)} TO {quoted(between.get(name, now))}")
        for name, now in moved:
            if name in between:
                self._say(f"ALTER TABLE {self._place} RENAME COLUMN {quoted(between[name])} TO {quoted(now)}")

    def _plan_of(self, plan: TablePlan, target: str) -> ColumnPlan | None:
        return next((column for column in plan.columns if column.target.name == target), None)

    # -- columns

    def _add(self, column: TargetColumn) -> None:
        plan = self._plan_of(self._new, column.name)
        fill = None
        if plan is not None:
            if plan.kind is not ColumnKind.COPY or plan.source is None:
                self._found.copy(f"the column {column.name} is new and its rule needs every row")
                return
            try:
                fill = fill_sql(self._new.source.columns[plan.source], plan, self._moment)
            except UnknownFill as error:
                self._found.copy(f"nobody can tell the values of the new column {column.name}: {error}")
                return
        elif column.generated is None:
            self._found.copy(f"the column {column.name} is new and nothing feeds it")
            return
        self._say(
            f"ALTER TABLE {self._place} ADD COLUMN"
            f" {column_sql(self._new.target, dataclasses.replace(column, default=fill, identity=False))}"
        )
        if column.default != fill and column.generated is None:
            self._default(column)
        if column.comment:
            self._comment(column)

    def _column(self, old: TargetColumn, new: TargetColumn) -> None:
        name = quoted(new.name)
        before, after = self._plan_of(self._old, old.name), self._plan_of(self._new, new.name)
        if old.generated != new.generated or (before is None) != (after is None):
            self._found.copy(f"the column {new.name} is computed in another way")
            return
        self._values(before, after, new)
        sequence = new.identity and new.type.startswith("numeric")
        if old.identity and (not new.identity or sequence) and not old.type.startswith("numeric"):
            self._say(f"ALTER TABLE {self._place} ALTER COLUMN {name} DROP IDENTITY IF EXISTS")
        if (old.type, old.collation) != (new.type, new.collation):
            if old.default is not None:
                self._say(f"ALTER TABLE {self._place} ALTER COLUMN {name} DROP DEFAULT")
            collate = f" COLLATE {quoted(new.collation)}" if new.collation else ""
            if not collate and old.collation:
                collate = ' COLLATE "default"'
            self._say(
                f"ALTER TABLE {self._place} ALTER COLUMN {name} TYPE {new.type}{collate} USING {name}::{new.type}"
            )
        if old.nullable != new.nullable:
            self._say(f"ALTER TABLE {self._place} ALTER COLUMN {name} {'DROP' if new.nullable else 'SET'} NOT NULL")
        if new.identity and not old.identity and not sequence:
            self._say(f"ALTER TABLE {self._place} ALTER COLUMN {name} DROP DEFAULT")
            self._say(f"ALTER TABLE {self._place} ALTER COLUMN {name} ADD GENERATED BY DEFAULT AS IDENTITY")
        elif sequence and not (old.identity and old.type.startswith("numeric")):
            self._sequence(new)
        elif not new.identity and (old.default != new.default or (old.type != new.type and new.default is not None)):
            self._default(new)
        if old.comment != new.comment:
            self._comment(new)

    def _values(self, before: ColumnPlan | None, after: ColumnPlan | None, new: TargetColumn) -> None:
        if before is None or after is None or before.source is None or after.source is None:
            return
        old_source, new_source = self._old.source.columns[before.source], self._new.source.columns[after.source]
        kin = kinship(old_source, new_source)
        shape = f"{old_source.column_type} became {new_source.column_type}"
        if kin is Kinship.FOREIGN:
            self._found.copy(f"the source has converted the values of {new.name} ({shape}) by rules of its own")
        elif kin is Kinship.NARROWER:
            self._found.ask(f"the column {new.name} is narrower ({shape})")

    def _default(self, column: TargetColumn) -> None:
        act = f"SET DEFAULT {column.default}" if column.default is not None else "DROP DEFAULT"
        self._say(f"ALTER TABLE {self._place} ALTER COLUMN {quoted(column.name)} {act}")

    def _sequence(self, column: TargetColumn) -> None:
        name = qualified(self._new.target.schema, sequence_name(self._new.target, column))
        place = f"ALTER TABLE {self._place} ALTER COLUMN {quoted(column.name)}"
        self._say(f"CREATE SEQUENCE IF NOT EXISTS {name} OWNED BY {self._place}.{quoted(column.name)}")
        self._say(f"{place} SET DEFAULT nextval({literal(name)}::regclass)")

    def _comment(self, column: TargetColumn) -> None:
        text = literal(column.comment) if column.comment else "NULL"
        self._say(f"COMMENT ON COLUMN {self._place}.{quoted(column.name)} IS {text}")

    def _enums(self) -> None:
        known = {enum.name: enum.labels for enum in self._old.target.enums}
        for enum in self._new.target.enums:
            name = qualified(self._new.target.schema, enum.name)
            labels = known.get(enum.name)
            if labels is None:
                self._say(f"CREATE TYPE {name} AS ENUM ({', '.join(map(literal, enum.labels))})")
            elif enum.labels[: len(labels)] == labels:
                for label in enum.labels[len(labels) :]:
                    self._say(f"ALTER TYPE {name} ADD VALUE {literal(label)}")
            elif enum.labels != labels:
                self._found.copy(f"the labels of {enum.name} are in another order or fewer")

    # -- keys, indexes, checks

    def _key(self) -> None:
        old, new = tuple(self._names.get(name, name) for name in self._old.target.key), self._new.target.key
        if old == new:
            return
        self._found.ask(f"the key ({', '.join(old)}) becomes ({', '.join(new)})")
        constraint = quoted(primary_key_name(self._new.target.name))
        if old:
            self._say(f"ALTER TABLE {self._place} DROP CONSTRAINT IF EXISTS {constraint}")
        if new:
            columns = ", ".join(map(quoted, new))
            self._say(f"ALTER TABLE {self._place} ADD CONSTRAINT {constraint} PRIMARY KEY ({columns})")

    def _drop_rules(self) -> None:
        old, new = self._old.target, self._new.target
        schema = quoted(new.schema)
        for key in old.foreign_keys:
            if key not in new.foreign_keys:
                self._say(f"ALTER TABLE {self._place} DROP CONSTRAINT IF EXISTS {quoted(key.name)}")
        for check in old.checks:
            if check not in new.checks:
                self._say(f"ALTER TABLE {self._place} DROP CONSTRAINT IF EXISTS {quoted(check.name)}")
        for index in old.indexes:
            if index not in self._kept_indexes():
                self._say(f"DROP INDEX IF EXISTS {schema}.{quoted(index.name)}")

    def _kept_indexes(self) -> tuple[TargetIndex, ...]:
        changed = {
            name
            for name, now in self._names.items()
            if (before := self._old.target.column(name)) and (after := self._new.target.column(now))
            and (name != now or before.type != after.type)
        }  # fmt: skip
        return tuple(index for index in self._new.target.indexes if not changed & set(_read_by(index)))

    def _add_rules(self) -> None:
        for check in self._new.target.checks:
            if check not in self._old.target.checks:
                self._say(f"ALTER TABLE {self._place} ADD CONSTRAINT {quoted(check.name)} CHECK ({check.expression})")
        kept = [index for index in self._kept_indexes() if index in self._old.target.indexes]
        for index in self._new.target.indexes:
            if index not in kept and (self._unique or not index.unique):
                self._say(index_sql(self._new.target, index))
        if self._old.target.comment != self._new.target.comment:
            text = literal(self._new.target.comment) if self._new.target.comment else "NULL"
            self._say(f"COMMENT ON TABLE {self._place} IS {text}")


def _read_by(index: TargetIndex) -> Iterator[str]:
    """Names that an index's parts may hold."""
    for part in index.parts:
        yield from (piece.replace('""', '"') for piece in part.split('"')[1::2])

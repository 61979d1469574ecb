"""Table plans: how one source table at one schema version becomes one table of one store. Immutable, compiled once.

A plan with only COPY columns never makes Python objects of the values; the decoder can emit its fields directly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from model.errors import ValueRefused
from model.rows import ABSENT, Field, Row
from model.tables import TableDef, TableId
from transforms.lookup import Lookup
from transforms.read_model import ReadModel
from transforms.target import TargetColumn, TargetTable

Convert = Callable[[Field], Field]
"""Turns one field's text form into another; raises ValueRefused with the reason."""


class ColumnKind(StrEnum):
    """Where a target column's value comes from."""

    COPY = "copy"
    MAP = "map"
    CONSTANT = "constant"
    EXPRESSION = "expression"


@dataclass(frozen=True, slots=True)
class Cast:
    """A named conversion of one field. The name is what other implementations (SQL, the compiled kernel) key on."""

    name: str
    convert: Convert = field(compare=False, repr=False)
    reversible: bool = True
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CompiledExpression:
    """One vetted computation in three languages that agree: Python over a source row, MySQL's SQL, PostgreSQL's SQL."""

    text: str
    evaluate: Callable[[Row], Field] = field(compare=False, repr=False)
    mysql: str
    postgres: str
    """Over the *source* column names, for documentation and for columns that exist under the same name."""
    columns: tuple[int, ...]
    """Ordinals of the source columns it reads."""
    unpushable: str = ""
    """Why only Python computes it; `mysql` and `postgres` are empty then."""


@dataclass(frozen=True, slots=True)
class SoftDelete:
    """How the application marks rows of the source as deleted. Such rows are not in the store."""

    text: str
    mysql: str
    """The condition of a marked row, as the source's SQL."""
    others: str | None = None
    """The rest of the plan's filter, for people."""
    marks: tuple[tuple[int, Field], ...] = ()
    """(ordinal, neutral form) of the source columns that mark a row; ABSENT stands for the present time. () when the
    condition does not tell."""


@dataclass(frozen=True, slots=True)
class Inverse:
    """A function from a target column's text to a source column's."""

    name: str
    gives: int
    """Ordinal of the source column."""
    call: Callable[[str | None], Field] = field(compare=False, repr=False)
    """Takes what the store prints, without casts. Raises ValueRefused."""


@dataclass(frozen=True, slots=True)
class ColumnPlan:
    """One target column of a plan."""

    target: TargetColumn
    kind: ColumnKind
    source: int | None = None
    """Ordinal of the source column for COPY and MAP."""
    casts: tuple[Cast, ...] = ()
    mapping: Mapping[bytes, Field] | None = None
    otherwise: Field | None = None
    """MAP: value for what the mapping does not hold; None with `strict` True refuses."""
    strict: bool = True
    constant: Field = None
    expression: CompiledExpression | None = None
    masked: bool = False
    """Its values are nobody's business: findings, logs and reports say that they differ, not what they are."""
    apart: bool = False
    """EXPRESSION: different source values always give different values, so that it can stand in a key."""
    one_way: str = ""
    """EXPRESSION: why its value never goes back; it stands in for its source column then."""
    inverse: Inverse | None = None
    """EXPRESSION: the user's own way back."""
    reverse: str | None = None
    """EXPRESSION: `source_column = expression over target columns`, how the store's value goes back."""

    @property
    def reads(self) -> frozenset[int]:
        """Ordinals of the source columns that its value depends on."""
        if self.expression is not None:
            return frozenset(self.expression.columns)
        return frozenset() if self.source is None else frozenset({self.source})

    def value(self, row: Row) -> Field:
        """The column's field for one source row. Raises ValueRefused."""
        result = self.before_casts(row)
        if result is ABSENT or self.kind is ColumnKind.CONSTANT:
            return result
        for cast in self.casts:
            result = cast.convert(result)
        return result

    def before_casts(self, row: Row) -> Field:
        """The field that the casts begin with. Raises ValueRefused."""
        if self.kind is ColumnKind.CONSTANT:
            return self.constant
        if self.kind is ColumnKind.EXPRESSION:
            assert self.expression is not None
            if any(row[ordinal] is ABSENT for ordinal in self.expression.columns):
                return ABSENT
            return self.expression.evaluate(row)
        assert self.source is not None
        result = row[self.source]
        if self.kind is ColumnKind.MAP and isinstance(result, bytes):
            return self._mapped(result)
        return result

    def _mapped(self, value: Field) -> Field:
        assert self.mapping is not None and isinstance(value, bytes)
        if value in self.mapping:
            return self.mapping[value]
        if self.strict:
            raise ValueRefused(
                f"the value map has no entry for {value.decode(errors='replace')!r}",
                hint="Add the value, or a default '*', to the column's map.",
                column=self.target.name,
            )
        return self.otherwise


def _projection(columns: tuple[ColumnPlan, ...]) -> Callable[[Row], Row]:
    """A function from source row to target row that touches only the fields which some cast or rule changes."""
    sources = [column.source if column.kind is ColumnKind.COPY else 0 for column in columns]
    ordinals = [0 if source is None else source for source in sources]
    casts = [
        (place, cast.convert)
        for place, column in enumerate(columns)
        if column.kind is ColumnKind.COPY
        for cast in column.casts
    ]
    computed = [(place, column.value) for place, column in enumerate(columns) if column.kind is not ColumnKind.COPY]

    def project(row: Row) -> Row:
        fields: list[Field] = [row[ordinal] for ordinal in ordinals]
        for place, convert in casts:
            fields[place] = convert(fields[place])
        for place, value in computed:
            fields[place] = value(row)
        return tuple(fields)

    return project


@dataclass(frozen=True, slots=True)
class TablePlan:
    """One source table at one schema version → one target table."""

    source: TableDef
    target: TargetTable
    columns: tuple[ColumnPlan, ...]
    """Written target columns in order (generated and looked-up ones are not among them)."""
    key: tuple[int, ...]
    """Indexes into `columns` of the key; () for a keyless table."""
    uniques: tuple[tuple[int, ...], ...] = ()
    """Indexes into `columns` of every other unique index made of whole columns."""
    where: CompiledExpression | None = None
    """A row belongs to the target only when this evaluates to b'1'."""
    deleted: SoftDelete | None = None
    """Part of `where`, kept apart for the way back and for people."""
    told_by: tuple[int, ...] = ()
    """Indexes into `columns` of the constants in the key that tell its rows from those of other plans with the same
    target table; () when the table is its own."""
    routed: bool = False
    """Whether it takes one share of a routed table: other plans have other rows of the same source table."""
    notes: tuple[str, ...] = ()
    """What is lost or dropped, for people: losses of casts, dropped foreign keys, untranslated defaults."""
    id: str = field(init=False, compare=False, repr=False)
    """Stable name of the plan: `db.table>store:schema.table`."""
    _fields: Callable[[Row], Row] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", f"{self.source.id}>{self.target}")
        object.__setattr__(self, "_fields", _projection(self.columns))

    @property
    def plain(self) -> bool:
        """Whether every column is a COPY and no row is filtered. Casts may still apply."""
        return self.where is None and all(column.kind is ColumnKind.COPY for column in self.columns)

    def accepts(self, row: Row) -> bool:
        """Whether the row passes `where`. Needs the columns that `where` reads to be present."""
        return self.where is None or self.where.evaluate(row) == b"1"

    def project(self, row: Row) -> Row:
        """The target row, one field per `columns`. Raises ValueRefused naming table and column."""
        try:
            return self._fields(row)
        except ValueRefused:
            return self._project_by_name(row)

    def _project_by_name(self, row: Row) -> Row:
        """As `project`, column by column, so that a refusal can say which one it was."""
        fields: list[Field] = []
        for column in self.columns:
            try:
                fields.append(column.value(row))
            except ValueRefused as error:
                error.where.setdefault("table", str(self.source.id))
                error.where.setdefault("column", column.target.name)
                raise
        return tuple(fields)


@dataclass(frozen=True, slots=True)
class MigrationPlan:
    """All table plans of a migration, and the tables that are skipped with the reason."""

    plans: tuple[TablePlan, ...]
    skipped: Mapping[TableId, str]
    read_models: tuple[ReadModel, ...] = ()

    def of_source(self, table: TableId) -> tuple[TablePlan, ...]:
        """Plans that read `table`."""
        return tuple(plan for plan in self.plans if plan.source.id == table)

    def of_store(self, store: str) -> tuple[TablePlan, ...]:
        """Plans that write to `store`."""
        return tuple(plan for plan in self.plans if plan.target.store == store)

    def models_of(self, store: str) -> tuple[ReadModel, ...]:
        """Read models of `store`."""
        return tuple(model for model in self.read_models if model.store == store)

    def lookups_of(self, store: str) -> tuple[Lookup, ...]:
        """Columns that `store` looks up."""
        return tuple(lookup for target in self.targets_of(store) for lookup in target.lookups)

    @property
    def lookups(self) -> tuple[Lookup, ...]:
        """Columns that any store looks up."""
        return tuple(
            one for store in dict.fromkeys(p.target.store for p in self.plans) for one in self.lookups_of(store)
        )

    def targets_of(self, store: str) -> tuple[TargetTable, ...]:
        """Tables of `store`, each once."""
        return tuple(dict.fromkeys(plan.target for plan in self.of_store(store)))

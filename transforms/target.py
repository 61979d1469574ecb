"""Target tables as values: what the DDL, the appliers and the validators know of a store's tables."""

from __future__ import annotations

from dataclasses import dataclass

from transforms.lookup import Lookup


@dataclass(frozen=True, slots=True)
class TargetColumn:
    """One column of a target table. `type` is PostgreSQL's own spelling, e.g. `numeric(20,0)`."""

    name: str
    type: str
    nullable: bool = True
    identity: bool = False
    default: str | None = None
    """Default as PostgreSQL SQL, None for no default."""
    generated: str | None = None
    """Expression of a GENERATED ALWAYS … STORED column; such columns are never written."""
    lookup: Lookup | None = None
    """The store fills the column from another table; such columns are never written either."""
    collation: str | None = None
    comment: str = ""


@dataclass(frozen=True, slots=True)
class TargetIndex:
    """An index; `parts` are PostgreSQL SQL (quoted names or expressions, with ASC/DESC)."""

    name: str
    parts: tuple[str, ...]
    unique: bool = False
    method: str = "btree"
    columns: tuple[str, ...] = ()
    """Plain columns of a unique index, () when it has expressions."""


@dataclass(frozen=True, slots=True)
class TargetForeignKey:
    """A foreign key between two tables of the same store."""

    name: str
    columns: tuple[str, ...]
    ref_schema: str
    ref_table: str
    ref_columns: tuple[str, ...]
    on_delete: str
    on_update: str


@dataclass(frozen=True, slots=True)
class TargetCheck:
    """A CHECK constraint in PostgreSQL SQL."""

    name: str
    expression: str


@dataclass(frozen=True, slots=True)
class TargetEnum:
    """An enum type that belongs to one column of the table."""

    name: str
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TargetTable:
    """One table of one store."""

    store: str
    schema: str
    name: str
    columns: tuple[TargetColumn, ...]
    key: tuple[str, ...] = ()
    """Columns of the primary key (or of the unique index that serves as one); () for a keyless table."""
    indexes: tuple[TargetIndex, ...] = ()
    foreign_keys: tuple[TargetForeignKey, ...] = ()
    checks: tuple[TargetCheck, ...] = ()
    comment: str = ""
    enums: tuple[TargetEnum, ...] = ()

    @property
    def lookups(self) -> tuple[Lookup, ...]:
        """Its looked-up columns."""
        return tuple(column.lookup for column in self.columns if column.lookup is not None)

    def column(self, name: str) -> TargetColumn:
        """The column called exactly `name`. Raises KeyError."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    def __str__(self) -> str:
        return f"{self.store}:{self.schema}.{self.name}"

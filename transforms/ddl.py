"""Target tables → PostgreSQL DDL as values, in the phase each statement belongs to. Executes nothing.

Before the copy: schemas, enum types, tables with their primary key. After it, while nobody writes: plain indexes. When
the store is consistent with the source: unique indexes, then foreign keys (NOT VALID first, so that writers are only
held back for a moment, then validated).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from transforms.names import literal, primary_key_name, quoted, shorten
from transforms.target import TargetColumn, TargetForeignKey, TargetIndex, TargetTable


class Phase(StrEnum):
    """When a statement may run."""

    BEFORE_COPY = "before copy"
    AFTER_COPY = "after copy"
    AFTER_CONSISTENT = "after consistent"


class ObjectKind(StrEnum):
    """What a statement makes."""

    SCHEMA = "schema"
    ENUM = "type"
    SEQUENCE = "sequence"
    TABLE = "table"
    INDEX = "index"
    FOREIGN_KEY = "foreign key"
    VALIDATION = "validation"


@dataclass(frozen=True, slots=True)
class DdlObject:
    """The object that a statement makes; enough to find out whether it is there already."""

    kind: ObjectKind
    schema: str
    name: str
    table: str | None = None

    def __str__(self) -> str:
        path = [self.schema] if self.kind is ObjectKind.SCHEMA else [self.schema, self.name]
        of = f" of {self.table}" if self.table and self.table != self.name else ""
        return f"{self.kind} {'.'.join(path)}{of}"


@dataclass(frozen=True, slots=True)
class DdlStatement:
    """One object's DDL. `sql` may hold several statements (a table and its comments)."""

    phase: Phase
    object: DdlObject
    sql: str


_ACTIONS = frozenset({"NO ACTION", "RESTRICT", "CASCADE", "SET NULL", "SET DEFAULT"})


def qualified(schema: str, name: str) -> str:
    """A quoted name with its schema."""
    return f"{quoted(schema)}.{quoted(name)}"


def statements(tables: Iterable[TargetTable]) -> tuple[DdlStatement, ...]:
    """Every statement that makes `tables` of one store, in an order that works: phase by phase."""
    tables = tuple(tables)
    return tuple(statement for phase in Phase for statement in statements_of(tables, phase))


def statements_of(tables: Iterable[TargetTable], phase: Phase) -> list[DdlStatement]:
    """The statements of one phase, in an order that works."""
    tables = list(dict.fromkeys(tables))
    match phase:
        case Phase.BEFORE_COPY:
            return [*_schemas(tables), *(made for table in tables for made in _before_copy(table))]
        case Phase.AFTER_COPY:
            return [_index(table, index, phase) for table in tables for index in table.indexes if not index.unique]
        case Phase.AFTER_CONSISTENT:
            uniques = [_index(table, index, phase) for table in tables for index in table.indexes if index.unique]
            keys = [made for table in tables for key in table.foreign_keys for made in _foreign_key(table, key)]
            return [*uniques, *keys]


def _schemas(tables: Iterable[TargetTable]) -> Iterator[DdlStatement]:
    for schema in dict.fromkeys(table.schema for table in tables):
        yield DdlStatement(
            Phase.BEFORE_COPY,
            DdlObject(ObjectKind.SCHEMA, schema, schema),
            f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}",
        )


def sequence_name(table: TargetTable, column: TargetColumn) -> str:
    """Name of the sequence behind a counting column that cannot be an identity."""
    return shorten(f"{table.name}_{column.name}_seq")


def _before_copy(table: TargetTable) -> list[DdlStatement]:
    made = []
    for enum in table.enums:
        labels = ", ".join(literal(label) for label in enum.labels)
        made.append(
            DdlStatement(
                Phase.BEFORE_COPY,
                DdlObject(ObjectKind.ENUM, table.schema, enum.name, table.name),
                f"CREATE TYPE {qualified(table.schema, enum.name)} AS ENUM ({labels})",
            )
        )
    owned = []
    for column in table.columns:
        if column.identity and column.type.startswith("numeric"):
            name = sequence_name(table, column)
            made.append(
                DdlStatement(
                    Phase.BEFORE_COPY,
                    DdlObject(ObjectKind.SEQUENCE, table.schema, name, table.name),
                    f"CREATE SEQUENCE {qualified(table.schema, name)}",
                )
            )
            owner = f"{qualified(table.schema, table.name)}.{quoted(column.name)}"
            owned.append(f"ALTER SEQUENCE {qualified(table.schema, name)} OWNED BY {owner}")
    parts = [table_sql(table), *owned, *_comments(table)]
    place = DdlObject(ObjectKind.TABLE, table.schema, table.name, table.name)
    made.append(DdlStatement(Phase.BEFORE_COPY, place, ";\n".join(parts)))
    return made


def table_sql(table: TargetTable) -> str:
    """CREATE TABLE with columns, primary key and checks."""
    lines = [column_sql(table, column) for column in table.columns]
    if table.key:
        columns = ", ".join(quoted(name) for name in table.key)
        lines.append(f"CONSTRAINT {quoted(primary_key_name(table.name))} PRIMARY KEY ({columns})")
    lines += [f"CONSTRAINT {quoted(check.name)} CHECK ({check.expression})" for check in table.checks]
    body = ",\n".join(f"  {line}" for line in lines)
    return f"CREATE TABLE {qualified(table.schema, table.name)} (\n{body}\n)"


def column_sql(table: TargetTable, column: TargetColumn) -> str:
    """One column as CREATE TABLE and ALTER TABLE ADD take it."""
    parts = [quoted(column.name), column.type]
    if column.collation:
        parts.append(f"COLLATE {quoted(column.collation)}")
    if column.generated is not None:
        parts.append(f"GENERATED ALWAYS AS ({column.generated}) STORED")
    if not column.nullable:
        parts.append("NOT NULL")
    if column.identity and column.type.startswith("numeric"):
        sequence = qualified(table.schema, sequence_name(table, column))
        parts.append(f"DEFAULT nextval({literal(sequence)}::regclass)")
    elif column.identity:
        parts.append("GENERATED BY DEFAULT AS IDENTITY")
    elif column.default is not None:
        parts.append(f"DEFAULT {column.default}")
    return " ".join(parts)


def _comments(table: TargetTable) -> list[str]:
    place = qualified(table.schema, table.name)
    made = [f"COMMENT ON TABLE {place} IS {literal(table.comment)}"] if table.comment else []
    made += [
        f"COMMENT ON COLUMN {place}.{quoted(column.name)} IS {literal(column.comment)}"
        for column in table.columns
        if column.comment
    ]
    return made


def index_sql(table: TargetTable, index: TargetIndex, *, concurrently: bool = False) -> str:
    """CREATE INDEX. `concurrently`: while others write the table; not in a transaction then."""
    unique = "UNIQUE " if index.unique else ""
    beside = "CONCURRENTLY " if concurrently else ""
    method = "" if index.method == "btree" else f" USING {index.method}"
    parts = ", ".join(index.parts)
    place = qualified(table.schema, table.name)
    return f"CREATE {unique}INDEX {beside}{quoted(index.name)} ON {place}{method} ({parts})"


def _index(table: TargetTable, index: TargetIndex, phase: Phase) -> DdlStatement:
    place = DdlObject(ObjectKind.INDEX, table.schema, index.name, table.name)
    return DdlStatement(phase, place, index_sql(table, index))


def _foreign_key(table: TargetTable, key: TargetForeignKey) -> list[DdlStatement]:
    place, name = qualified(table.schema, table.name), quoted(key.name)
    columns = ", ".join(quoted(column) for column in key.columns)
    references = ", ".join(quoted(column) for column in key.ref_columns)
    assert key.on_delete in _ACTIONS and key.on_update in _ACTIONS, key
    return [
        DdlStatement(
            Phase.AFTER_CONSISTENT,
            DdlObject(ObjectKind.FOREIGN_KEY, table.schema, key.name, table.name),
            f"ALTER TABLE {place} ADD CONSTRAINT {name} FOREIGN KEY ({columns})"
            f" REFERENCES {qualified(key.ref_schema, key.ref_table)} ({references})"
            f" ON DELETE {key.on_delete} ON UPDATE {key.on_update} NOT VALID",
        ),
        DdlStatement(
            Phase.AFTER_CONSISTENT,
            DdlObject(ObjectKind.VALIDATION, table.schema, key.name, table.name),
            f"ALTER TABLE {place} VALIDATE CONSTRAINT {name}",
        ),
    ]

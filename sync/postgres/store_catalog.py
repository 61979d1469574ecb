"""What a store holds now: schemas, tables, columns, indexes, foreign keys, read set by set from its catalogue.

Only reads. Types are spelled by `format_type()`, enum types with their quoted schema, as plans spell them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from psycopg.rows import TupleRow

from stores.errors import translated
from stores.postgres import PostgresConnection
from transforms.names import quoted


@dataclass(frozen=True, slots=True)
class StoreColumn:
    """One column of a store's table."""

    name: str
    type: str
    nullable: bool
    has_default: bool
    """It has a default, is an identity, or is generated: an INSERT may leave it out."""
    generated: bool


@dataclass(frozen=True, slots=True)
class StoreIndex:
    """One index; `columns` is () when it has expressions."""

    schema: str
    name: str
    table: str
    unique: bool
    primary: bool
    columns: tuple[str, ...]
    valid: bool = True
    """False: it is being built beside its writers, or such a build was stopped."""


@dataclass(frozen=True, slots=True)
class StoreForeignKey:
    """One foreign key and whether it has been validated."""

    name: str
    validated: bool


@dataclass(frozen=True, slots=True)
class StoreTable:
    """One table of the store."""

    schema: str
    name: str
    columns: tuple[StoreColumn, ...]
    indexes: tuple[StoreIndex, ...]
    foreign_keys: tuple[StoreForeignKey, ...]
    checks: frozenset[str]

    @property
    def key(self) -> tuple[str, ...]:
        """Columns of the primary key, () without one."""
        return next((index.columns for index in self.indexes if index.primary), ())


@dataclass(frozen=True, slots=True)
class StoreCatalog:
    """Everything of the schemas that were asked for."""

    schemas: frozenset[str]
    tables: Mapping[tuple[str, str], StoreTable]
    enums: frozenset[tuple[str, str]]
    sequences: frozenset[tuple[str, str]]
    other_relations: Mapping[tuple[str, str], str]
    """Views and the like, which take a name that a table may want."""


_COLUMNS = """
    SELECT n.nspname, c.relname, a.attname,
           CASE WHEN t.typtype = 'e' THEN NULL ELSE format_type(a.atttypid, a.atttypmod) END,
           tn.nspname, t.typname, NOT a.attnotnull,
           a.atthasdef OR a.attidentity <> '', a.attgenerated <> ''
      FROM pg_attribute a
      JOIN pg_class c ON c.oid = a.attrelid
      JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_type t ON t.oid = a.atttypid
      JOIN pg_namespace tn ON tn.oid = t.typnamespace
     WHERE n.nspname = ANY(%s) AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
     ORDER BY n.nspname, c.relname, a.attnum
"""
_INDEXES = """
    SELECT n.nspname, t.relname, c.relname, i.indisunique, i.indisprimary,
           CASE WHEN i.indexprs IS NULL THEN
             ARRAY(SELECT a.attname::text FROM unnest(i.indkey) WITH ORDINALITY AS k(number, place)
                     JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
                    WHERE k.place <= i.indnkeyatts ORDER BY k.place)
           ELSE ARRAY[]::text[] END, i.indisvalid
      FROM pg_index i
      JOIN pg_class c ON c.oid = i.indexrelid
      JOIN pg_class t ON t.oid = i.indrelid
      JOIN pg_namespace n ON n.oid = t.relnamespace
     WHERE n.nspname = ANY(%s)
     ORDER BY n.nspname, t.relname, c.relname
"""
_CONSTRAINTS = """
    SELECT n.nspname, t.relname, k.conname, k.contype::text, k.convalidated
      FROM pg_constraint k
      JOIN pg_class t ON t.oid = k.conrelid
      JOIN pg_namespace n ON n.oid = t.relnamespace
     WHERE n.nspname = ANY(%s) AND k.contype IN ('f', 'c')
     ORDER BY n.nspname, t.relname, k.conname
"""
_RELATIONS = """
    SELECT n.nspname, c.relname, c.relkind::text
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = ANY(%s) AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
"""
_ENUMS = """
    SELECT n.nspname, t.typname FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
     WHERE n.nspname = ANY(%s) AND t.typtype = 'e'
"""
_KINDS = {"v": "view", "m": "materialized view", "f": "foreign table"}


def read_store(connection: PostgresConnection, schemas: Iterable[str]) -> StoreCatalog:
    """Read the schemas as they are now. Schemas that do not exist are not in the answer."""
    wanted = sorted(set(schemas))

    def ask(query: bytes | str) -> list[TupleRow]:
        return connection.execute(query.encode() if isinstance(query, str) else query, (wanted,)).fetchall()

    with translated("store"):
        present = frozenset(str(row[0]) for row in ask("SELECT nspname FROM pg_namespace WHERE nspname = ANY(%s)"))
        relations = ask(_RELATIONS)
        columns = _by_table(ask(_COLUMNS))
        indexes = _by_table(ask(_INDEXES))
        constraints = _by_table(ask(_CONSTRAINTS))
        enums = frozenset((str(schema), str(name)) for schema, name in ask(_ENUMS))
    tables = {
        (schema, name): StoreTable(
            schema,
            name,
            tuple(_column(record) for record in columns.get((schema, name), [])),
            tuple(
                StoreIndex(schema, index, name, unique, primary, tuple(parts), valid)
                for index, unique, primary, parts, valid in indexes.get((schema, name), [])
            ),
            tuple(
                StoreForeignKey(constraint, validated)
                for constraint, kind, validated in constraints.get((schema, name), [])
                if kind == "f"
            ),
            frozenset(constraint for constraint, kind, _ in constraints.get((schema, name), []) if kind == "c"),
        )
        for schema, name, kind in relations
        if kind in ("r", "p")
    }
    return StoreCatalog(
        present,
        tables,
        enums,
        frozenset((schema, name) for schema, name, kind in relations if kind == "S"),
        {(schema, name): _KINDS[kind] for schema, name, kind in relations if kind in _KINDS},
    )


def _by_table(rows: list[TupleRow]) -> dict[tuple[str, str], list[tuple[Any, ...]]]:
    grouped: dict[tuple[str, str], list[tuple[Any, ...]]] = {}
    for schema, table, *rest in rows:
        grouped.setdefault((schema, table), []).append(tuple(rest))
    return grouped


def _column(record: tuple[Any, ...]) -> StoreColumn:
    name, spelled, type_schema, type_name, nullable, has_default, generated = record
    kind = spelled if spelled is not None else f"{quoted(type_schema)}.{quoted(type_name)}"
    return StoreColumn(name, kind, nullable, has_default or generated, generated)

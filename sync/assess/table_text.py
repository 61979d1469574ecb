"""Checks of what collations and lengths do to keys: equal in the source, different (or too long) in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

from pymysql.cursors import Cursor

from model.errors import CrossfadeError
from model.tables import ColumnDef, ForeignKeyDef, IndexDef, IndexPart, TableDef
from stores.errors import translated
from sync.assess.registry import Result, ok, source_check, warn
from sync.assess.source_facts import SourceFacts
from sync.mysql.literals import quoted_name
from transforms.types import BINARY_TYPES, TEXT_TYPES

BTREE_ENTRY_BYTES = 2704
"""A third of PostgreSQL's 8 KiB page: longer btree entries are refused, row by row."""
COUNTED_ROWS = 2_000_000
"""Largest child table whose rows are compared here; for larger ones the query is given."""
_COUNT_LIMIT = 1000
_BYTES_PER_CHARACTER = {"ascii": 1, "utf8mb4": 4, "utf16": 4, "utf32": 4, "utf16le": 4, "gb18030": 4}


def folds(column: ColumnDef) -> bool:
    """Whether the column's comparison overlooks case or accents."""
    name = column.collation or "binary"
    return column.type in TEXT_TYPES and not name.endswith(("_bin", "_cs")) and name != "binary"


def pads(column: ColumnDef) -> bool:
    """Whether the column's comparison overlooks trailing blanks that are stored (CHAR stores none).

    Only MySQL's 0900 collations, MariaDB's nopad ones, and `binary` heed them.
    """
    name = column.collation or "binary"
    heeded = "0900" in name or "nopad" in name or name == "binary"
    return column.type in TEXT_TYPES and column.type != "char" and not heeded


def exact(column: ColumnDef) -> bool:
    """Whether equal in the source means the same bytes."""
    return not folds(column) and not pads(column)


def _family(column: ColumnDef) -> str:
    """The character set as this server spells it: 5.6 knows `utf8` and no `utf8mb3`."""
    family = (column.collation or "").partition("_")[0]
    return family if family.startswith("utf8") else column.charset or family


def _unique_keys(table: TableDef) -> Iterator[tuple[str, list[ColumnDef]]]:
    if table.primary_key:
        yield "PRIMARY", [table.column(name) for name in table.primary_key]
    for index in table.indexes:
        if index.unique:
            yield index.name, [table.column(part.column) for part in index.parts if part.column]


@source_check("collation_keys", "unique keys mean the same in PostgreSQL")
def collation_keys(facts: SourceFacts) -> Iterator[Result]:
    found = False
    for table in facts.migrated:
        keys = {name: [c for c in columns if folds(c)] for name, columns in _unique_keys(table)}
        loose = {name: columns for name, columns in keys.items() if columns}
        if not loose:
            continue
        found = True
        columns = {column.name: column for group in loose.values() for column in group}
        alters = ", ".join(
            f"MODIFY {quoted_name(c.name)} {c.column_type} CHARACTER SET {_family(c)} COLLATE {_family(c)}_bin"
            + ("" if c.nullable else " NOT NULL")
            for c in columns.values()
        )
        yield warn(
            f"{len(loose)} unique keys ({', '.join(loose)}) overlook case or accents in"
            f" {', '.join(columns)} ({next(iter(columns.values())).collation}); in PostgreSQL 'Abc' and 'abc' are two,"
            " so the stores accept what the source refuses, and a reverse stream would then conflict",
            f"ALTER TABLE {quoted_name(table.id.schema, table.id.name)} {alters};  -- if the application allows it",
            subject=str(table.id),
        )
    padded = sum(any(map(pads, columns)) for table in facts.migrated for _, columns in _unique_keys(table))
    if padded:
        yield ok(f"{padded} unique keys overlook trailing blanks in the source: the stores accept 'a' beside 'a '")
    elif not found:
        yield ok("unique keys compare bytes in both")


@source_check("collation_foreign_keys", "foreign keys hold when bytes are compared")
def collation_foreign_keys(facts: SourceFacts) -> Iterator[Result]:
    found = False
    for table in facts.migrated:
        for key in table.foreign_keys:
            if all(exact(table.column(name)) for name in key.columns) or key.ref_table not in facts.tables:
                continue
            condition = _differing(table, key)
            count = _count(facts, table, condition)
            if count == 0:
                continue
            found = True
            seen = (
                f"{'over ' if count >= _COUNT_LIMIT else ''}{count} rows spell their parent's key differently"
                if count is not None
                else "rows may spell their parent's key differently (not counted: the table is large)"
            )
            update = ", ".join(
                f"c.{quoted_name(mine)} = p.{quoted_name(theirs)}"
                for mine, theirs in zip(key.columns, key.ref_columns, strict=True)
            )
            yield warn(
                f"{key.name}: {seen} (case, accents or trailing blanks), so PostgreSQL will refuse the foreign key",
                f"UPDATE {condition.replace(' WHERE ', f' SET {update} WHERE ', 1)};",
                subject=str(table.id),
            )
    if not found:
        yield ok("no foreign key rests on a loose comparison")


def _differing(table: TableDef, key: ForeignKeyDef) -> str:
    """`child c JOIN parent p ON … WHERE …`: rows whose parent is found by the collation but not by the bytes."""
    pairs = [
        (f"c.{quoted_name(mine)}", f"p.{quoted_name(theirs)}", table.column(mine))
        for mine, theirs in zip(key.columns, key.ref_columns, strict=True)
    ]
    joined = " AND ".join(f"{mine} = {theirs}" for mine, theirs, _ in pairs)
    differs = " OR ".join(
        f"CAST({mine} AS BINARY) <> CAST({theirs} AS BINARY)" for mine, theirs, column in pairs if not exact(column)
    )
    child = quoted_name(table.id.schema, table.id.name)
    parent = quoted_name(key.ref_table.schema, key.ref_table.name)
    return f"{child} c JOIN {parent} p ON {joined} WHERE {differs}"


def _count(facts: SourceFacts, table: TableDef, condition: str) -> int | None:
    """Rows that meet the condition, up to a limit; None when they were not counted."""
    if facts.connection is None or table.rows_estimate > COUNTED_ROWS:
        return None
    try:
        with translated("source"), facts.connection.cursor(Cursor) as cursor:
            cursor.execute(f"SELECT COUNT(*) FROM (SELECT 1 FROM {condition} LIMIT {_COUNT_LIMIT}) AS differing")
            row = cursor.fetchone()
    except CrossfadeError as error:
        if error.transient:
            raise
        return None
    return int(row[0]) if row else 0


@source_check("index_entries", "index entries fit a PostgreSQL page")
def index_entries(facts: SourceFacts) -> Iterator[Result]:
    found = False
    for table in facts.migrated:
        indexes = [*table.indexes]
        if table.primary_key:
            indexes.insert(0, _primary(table))
        for index in indexes:
            if index.kind not in ("btree", "hash") or entry_bytes(table, index) <= BTREE_ENTRY_BYTES:
                continue
            found = True
            names = [part.column for part in index.parts if part.column]
            size = " + ".join(f"COALESCE(LENGTH({quoted_name(name)}), 0)" for name in names)
            yield warn(
                f"{index.name}: an entry may need {entry_bytes(table, index)} bytes, PostgreSQL takes"
                f" {BTREE_ENTRY_BYTES} (after compression); longer rows would be refused",
                f"SELECT COUNT(*) FROM {quoted_name(table.id.schema, table.id.name)}"
                f" WHERE {size} > {BTREE_ENTRY_BYTES};  -- 0: nothing to do",
                subject=str(table.id),
            )
    if not found:
        yield ok("every index entry fits")


def _primary(table: TableDef) -> IndexDef:
    return IndexDef("PRIMARY", tuple(IndexPart(name) for name in table.primary_key), unique=True)


def entry_bytes(table: TableDef, index: IndexDef) -> int:
    """The most bytes that an entry of the index can need in PostgreSQL."""
    total = 16
    for part in index.parts:
        if part.column is None:
            continue
        column = table.column(part.column)
        length = part.prefix or column.length or 8
        if column.type in TEXT_TYPES:
            # A byte of an 8-bit character set becomes up to 3 of UTF-8 (the euro sign).
            total += length * _BYTES_PER_CHARACTER.get(column.charset or "", 3)
        elif column.type in BINARY_TYPES:
            total += length
        elif column.type in ("enum", "set"):
            total += max((len(label.encode()) for label in column.labels), default=0)
        else:
            total += 16
    return total

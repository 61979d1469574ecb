"""Reads the source's tables from INFORMATION_SCHEMA: one round of set-based queries per database, never per table.

Works on MySQL 5.6 to 9 and MariaDB 10.x; what only some versions have is asked for only there. Reads, never judges:
whether a table can be migrated is for the plan and for `sync.assess` to say.

Forms of `ColumnDef.default`: literals are bare text (`it's`, `0000-00-00`, `r,g b`), except BIT (`b'101'`) and binary
types (`0x6162`); `CURRENT_TIMESTAMP(6)` for NOW; the server's own SQL for expressions. VECTOR's `length` is its
dimensions.
"""

from __future__ import annotations

import dataclasses
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from pymysql.cursors import Cursor

from model.errors import AccessDenied, Refused
from model.tables import CheckDef, ColumnDef, DefaultKind, ForeignKeyDef, IndexDef, IndexPart, TableDef, TableId
from stores.errors import translated
from stores.mysql import MysqlConnection, ServerInfo
from sync.mysql import literals
from sync.mysql.foreign_key_rules import hidden_rules
from transforms.rules import nearest
from transforms.source_types import SHAPES_OF_SHAPES

Record: TypeAlias = tuple[Any, ...]
ByTable: TypeAlias = dict[TableId, list[Record]]

_KINDS = {
    "BASE TABLE": "table",
    "VIEW": "view",
    "SYSTEM VIEW": "view",
    "SYSTEM VERSIONED": "versioned",
    "SEQUENCE": "sequence",
}
_WIDTH = re.compile(r"\((\d+)")
_JSON_VALID = re.compile(r"json_valid\(`((?:[^`]|``)+)`\)", re.IGNORECASE)
_TEMPORAL = {"time", "datetime", "timestamp"}
_ROW_MOMENTS = (("row_start", "ROW START"), ("row_end", "ROW END"))


def read_catalog(
    connection: MysqlConnection[Any], info: ServerInfo, databases: Sequence[str]
) -> dict[TableId, TableDef]:
    """Every table, view and sequence of the databases. Raises Refused or AccessDenied for one that cannot be seen."""
    found: dict[TableId, TableDef] = {}
    with _own_session(connection, info):
        for database in _visible(connection, info, databases):
            found.update(_read_database(connection, info, database, ()))
    return found


def read_tables(connection: MysqlConnection[Any], info: ServerInfo, ids: Iterable[TableId]) -> dict[TableId, TableDef]:
    """The tables of `ids` that exist now; others are left out. Raises AccessDenied for a database that is not seen."""
    wanted: dict[str, list[str]] = defaultdict(list)
    for table in ids:
        wanted[table.schema].append(table.name)
    found: dict[TableId, TableDef] = {}
    with _own_session(connection, info):
        for database in _visible(connection, info, tuple(wanted)):
            names = wanted.get(database) or next(v for k, v in wanted.items() if k.lower() == database.lower())
            found.update(_read_database(connection, info, database, names))
    return found


@contextmanager
def _own_session(connection: MysqlConnection[Any], info: ServerInfo) -> Iterator[None]:
    """Session variables that change what the catalogue prints, set for the read and put back after it."""
    settings = {"sql_mode": "''"}
    if not info.mariadb and info.version >= (8, 0, 3):
        settings["information_schema_stats_expiry"] = "0"
    if not info.mariadb and info.version >= (8, 0, 30):
        settings["show_gipk_in_create_table_and_information_schema"] = "ON"
    with translated("source"), connection.cursor(Cursor) as cursor:
        cursor.execute("SELECT " + ", ".join(f"@@SESSION.{name}" for name in settings))
        before = cursor.fetchone() or ()
        cursor.execute("SET " + ", ".join(f"SESSION {name} = {value}" for name, value in settings.items()))
    try:
        yield
    finally:
        with translated("source"), connection.cursor(Cursor) as cursor:
            cursor.execute("SET " + ", ".join(f"SESSION {name} = %s" for name in settings), before)


def _rows(connection: MysqlConnection[Any], query: str, arguments: Sequence[Any] = ()) -> list[Record]:
    with translated("source"), connection.cursor(Cursor) as cursor:
        cursor.execute(query, tuple(arguments) or None)
        return list(cursor.fetchall())


def _visible(connection: MysqlConnection[Any], info: ServerInfo, databases: Sequence[str]) -> list[str]:
    """The databases as the server spells them, without repeats. Raises Refused or AccessDenied for one not seen."""
    names = [str(name) for (name,) in _rows(connection, "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA")]
    folded = _rows(connection, "SELECT @@lower_case_table_names")[0][0] != 0
    spelled: dict[str, None] = {}
    for database in databases:
        matches = [n for n in names if n == database or (folded and n.lower() == database.lower())]
        if not matches and _sees_every_database(connection):
            raise Refused(
                f"the source has no database {database!r}",
                hint=nearest(database, names) or "Check `source.databases` in the configuration.",
                server=info.version_text,
            )
        if not matches:
            raise AccessDenied(
                f"the source shows no database {database!r}: it does not exist, or our user has no SELECT on it",
                hint=f"Check `source.databases`, or: GRANT SELECT ON `{database}`.* TO our user",
                server=info.version_text,
            )
        spelled[matches[0]] = None
    return list(spelled)


def _sees_every_database(connection: MysqlConnection[Any]) -> bool:
    """Whether our account itself (not a role) holds a global privilege that hides no database from it."""
    ((account,),) = _rows(connection, "SELECT CURRENT_USER()")
    user, _, host = str(account).rpartition("@")
    query = (
        "SELECT 1 FROM information_schema.USER_PRIVILEGES"
        " WHERE GRANTEE = %s AND PRIVILEGE_TYPE IN ('SHOW DATABASES', 'SELECT')"
    )
    return bool(_rows(connection, query, (f"'{user}'@'{host}'",)))


def _grouped(rows: Iterable[Record], database: str, wanted: frozenset[str]) -> ByTable:
    """Rows by their first two fields (database, table). The servers compare names without case; we do not."""
    groups: ByTable = defaultdict(list)
    for schema, table, *rest in rows:
        if schema == database and (not wanted or table in wanted):
            groups[TableId(schema, table)].append(tuple(rest))
    return groups


def _read_database(
    connection: MysqlConnection[Any], info: ServerInfo, database: str, names: Sequence[str]
) -> dict[TableId, TableDef]:
    wanted = frozenset(names)

    def ask(query: str, schema: str = "TABLE_SCHEMA", table: str = "TABLE_NAME", order: str = "") -> ByTable:
        condition = f" WHERE {schema} = %s"
        if names:
            condition += f" AND {table} IN ({', '.join(['%s'] * len(names))})"
        return _grouped(_rows(connection, query + condition + order, (database, *names)), database, wanted)

    tables = ask(
        "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, ENGINE, TABLE_ROWS, DATA_LENGTH, AUTO_INCREMENT, TABLE_COLLATION,"
        " TABLE_COMMENT, CREATE_OPTIONS FROM information_schema.TABLES"
    )
    columns = ask(_columns_query(info), order=" ORDER BY TABLE_NAME, ORDINAL_POSITION")
    indexes = ask(_indexes_query(info), order=" ORDER BY TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX")
    keys = ask(
        "SELECT TABLE_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, COLUMN_NAME, REFERENCED_TABLE_SCHEMA, REFERENCED_TABLE_NAME,"
        " REFERENCED_COLUMN_NAME FROM information_schema.KEY_COLUMN_USAGE",
        order=" AND REFERENCED_TABLE_NAME IS NOT NULL ORDER BY TABLE_NAME, CONSTRAINT_NAME, ORDINAL_POSITION",
    )
    actions = ask(
        "SELECT CONSTRAINT_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, DELETE_RULE, UPDATE_RULE"
        " FROM information_schema.REFERENTIAL_CONSTRAINTS",
        schema="CONSTRAINT_SCHEMA",
    )
    for table, parts in keys.items():
        if hidden := {str(name) for name, *_ in parts} - {str(name) for name, *_ in actions.get(table, [])}:
            actions[table] += hidden_rules(lambda query: _rows(connection, query), table, hidden)
    triggers = ask(
        "SELECT EVENT_OBJECT_SCHEMA, EVENT_OBJECT_TABLE, TRIGGER_NAME FROM information_schema.TRIGGERS",
        schema="EVENT_OBJECT_SCHEMA",
        table="EVENT_OBJECT_TABLE",
        order=" ORDER BY TRIGGER_NAME",
    )
    checks = _read_checks(connection, info, database, wanted)
    srids: ByTable = {}
    if info.mariadb:
        srids = ask(
            "SELECT G_TABLE_SCHEMA, G_TABLE_NAME, G_GEOMETRY_COLUMN, SRID FROM information_schema.GEOMETRY_COLUMNS",
            schema="G_TABLE_SCHEMA",
            table="G_TABLE_NAME",
        )
    shaped = {
        table: _table(
            table,
            record[0],
            info,
            columns.get(table, []),
            indexes.get(table, []),
            _foreign_keys(keys.get(table, []), actions.get(table, [])),
            checks.get(table, []),
            tuple(str(name) for (name,) in triggers.get(table, [])),
            {str(column): int(srid) for column, srid in srids.get(table, []) if srid},
        )
        for table, record in tables.items()
    }
    return {table: _with_binary_defaults(connection, shape) for table, shape in shaped.items()}


def _with_binary_defaults(connection: MysqlConnection[Any], table: TableDef) -> TableDef:
    """The table with the true bytes of its binary defaults, which the catalogues cut at NUL or turn into '?'.

    The only question asked per table, and only of the few that have such a default. Without SELECT on the table the
    catalogue's answer stays.
    """
    names = [
        column.name
        for column in table.columns
        if column.type in literals.BINARY_TYPES and column.default_kind is DefaultKind.LITERAL
    ]
    if not names or table.kind in ("view", "sequence"):
        return table
    fields = ", ".join(f"HEX(DEFAULT({literals.quoted_name(name)}))" for name in names)
    source = literals.quoted_name(table.id.schema, table.id.name)
    try:
        # The outer join gives one row even when the table is empty.
        rows = _rows(connection, f"SELECT {fields} FROM {source} RIGHT JOIN (SELECT 1 AS one) AS x ON FALSE")
    except AccessDenied:
        return table
    values = dict(zip(names, rows[0], strict=True))
    columns = tuple(
        dataclasses.replace(column, default="0x" + values[column.name].lower()) if values.get(column.name) else column
        for column in table.columns
    )
    return dataclasses.replace(table, columns=columns)


def _columns_query(info: ServerInfo) -> str:
    virtual = info.mariadb or info.version >= (5, 7, 6)
    srid = not info.mariadb and info.version >= (8, 0, 3)
    return (
        "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, IS_NULLABLE, CHARACTER_SET_NAME,"
        " COLLATION_NAME, CHARACTER_MAXIMUM_LENGTH, NUMERIC_PRECISION, NUMERIC_SCALE, DATETIME_PRECISION,"
        # As bytes: servers before 8 print a binary column's default raw, which need not be UTF-8.
        " CAST(COLUMN_DEFAULT AS BINARY), EXTRA, COLUMN_COMMENT,"
        f" {'GENERATION_EXPRESSION' if virtual and _has_expressions(info) else 'NULL'}, {'SRS_ID' if srid else 'NULL'}"
        " FROM information_schema.COLUMNS"
    )


def _has_expressions(info: ServerInfo) -> bool:
    return not info.mariadb or info.version >= (10, 2, 5)


def _indexes_query(info: ServerInfo) -> str:
    visible = "IS_VISIBLE" if not info.mariadb and info.version >= (8, 0, 0) else "'YES'"
    if info.mariadb and info.version >= (10, 6, 0):
        visible = "IF(IGNORED = 'YES', 'NO', 'YES')"
    expression = "EXPRESSION" if not info.mariadb and info.version >= (8, 0, 13) else "NULL"
    return (
        "SELECT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, NON_UNIQUE, COLUMN_NAME, COLLATION, SUB_PART, INDEX_TYPE,"
        f" INDEX_COMMENT, {visible}, {expression} FROM information_schema.STATISTICS"
    )


def _read_checks(connection: MysqlConnection[Any], info: ServerInfo, database: str, wanted: frozenset[str]) -> ByTable:
    """CHECK constraints as (name, clause, enforced) by table."""
    if info.mariadb:
        if info.version < (10, 3, 10):
            return {}
        query = (
            "SELECT CONSTRAINT_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, CHECK_CLAUSE, 'YES'"
            " FROM information_schema.CHECK_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = %s ORDER BY CONSTRAINT_NAME"
        )
    elif info.version >= (8, 0, 16):
        query = (
            "SELECT t.TABLE_SCHEMA, t.TABLE_NAME, c.CONSTRAINT_NAME, c.CHECK_CLAUSE, t.ENFORCED"
            " FROM information_schema.TABLE_CONSTRAINTS t JOIN information_schema.CHECK_CONSTRAINTS c"
            " ON c.CONSTRAINT_SCHEMA = t.CONSTRAINT_SCHEMA AND c.CONSTRAINT_NAME = t.CONSTRAINT_NAME"
            " WHERE t.TABLE_SCHEMA = %s AND t.CONSTRAINT_TYPE = 'CHECK' ORDER BY c.CONSTRAINT_NAME"
        )
    else:
        return {}
    return _grouped(_rows(connection, query, (database,)), database, wanted)


def _table(
    table: TableId,
    record: Record,
    info: ServerInfo,
    columns: list[Record],
    indexes: list[Record],
    foreign_keys: tuple[ForeignKeyDef, ...],
    checks: list[Record],
    triggers: tuple[str, ...],
    srids: Mapping[str, int],
) -> TableDef:
    table_type, engine, rows, size, auto_increment, collation, comment, options = record
    kind = _KINDS.get(str(table_type), "table")
    json_columns = {
        hit[1].replace("``", "`") for _, clause, _ in checks if info.mariadb and (hit := _JSON_VALID.fullmatch(clause))
    }
    shaped = [_column(column, info, srids, json_columns) for column in columns]
    if kind == "versioned" and not any(column.expression == "ROW START" for column in shaped):
        # The columns are hidden from the catalogue, but row images have them, last.
        shaped += [
            ColumnDef(
                name, "timestamp", "timestamp(6)", False, scale=6, generated="stored", expression=text, invisible=True
            )
            for name, text in _ROW_MOMENTS
        ]
    counts = any(column.auto_increment for column in shaped)
    return TableDef(
        id=table,
        columns=tuple(shaped),
        primary_key=tuple(str(part[2]) for part in indexes if part[0] == "PRIMARY"),
        indexes=_indexes(indexes, info),
        foreign_keys=foreign_keys,
        checks=tuple(
            CheckDef(str(name), _expression(clause, info), enforced == "YES")
            for name, clause, enforced in checks
            if not (info.mariadb and _JSON_VALID.fullmatch(clause))
        ),
        engine=str(engine or ""),
        collation=collation,
        comment="" if kind == "view" else str(comment or ""),
        rows_estimate=int(rows or 0),
        bytes_estimate=int(size or 0),
        auto_increment=int(auto_increment) if counts and auto_increment is not None else None,
        partitioned="partitioned" in str(options or "").lower(),
        triggers=triggers,
        kind=kind,
    )


def _expression(text: str, info: ServerInfo) -> str:
    return text if info.mariadb or info.version < (8, 0, 0) else literals.unescaped(text)


def _column(record: Record, info: ServerInfo, srids: Mapping[str, int], json_columns: set[str]) -> ColumnDef:
    (name, base, declared, nullable, charset, collation, length, precision, scale, fraction, default, extra, comment,
     expression, srid) = record  # fmt: skip
    base = {"geomcollection": "geometrycollection"}.get(base.lower(), base.lower())
    extras = str(extra or "").lower()
    generated = None
    if "generated" in extras.replace("default_generated", "") or extras in ("virtual", "persistent"):
        generated = "virtual" if "virtual" in extras else "stored"
    digits = base == "decimal" or (base in ("float", "double") and scale is not None)
    kind, value = _default(default, base, length, nullable == "YES", extras, info)
    if generated or "auto_increment" in extras:
        kind, value = DefaultKind.NONE, None
    return ColumnDef(
        name=str(name),
        type=base,
        column_type=str(declared),
        nullable=nullable == "YES",
        unsigned="unsigned" in str(declared).lower() and base not in ("enum", "set"),
        charset="utf8mb3" if charset == "utf8" else charset,
        collation=collation,
        length=_length(base, str(declared), length, precision),
        precision=int(precision) if digits else None,
        scale=int(fraction or 0) if base in _TEMPORAL else int(scale) if digits else None,
        labels=literals.labels(declared) if base in ("enum", "set") else (),
        default=value,
        default_kind=kind,
        auto_increment="auto_increment" in extras,
        on_update_now="on update" in extras,
        generated=generated,
        expression=_expression(expression, info) if generated and expression else None,
        invisible="invisible" in extras,
        srid=int(srid) if srid is not None else srids.get(name),
        comment=str(comment or ""),
        json_check=name in json_columns,
        no_empty_shape=base in SHAPES_OF_SHAPES and not info.mariadb and info.version < (5, 7, 0),
    )


def _length(base: str, declared: str, length: int | None, precision: int | None) -> int | None:
    if base == "bit":
        return int(precision or 1)
    if base == "vector" or (base == "tinyint" and declared.startswith("tinyint(1)")):
        width = _WIDTH.search(declared)
        return int(width[1]) if width else None
    if base in ("enum", "set") or length is None:
        return None
    return int(length)


def _default(
    raw: bytes | str | None, base: str, length: int | None, nullable: bool, extras: str, info: ServerInfo
) -> tuple[DefaultKind, str | None]:
    if raw is None:
        return (DefaultKind.NULL if nullable else DefaultKind.NONE), None
    octets = raw if isinstance(raw, bytes) else raw.encode()
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        return DefaultKind.LITERAL, literals.hex_literal(octets)
    if info.mariadb and info.version >= (10, 2, 7):
        kind, value = literals.quoted_default(text, base)
    else:
        kind, value = literals.bare_default(text, base, "default_generated" in extras)
    if base == "binary" and kind is DefaultKind.LITERAL and value is not None and length:
        value = "0x" + value[2:].lower().ljust(2 * int(length), "0")
    return kind, value


def _indexes(parts: list[Record], info: ServerInfo) -> tuple[IndexDef, ...]:
    names = list(dict.fromkeys(str(part[0]) for part in parts if part[0] != "PRIMARY"))
    return tuple(_index(name, [part for part in parts if part[0] == name], info) for name in names)


def _index(name: str, parts: list[Record], info: ServerInfo) -> IndexDef:
    _, non_unique, _, _, _, index_type, comment, visible, _ = parts[0]
    kind = {"rtree": "spatial"}.get(str(index_type).lower(), str(index_type).lower())
    return IndexDef(
        name=name,
        parts=tuple(
            IndexPart(
                column=column,
                # A spatial index says 32: the size of a bounding box, no prefix.
                prefix=int(prefix) if prefix is not None and kind == "btree" else None,
                descending=direction == "D",
                expression=_expression(expression, info) if expression is not None else None,
            )
            for _, _, column, direction, prefix, _, _, _, expression in parts
        ),
        unique=not non_unique,
        kind=kind,
        comment=str(comment or ""),
        visible=visible == "YES",
    )


def _foreign_keys(parts: list[Record], actions: list[Record]) -> tuple[ForeignKeyDef, ...]:
    rules = {str(name): (str(delete), str(update)) for name, delete, update in actions}
    members: dict[str, list[Record]] = defaultdict(list)
    for name, *rest in parts:
        members[str(name)].append(tuple(rest))
    return tuple(
        ForeignKeyDef(
            name=name,
            columns=tuple(str(column) for column, *_ in group),
            ref_table=TableId(str(group[0][1]), str(group[0][2])),
            ref_columns=tuple(str(column) for *_, column in group),
            on_delete=rules.get(name, ("RESTRICT", "RESTRICT"))[0],
            on_update=rules.get(name, ("RESTRICT", "RESTRICT"))[1],
        )
        for name, group in members.items()
    )

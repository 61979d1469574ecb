"""Checks of the source's tables: keys, engines, cascades, triggers, columns, kinds that need a decision."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from config.settings import ZeroDates
from model.tables import ColumnDef, TableDef
from sync.assess.registry import Result, block, ok, source_check, warn
from sync.assess.source_facts import SourceFacts
from sync.mysql.literals import quoted_name
from sync.mysql.visibility import LOCKED_READ_LIMIT_BYTES, TRANSACTIONAL
from transforms.types import BINARY_TYPES, GEOMETRY_TYPES, INTEGER_BITS, TEXT_TYPES

KNOWN_TYPES = (
    TEXT_TYPES
    | BINARY_TYPES
    | GEOMETRY_TYPES
    | frozenset(INTEGER_BITS)
    | {"decimal", "numeric", "float", "double", "bit", "enum", "set", "json", "date", "datetime", "timestamp", "time"}
    | {"uuid", "inet4", "inet6", "vector"}
)
_DATES = {"date", "datetime", "timestamp"}
_CASCADING = {"CASCADE", "SET NULL", "SET DEFAULT"}


def _name(table: TableDef) -> str:
    return quoted_name(table.id.schema, table.id.name)


@source_check("primary_key", "rows can be told apart")
def primary_key(facts: SourceFacts) -> Iterator[Result]:
    keyless = [table for table in facts.migrated if not table.key]
    for table in keyless:
        invisible = " INVISIBLE" if not facts.info.mariadb and facts.info.version >= (8, 0, 23) else ""
        fix = (
            f"ALTER TABLE {_name(table)} ADD COLUMN crossfade_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT{invisible}"
            " PRIMARY KEY;"
        )
        big = table.engine.lower() not in TRANSACTIONAL and table.bytes_estimate > LOCKED_READ_LIMIT_BYTES
        if big:
            yield block(
                f"no primary key, engine {table.engine}, {table.bytes_estimate >> 20} MiB: it could only be copied"
                " under a lock that would last too long",
                fix,
                subject=str(table.id),
            )
        else:
            yield warn(
                "no primary key and no unique key over NOT NULL columns: copied exactly at one position, changes find"
                " rows by all their columns (slow), and it cannot be part of a cutover",
                fix,
                subject=str(table.id),
            )
    if not keyless:
        yield ok("every table has a key")


@source_check("engines", "tables are transactional")
def engines(facts: SourceFacts) -> Iterator[Result]:
    others = [table for table in facts.migrated if table.engine.lower() not in TRANSACTIONAL]
    for table in others:
        loss = ", and is emptied by a restart without a word in the binlog" if table.engine.upper() == "MEMORY" else ""
        yield warn(
            f"engine {table.engine} has no transactions: a failed statement leaves half of its changes{loss}",
            f"ALTER TABLE {_name(table)} ENGINE = InnoDB;",
            subject=str(table.id),
        )
    if not others:
        yield ok("every table is transactional")


@source_check("cascades", "what foreign keys do to child rows reaches the stores")
def cascades(facts: SourceFacts) -> Iterator[Result]:
    found = [
        f"{table.id.name}.{key.name}"
        for table in facts.migrated
        for key in table.foreign_keys
        if {key.on_delete, key.on_update} & _CASCADING
    ]
    logged = not facts.info.mariadb and facts.info.version >= (9, 6, 0) and not facts.on("innodb_native_foreign_keys")
    if not found:
        yield ok("no foreign key changes child rows")
    elif logged:
        yield ok(f"{len(found)} cascading foreign keys; this server logs the child rows' changes itself")
    else:
        yield ok(
            f"{len(found)} cascading foreign keys ({_some(found)}): this server does not log what they do to children,"
            " so crossfade repeats it in the stores"
        )


@source_check("triggers", "triggers are accounted for")
def triggers(facts: SourceFacts) -> Iterator[Result]:
    found = [table for table in facts.migrated if table.triggers]
    for table in found:
        names = ", ".join(table.triggers)
        show = " ".join(f"SHOW CREATE TRIGGER {quoted_name(table.id.schema, name)};" for name in table.triggers)
        yield warn(
            f"triggers {names}: what they do arrives with the binlog; the stores will not have them after a cutover",
            f"{show}  -- rewrite them for PostgreSQL, or move them into the application",
            subject=str(table.id),
        )
    if not found:
        blind = not any(facts.privileges.has("TRIGGER", table.id.schema) for table in facts.migrated)
        yield ok("no triggers are seen (they show only to a user with TRIGGER)" if blind else "no triggers")


@source_check("column_kinds", "generated and hidden columns are accounted for")
def column_kinds(facts: SourceFacts) -> Iterator[Result]:
    generated = _columns(facts, lambda column: column.generated is not None)
    hidden = _columns(facts, lambda column: column.invisible and column.generated is None)
    if generated:
        yield ok(
            f"{_some(generated)}: generated columns; where PostgreSQL cannot compute the same, the value is copied"
        )
    if hidden:
        yield ok(f"{_some(hidden)}: invisible columns; ordinary ones in the stores")
    if not generated and not hidden:
        yield ok("no generated or invisible columns")


@source_check("types", "every column's type is known")
def types(facts: SourceFacts) -> Iterator[Result]:
    unknown = [
        (table, column) for table in facts.migrated for column in table.columns if column.type not in KNOWN_TYPES
    ]
    for table, column in unknown:
        rule = f"tables: {{{table.id.name}: {{exclude: [{column.name}]}}}}"
        yield block(
            f"column {column.name} has the type {column.column_type}, which crossfade does not know",
            f"{rule}  # or ALTER TABLE {_name(table)} to a known type",
            subject=str(table.id),
        )
    if not unknown:
        yield ok("every type is known")


@source_check("versioned_tables", "no system-versioned tables")
def versioned_tables(facts: SourceFacts) -> Iterator[Result]:
    found = [table for table in facts.migrated if table.kind == "versioned"]
    for table in found:
        yield block(
            "system-versioned: its binlog mixes history rows with the table's own, so the stores would be wrong",
            f"tables: {{{table.id.name}: {{skip: true, reason: versioned}}}}"
            f"  # or: ALTER TABLE {_name(table)} DROP SYSTEM VERSIONING; (its history is lost)",
            subject=str(table.id),
        )
    if not found:
        yield ok("no system-versioned tables")


@source_check("other_objects", "views and sequences are accounted for")
def other_objects(facts: SourceFacts) -> Iterator[Result]:
    views = [str(table.id) for table in facts.tables.values() if table.kind == "view"]
    sequences = [str(table.id) for table in facts.tables.values() if table.kind == "sequence"]
    parts = [str(table.id) for table in facts.migrated if table.partitioned]
    for view in views:
        schema, _, name = view.partition(".")
        yield warn(
            "view: not copied; a store whose applications read it needs one of its own, or a read model",
            f"SHOW CREATE VIEW {quoted_name(schema, name)};  -- create it in the store, or declare `read_models`",
            subject=view,
        )
    if sequences:
        yield ok(f"{_some(sequences)}: sequences are not copied; create them in the stores by hand")
    if parts:
        yield ok(f"{_some(parts)}: partitioned tables become plain ones")
    if not (views or sequences or parts):
        yield ok("no views, sequences or partitions")


@source_check("zero_dates", "zero dates have a place to go")
def zero_dates(facts: SourceFacts) -> Iterator[Result]:
    clashing = False
    for table in facts.migrated:
        rule = facts.settings.tables.get(table.id.name) or facts.settings.tables.get(str(table.id))
        policy = (rule.zero_dates if rule else None) or facts.settings.defaults.zero_dates
        strict = [column.name for column in table.columns if column.type in _DATES and not column.nullable]
        if policy is ZeroDates.NULL and strict:
            clashing = True
            yield warn(
                f"zero dates are to become NULL, but {', '.join(strict)} are NOT NULL: such rows go to quarantine",
                f"tables: {{{table.id.name}: {{zero_dates: infinity}}}}",
                subject=str(table.id),
            )
    if not clashing:
        refused = "NO_ZERO_DATE" in facts.variable("sql_mode") and "STRICT" in facts.variable("sql_mode")
        policy = facts.settings.defaults.zero_dates
        yield ok(f"zero dates become: {policy.value}" + ("; the server refuses new ones" if refused else ""))


@source_check("nul_characters", "texts with NUL characters have a place to go")
def nul_characters(facts: SourceFacts) -> Iterator[Result]:
    count = len(_columns(facts, lambda column: column.type in TEXT_TYPES))
    yield ok(
        f"{count} text columns: PostgreSQL takes no NUL characters; which rows hold one shows only in the copy, policy:"
        f" {facts.settings.defaults.nul_characters}"
    )


def _columns(facts: SourceFacts, wanted: Callable[[ColumnDef], bool]) -> list[str]:
    return [f"{table.id.name}.{column.name}" for table in facts.migrated for column in table.columns if wanted(column)]


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")

"""Looked-up columns in a store: filled, and kept by triggers on both tables in the transaction of the change.

The table's own trigger takes the value when a row comes or refers to another row; statement triggers of the table that
is looked into bring a changed value to the rows that refer to it. Which table gets its rows first does not matter.
Transactions that meet at a key wait for each other (advisory locks, shared for those who read the value), or each would
miss what the other has not committed; for that both must see what was committed by then, so another isolation than
READ COMMITTED is refused. The triggers are ENABLE ALWAYS, for the applier's sessions switch ordinary ones off; what
they write to the referring table fires only such, for a domain's gate is not meant for it.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from model.rows import Field
from stores.errors import translated
from stores.postgres import PostgresConnection
from transforms.lookup import Lookup
from transforms.names import literal, quoted
from transforms.target import TargetTable

BUCKETS: Final = 256
"""Locks that one transaction can take per lookup at most."""
_LOCK: Final = zlib.crc32(b"crossfade lookup")
_PREFIX: Final = "crossfade_lookup_"
_QUOTE: Final = "$crossfade$"
_SAFE: Final = "LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp"


@dataclass(frozen=True, slots=True)
class _Trigger:
    name: str
    table: str
    """Quoted, with its schema."""
    when: str
    """From BEFORE or AFTER on; `{table}` is the table."""


@dataclass(frozen=True, slots=True)
class _Function:
    name: str
    settings: str
    body: str
    triggers: tuple[_Trigger, ...]


def install(connection: PostgresConnection, lookup: Lookup) -> bool:
    """Arm the lookup and fill its column unless it is kept as declared; whether anything was done. One transaction.

    Raises what the store raises, AccessDenied when the role may not set `session_replication_role`.
    """
    with translated(_where(lookup)), connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        if _armed(connection, lookup):
            return False
        _arm(connection, lookup)
    return True


def rebuild(connection: PostgresConnection, lookup: Lookup) -> int:
    """Arm the lookup anew and mend its column; number of rows that were mended. Writers of both tables wait for it."""
    with translated(_where(lookup)), connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        return _arm(connection, lookup)


def kept(connection: PostgresConnection, lookup: Lookup) -> bool:
    """Whether the store keeps the column as it is declared."""
    with translated(_where(lookup)):
        return _armed(connection, lookup)


def drop_others(connection: PostgresConnection, tables: Sequence[TargetTable], lookups: Sequence[Lookup] = ()) -> None:
    """Disarm what is no lookup any more: functions of ours that triggers of these tables call, but for `lookups`."""
    wanted = [function.name for lookup in lookups for function in _functions(lookup)]
    for schema in sorted({table.schema for table in tables}):
        _drop_others(connection, schema, [table.name for table in tables if table.schema == schema], wanted)


def _drop_others(connection: PostgresConnection, schema: str, tables: list[str], wanted: list[str]) -> None:
    found = connection.execute(
        "SELECT DISTINCT p.oid::regprocedure::text FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace"
        " JOIN pg_trigger AS t ON t.tgfoid = p.oid JOIN pg_class AS c ON c.oid = t.tgrelid"
        " WHERE n.nspname = %s AND starts_with(p.proname, %s) AND c.relnamespace = n.oid AND c.relname = ANY(%s)"
        " AND p.proname <> ALL(%s)",
        (schema, _PREFIX, tables, wanted),
    ).fetchall()
    for (function,) in found:
        _run(connection, f"DROP FUNCTION {function} CASCADE")  # its triggers go with it


def should_be(lookup: Lookup, rows: str | None = None) -> str:
    """FROM items of every row `mine` of the table and the value `should.value` that its column should have.

    `rows`: a query in brackets that gives some rows of the table, in place of all.
    """
    pairs = _pairs(lookup, "theirs", "mine")
    return (
        f"{rows or _own(lookup)} AS mine LEFT JOIN {_other(lookup)} AS theirs ON {pairs}"
        f" CROSS JOIN LATERAL (SELECT {_value(lookup)} AS value) AS should"
    )


def value_for(connection: PostgresConnection, lookup: Lookup, by: Sequence[Field]) -> Field:
    """The value, as text, that a row with these values of `by` has now. Raises what the store raises."""
    texts = [literal(field.decode()) if isinstance(field, bytes) else "NULL" for field in by]
    given = ", ".join(
        f"{text}::{kind} AS {quoted(name)}" for text, name, kind in zip(texts, lookup.by, lookup.key_types, strict=True)
    )
    query = (
        f"SELECT ({_value(lookup)})::text FROM (SELECT {given}) AS mine"
        f" LEFT JOIN {_other(lookup)} AS theirs ON {_pairs(lookup, 'theirs', 'mine')}"
    )
    with translated(_where(lookup)):
        row = connection.execute(query.encode()).fetchone()
    return row[0].encode() if row and row[0] is not None else None


# ---------------------------------------------------------------- parts


def _where(lookup: Lookup) -> str:
    return f"store {lookup.store}, lookup {lookup.place}"


def _run(connection: PostgresConnection, statement: str) -> int:
    return connection.execute(statement.encode()).rowcount


def _own(lookup: Lookup) -> str:
    return f"{quoted(lookup.schema)}.{quoted(lookup.table)}"


def _other(lookup: Lookup) -> str:
    return f"{quoted(lookup.schema)}.{quoted(lookup.other)}"


def _otherwise(lookup: Lookup) -> str:
    return f"{'NULL' if lookup.otherwise is None else literal(lookup.otherwise)}::{lookup.type}"


def _found(lookup: Lookup) -> str:
    """The value of `theirs`. No length or precision is named: a statement of the source may have widened them."""
    return f"theirs.{quoted(lookup.value)}" + ("::text" if lookup.type == "text" else "")


def _value(lookup: Lookup) -> str:
    """The value by `theirs`, a row that an outer join may not have found."""
    there = f"theirs.{quoted(lookup.key[0])} IS NOT NULL"
    return f"CASE WHEN {there} THEN {_found(lookup)} ELSE {_otherwise(lookup)} END"


def _pairs(lookup: Lookup, theirs: str, mine: str) -> str:
    pairs = zip(lookup.key, lookup.by, strict=True)
    return " AND ".join(f"{theirs}.{quoted(key)} = {mine}.{quoted(by)}" for key, by in pairs)


def _armed(connection: PostgresConnection, lookup: Lookup) -> bool:
    for function in _functions(lookup):
        found = connection.execute(
            "SELECT t.tgname, to_regclass(w.on_table) = t.tgrelid AND t.tgenabled = 'A' FROM pg_proc AS p"
            " JOIN pg_namespace AS n ON n.oid = p.pronamespace JOIN pg_trigger AS t ON t.tgfoid = p.oid"
            " JOIN unnest(%s::text[], %s::text[]) AS w (name, on_table) ON w.name = t.tgname"
            " WHERE n.nspname = %s AND p.proname = %s AND p.prosrc = %s",
            (
                [trigger.name for trigger in function.triggers],
                [trigger.table for trigger in function.triggers],
                lookup.schema,
                function.name,
                function.body,
            ),
        ).fetchall()
        if len(found) != len(function.triggers) or not all(good for _, good in found):
            return False
    return True


def _arm(connection: PostgresConnection, lookup: Lookup) -> int:
    """Make functions and triggers and fill the column, while nobody writes either table."""
    connection.execute("SET LOCAL session_replication_role = replica")
    tables = ", ".join(sorted({_own(lookup), _other(lookup)}))
    _run(connection, f"LOCK TABLE {tables} IN SHARE ROW EXCLUSIVE MODE")
    for function in _functions(lookup):
        name = f"{quoted(lookup.schema)}.{quoted(function.name)}"
        _run(
            connection,
            f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger {_SAFE}{function.settings}"
            f" AS {_QUOTE}{function.body}{_QUOTE}",
        )
        for trigger in function.triggers:
            _run(
                connection,
                f"CREATE OR REPLACE TRIGGER {quoted(trigger.name)} {trigger.when.format(table=trigger.table)}"
                f" EXECUTE FUNCTION {name}()",
            )
            _run(connection, f"ALTER TABLE {trigger.table} ENABLE ALWAYS TRIGGER {quoted(trigger.name)}")
    column = quoted(lookup.column)
    return _run(
        connection,
        f"UPDATE {_own(lookup)} AS kept SET {column} = should.value FROM {should_be(lookup)}"
        f" WHERE kept.ctid = mine.ctid AND kept.{column}::text IS DISTINCT FROM should.value::text",
    )


def planned(lookup: Lookup) -> list[str]:
    """What fills the column, for people to read; triggers on both tables follow."""
    column = quoted(lookup.column)
    return [f"UPDATE {_own(lookup)} AS kept SET {column} = should.value FROM {should_be(lookup)}"]


# ---------------------------------------------------------------- functions


def _functions(lookup: Lookup) -> tuple[_Function, ...]:
    stem = f"{_PREFIX}{zlib.crc32(lookup.name.encode()):08x}"
    own, other = _own(lookup), _other(lookup)
    changed, emptied = f"{stem}_changed", f"{stem}_emptied"
    after = (
        ("insert", "REFERENCING NEW TABLE AS crossfade_new"),
        ("update", "REFERENCING OLD TABLE AS crossfade_old NEW TABLE AS crossfade_new"),
        ("delete", "REFERENCING OLD TABLE AS crossfade_old"),
    )
    followed = tuple(
        _Trigger(f"{changed}_{event}", other, f"AFTER {event.upper()} ON {{table}} {tables} FOR EACH STATEMENT")
        for event, tables in after
    )
    truncated = _Trigger(emptied, other, "AFTER TRUNCATE ON {table} FOR EACH STATEMENT")
    taken = _Trigger(stem, own, "BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW")
    replica = " SET session_replication_role = replica"
    return (
        _Function(stem, "", _taken_body(lookup), (taken,)),
        _Function(changed, replica, _changed_body(lookup), followed),
        _Function(emptied, replica, _emptied_body(lookup), (truncated,)),
    )


def _committed_only(lookup: Lookup) -> str:
    """A snapshot of an older time would miss what others have committed since, without a word."""
    message = f"crossfade: {lookup.place} is looked up in {lookup.other}, which needs the isolation READ COMMITTED"
    return (
        "  IF current_setting('transaction_isolation') <> 'read committed' THEN\n"
        f"    RAISE EXCEPTION USING ERRCODE = 'feature_not_supported', MESSAGE = {literal(message)};\n  END IF;\n"
    )


def _bucket(parts: Sequence[str]) -> str:
    """The lock of a key, NULL (no lock) when a part is NULL."""
    whole = " || '|' || ".join(f"{part}::text" for part in parts)
    return f"hashtext({whole}) & {BUCKETS - 1}"


def _space(lookup: Lookup) -> int:
    return zlib.crc32(lookup.place.encode()) - (1 << 31)


def _taken_body(lookup: Lookup) -> str:
    column = quoted(lookup.column)
    parts = [f"NEW.{quoted(name)}" for name in lookup.by]
    new, old = ", ".join(parts), ", ".join(f"OLD.{quoted(name)}" for name in lookup.by)
    pairs = _pairs(lookup, "theirs", "NEW")
    return (
        "\nBEGIN\n  IF TG_OP = 'UPDATE' THEN\n"
        f"    IF ROW({new}) IS NOT DISTINCT FROM ROW({old})\n"
        f"      AND NEW.{column}::text IS NOT DISTINCT FROM OLD.{column}::text THEN RETURN NEW; END IF;\n"
        f"  END IF;\n{_committed_only(lookup)}"
        f"  PERFORM pg_advisory_xact_lock_shared({_space(lookup)}, {_bucket(parts)});\n"
        f"  SELECT {_found(lookup)} INTO NEW.{column} FROM {_other(lookup)} AS theirs"
        f" WHERE {pairs};\n"
        f"  IF NOT FOUND THEN NEW.{column} := {_otherwise(lookup)}; END IF;\n"
        "  RETURN NEW;\nEND\n"
    )


def _changed_body(lookup: Lookup) -> str:
    width = range(len(lookup.key))
    names = ", ".join(f"k{number}" for number in width)
    keys = ", ".join(quoted(name) for name in lookup.key)
    new, old = (f"SELECT {keys}, {quoted(lookup.value)}::text FROM crossfade_{age}" for age in ("new", "old"))
    sources = {
        "INSERT": new,
        "DELETE": old,
        "UPDATE": f"({old} EXCEPT {new}) UNION ALL ({new} EXCEPT {old})",
    }
    declared = "".join(f"  keys{number} {kind}[];\n" for number, kind in enumerate(lookup.key_types))
    gathered = ", ".join(f"array_agg(k{number})" for number in width)
    variables = ", ".join(f"keys{number}" for number in width)
    known = " AND ".join(f"k{number} IS NOT NULL" for number in width)
    lines = [f"\n#variable_conflict use_column\nDECLARE\n{declared}BEGIN\n"]
    for number, (event, source) in enumerate(sources.items()):
        lines.append(
            f"  {'ELSIF' if number else 'IF'} TG_OP = '{event}' THEN\n"
            f"    SELECT {gathered} INTO {variables} FROM"
            f" (SELECT DISTINCT {names} FROM ({source}) AS changed ({names}, v)) AS keys WHERE {known};\n"
        )
    lines.append(f"  END IF;\n  IF keys0 IS NULL THEN RETURN NULL; END IF;\n{_committed_only(lookup)}")
    given = f"unnest({variables}) AS given ({names})"
    lines.append(
        f"  PERFORM pg_advisory_xact_lock({_space(lookup)}, bucket) FROM (SELECT DISTINCT"
        f" {_bucket([f'k{number}' for number in width])} AS bucket FROM {given} ORDER BY 1) AS locks;\n"
    )
    theirs = " AND ".join(f"theirs.{quoted(name)} = k{number}" for number, name in enumerate(lookup.key))
    mine = " AND ".join(f"mine.{quoted(name)} = should.k{number}" for number, name in enumerate(lookup.by))
    column = quoted(lookup.column)
    lines.append(
        f"  UPDATE {_own(lookup)} AS mine SET {column} = should.value FROM (SELECT {names}, {_value(lookup)} AS value"
        f" FROM {given} LEFT JOIN {_other(lookup)} AS theirs ON {theirs}) AS should\n"
        f"    WHERE {mine} AND mine.{column}::text IS DISTINCT FROM should.value::text;\n"
        "  RETURN NULL;\nEND\n"
    )
    return "".join(lines)


def _emptied_body(lookup: Lookup) -> str:
    column = quoted(lookup.column)
    return (
        f"\nBEGIN\n{_committed_only(lookup)}"
        f"  UPDATE {_own(lookup)} SET {column} = {_otherwise(lookup)}"
        f" WHERE {column}::text IS DISTINCT FROM {_otherwise(lookup)}::text;\n"
        "  RETURN NULL;\nEND\n"
    )

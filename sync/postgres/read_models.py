"""Read models in a store: made, filled and kept up to date by statement triggers, in the transaction of the base rows.

Triggers, not the applier, follow the changes, so that cascades, repairs, retries and, after a cutover, the writes of
applications are followed alike; they are ENABLE ALWAYS, for the applier's sessions switch ordinary triggers off. Each
runs once per statement: from the transition tables to the affected keys, whose rows are computed anew. Transactions
that meet at a key wait for each other (advisory locks, by key in buckets), or each would miss the other's rows.
A model whose SQL fails must not stop the base tables: it is marked as stale and has to be rebuilt.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from typing import Final

from model.errors import Refused
from stores.errors import translated
from stores.postgres import PostgresConnection
from transforms.names import literal, quoted, shorten
from transforms.read_model import CHANGED, ReadModel

BUCKETS: Final = 256
"""Locks that one transaction can take per model at most."""
_EVENTS: Final = ("insert", "update", "delete", "truncate")
"""Each has a trigger on every base table."""
_LOCK: Final = zlib.crc32(b"crossfade read model")


def install(connection: PostgresConnection, model: ReadModel) -> bool:
    """Make, fill and arm the model unless it is there as declared; whether anything was done. One transaction.

    Raises Refused when another table has its name, and what the store raises for SQL that it refuses.
    """
    with translated(_where(model)), connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        known = _fingerprint(connection, model)
        if known == model.fingerprint and _exists(connection, model):
            if _armed(connection, model):
                return False
            # A base table was made anew, for a copy of its own: its triggers went with it.
            _refill(connection, model)
            return True
        if known is None and _exists(connection, model):
            raise Refused(
                f"the store has a table {model.place} that is no read model of ours",
                hint="Rename the read model in the configuration, or drop the table.",
            )
        _drop(connection, model)
        _make(connection, model)
    return True


def rebuild(connection: PostgresConnection, model: ReadModel) -> int:
    """Make the model anew from the base tables; its number of rows. Readers wait, writers of the base tables too."""
    with translated(_where(model)), connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        known = _fingerprint(connection, model)
        if known is None and _exists(connection, model):
            raise Refused(
                f"the store has a table {model.place} that is no read model of ours",
                hint="Rename the read model in the configuration, or drop the table.",
            )
        if known == model.fingerprint and _exists(connection, model):
            return _refill(connection, model)
        _drop(connection, model)
        return _make(connection, model)


def drop(connection: PostgresConnection, models: Iterable[ReadModel]) -> None:
    """Remove models that are ours, in the caller's transaction."""
    for model in models:
        if _fingerprint(connection, model) is not None:
            _drop(connection, model)


def state(connection: PostgresConnection, model: ReadModel) -> tuple[bool, str, str]:
    """(whether it is there as declared, since when it is stale as text or "", the error that made it so)."""
    with translated(_where(model)):
        if not _remembers(connection):
            return False, "", ""
        row = connection.execute(
            "SELECT fingerprint, CASE WHEN stale THEN to_char(since AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || 'Z'"
            " ELSE '' END, error FROM crossfade.read_model WHERE place = %s",
            (model.place,),
        ).fetchone()
        if row is None:
            return False, "", ""
        return row[0] == model.fingerprint and _armed(connection, model), row[1], row[2]


# ---------------------------------------------------------------- parts


def _where(model: ReadModel) -> str:
    return f"store {model.store}, read model {model.place}"


def _run(connection: PostgresConnection, statement: str) -> int:
    return connection.execute(statement.encode()).rowcount


def _remembers(connection: PostgresConnection) -> bool:
    row = connection.execute("SELECT to_regclass('crossfade.read_model') IS NOT NULL").fetchone()
    return bool(row and row[0])


def _fingerprint(connection: PostgresConnection, model: ReadModel) -> str | None:
    if not _remembers(connection):
        return None
    query = "SELECT fingerprint FROM crossfade.read_model WHERE place = %s"
    row = connection.execute(query, (model.place,)).fetchone()
    return str(row[0]) if row else None


def _exists(connection: PostgresConnection, model: ReadModel) -> bool:
    row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (_table(model),)).fetchone()
    return bool(row and row[0])


def _remember(connection: PostgresConnection, model: ReadModel) -> None:
    connection.execute(
        "INSERT INTO crossfade.read_model (place, fingerprint) VALUES (%s, %s) ON CONFLICT (place) DO UPDATE"
        " SET fingerprint = excluded.fingerprint, stale = false, error = '', since = clock_timestamp()",
        (model.place, model.fingerprint),
    )


def _drop(connection: PostgresConnection, model: ReadModel) -> None:
    prefix = f"{_prefix(model)}%"
    found = connection.execute(
        "SELECT p.oid::regprocedure::text FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace"
        " WHERE n.nspname = %s AND p.proname LIKE %s",
        (model.schema, prefix.replace("_", "\\_")),
    ).fetchall()
    for (function,) in found:
        _run(connection, f"DROP FUNCTION {function} CASCADE")  # its triggers go with it
    _run(connection, f"DROP TABLE IF EXISTS {_table(model)}")
    connection.execute("DELETE FROM crossfade.read_model WHERE place = %s", (model.place,))


def _make(connection: PostgresConnection, model: ReadModel) -> int:
    _lock_bases(connection, model)
    connection.execute("SELECT set_config('search_path', %s, true)", (f"{quoted(model.schema)}, pg_catalog",))
    for statement in _table_statements(model):
        _run(connection, statement)
    _arm(connection, model)
    rows = _run(connection, f"INSERT INTO {_table(model)} {_select(model)}")
    _remember(connection, model)
    return rows


def _refill(connection: PostgresConnection, model: ReadModel) -> int:
    """Make the rows anew; table, grants and views over it stay."""
    _lock_bases(connection, model)
    _arm(connection, model)
    _run(connection, f"DELETE FROM {_table(model)}")
    rows = _run(connection, f"INSERT INTO {_table(model)} {_select(model)}")
    _remember(connection, model)
    return rows


def _armed(connection: PostgresConnection, model: ReadModel) -> bool:
    """Whether every base table has its triggers, none of them switched off."""
    for way in model.ways:
        row = connection.execute(
            "SELECT count(*) FROM pg_trigger WHERE tgrelid = to_regclass(%s) AND starts_with(tgname, %s)"
            " AND tgenabled = 'A'",
            (f"{quoted(model.schema)}.{quoted(way.table)}", _stem(model, way.table)),
        ).fetchone()
        if row is None or row[0] != len(_EVENTS):
            return False
    return True


def _lock_bases(connection: PostgresConnection, model: ReadModel) -> None:
    """Nobody writes the base tables until the model is filled and armed."""
    connection.execute("SELECT set_config('search_path', %s, true)", (f"{quoted(model.schema)}, pg_catalog",))
    tables = ", ".join(sorted(f"{quoted(model.schema)}.{quoted(way.table)}" for way in model.ways))
    _run(connection, f"LOCK TABLE {tables} IN SHARE ROW EXCLUSIVE MODE")


def _arm(connection: PostgresConnection, model: ReadModel) -> None:
    found = connection.execute(
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = %s::regclass"
        " AND attnum > 0 AND NOT attisdropped",
        (_table(model),),
    ).fetchall()
    types: dict[str, str] = dict(found)
    for statement in _trigger_statements(model, [types[name] for name in model.key]):
        _run(connection, statement)


def _table(model: ReadModel) -> str:
    return f"{quoted(model.schema)}.{quoted(model.name)}"


def _select(model: ReadModel) -> str:
    return f"SELECT * FROM ({model.sql}) AS made"


def _prefix(model: ReadModel) -> str:
    return f"crossfade_{zlib.crc32(model.name.encode()):08x}_"


def _stem(model: ReadModel, table: str) -> str:
    """Begins the names of the triggers on a base table."""
    return f"{_prefix(model)}{zlib.crc32(table.encode()):08x}"


def planned(model: ReadModel) -> list[str]:
    """What makes the model, for people to read: its table, its rows. Triggers on the tables that it reads follow."""
    return [*_table_statements(model), f"INSERT INTO {_table(model)} {_select(model)}"]


def _table_statements(model: ReadModel) -> list[str]:
    key = ", ".join(quoted(name) for name in model.key)
    made = [
        f"CREATE TABLE {_table(model)} AS {_select(model)} WITH NO DATA",
        f"ALTER TABLE {_table(model)} ADD PRIMARY KEY ({key})",
        f"COMMENT ON TABLE {_table(model)} IS {literal('Read model, kept up to date by crossfade')}",
    ]
    for index in model.indexes:
        name = shorten(f"{model.name}_{'_'.join(index)}")
        columns = ", ".join(quoted(column) for column in index)
        made.append(f"CREATE INDEX {quoted(name)} ON {_table(model)} ({columns})")
    return made


def _trigger_statements(model: ReadModel, key_types: Sequence[str]) -> list[str]:
    made: list[str] = []
    for way in model.ways:
        made += _follow(model, way.table, way.sql, key_types)
    return made


def _follow(model: ReadModel, table: str, way: str, key_types: Sequence[str]) -> list[str]:
    """Function and triggers of one base table."""
    base = f"{quoted(model.schema)}.{quoted(table)}"
    stem = _stem(model, table)
    function, emptied = (f"{quoted(model.schema)}.{quoted(stem + end)}" for end in ("", "_truncate"))
    made = [
        _function(function, model, _changed_body(model, way, key_types), key_types),
        _function(emptied, model, _emptied_body(model), ()),
    ]
    events = (
        ("INSERT", "NEW TABLE AS crossfade_new"),
        ("UPDATE", "OLD TABLE AS crossfade_old NEW TABLE AS crossfade_new"),
        ("DELETE", "OLD TABLE AS crossfade_old"),
    )
    for event, tables in events:
        name = quoted(f"{stem}_{event.lower()}")
        made.append(
            f"CREATE OR REPLACE TRIGGER {name} AFTER {event} ON {base} REFERENCING {tables}"
            f" FOR EACH STATEMENT EXECUTE FUNCTION {function}()"
        )
        made.append(f"ALTER TABLE {base} ENABLE ALWAYS TRIGGER {name}")
    name = quoted(f"{stem}_truncate")
    made.append(
        f"CREATE OR REPLACE TRIGGER {name} AFTER TRUNCATE ON {base} FOR EACH STATEMENT EXECUTE FUNCTION {emptied}()"
    )
    made.append(f"ALTER TABLE {base} ENABLE ALWAYS TRIGGER {name}")
    return made


def _function(name: str, model: ReadModel, body: str, key_types: Sequence[str]) -> str:
    declared = "".join(f"  keys{number} {kind}[];\n" for number, kind in enumerate(key_types))
    stale = (
        "UPDATE crossfade.read_model SET stale = true, error = SQLERRM, since = clock_timestamp()"
        f" WHERE place = {literal(model.place)} AND NOT stale;"
    )
    return (
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER"
        f" SET search_path = {quoted(model.schema)}, pg_catalog, pg_temp AS {_QUOTE}\n"
        f"#variable_conflict use_column\nDECLARE\n{declared}"
        f"BEGIN\n{body}  RETURN NULL;\n"
        "EXCEPTION\n"
        "  WHEN deadlock_detected OR serialization_failure OR lock_not_available THEN RAISE;\n"
        # Two transactions of an isolation that does not see each other's rows met at a key.
        "  WHEN unique_violation THEN\n"
        "    IF current_setting('transaction_isolation') <> 'read committed' THEN\n"
        "      RAISE EXCEPTION USING ERRCODE = 'serialization_failure', MESSAGE = SQLERRM;\n"
        "    END IF;\n"
        f"    {stale}\n"
        "    RETURN NULL;\n"
        "  WHEN OTHERS THEN\n"
        f"    {stale}\n"
        "    RETURN NULL;\n"
        f"END\n{_QUOTE}"
    )


_QUOTE: Final = "$crossfade$"


def _changed_body(model: ReadModel, way: str, key_types: Sequence[str]) -> str:
    width = range(len(model.key))
    names = ", ".join(f"k{number}" for number in width)
    gathered = ", ".join(f"array_agg(k{number}::{key_types[number]})" for number in width)
    variables = ", ".join(f"keys{number}" for number in width)
    known = " AND ".join(f"k{number} IS NOT NULL" for number in width)
    sources = {
        "INSERT": "SELECT * FROM crossfade_new",
        "DELETE": "SELECT * FROM crossfade_old",
        "UPDATE": "SELECT * FROM crossfade_old UNION ALL SELECT * FROM crossfade_new",
    }
    lines = []
    for number, (event, source) in enumerate(sources.items()):
        word = "IF" if number == 0 else "ELSIF"
        lines.append(f"  {word} TG_OP = '{event}' THEN\n")
        lines.append(
            f"    WITH {CHANGED} AS ({source}) SELECT {gathered} INTO {variables}"
            f" FROM (SELECT DISTINCT * FROM ({way}) AS found ({names})) AS keys WHERE {known};\n"
        )
    lines.append("  END IF;\n  IF keys0 IS NULL THEN RETURN NULL; END IF;\n")
    given = f"unnest({variables}) AS given ({names})"
    whole = " || '|' || ".join(f"k{number}::text" for number in width)
    lines.append(
        f"  PERFORM pg_advisory_xact_lock({_model_lock(model)}, bucket) FROM (SELECT DISTINCT"
        f" hashtext({whole}) & {BUCKETS - 1} AS bucket FROM {given} ORDER BY 1) AS locks;\n"
    )
    same = " AND ".join(f"old.{quoted(name)} = k{number}" for number, name in enumerate(model.key))
    # Conditions with nothing but parameters are pushed down into the model's SQL, to an index of its table; a join is
    # not, and would make the whole model for every statement. Of a key of several columns the first conditions let
    # too much through, the last one does not.
    wanted = " AND ".join(f"made.{quoted(name)} = ANY (keys{number})" for number, name in enumerate(model.key))
    if len(model.key) > 1:
        wanted += f" AND ({', '.join(f'made.{quoted(name)}' for name in model.key)}) IN (SELECT * FROM {given})"
    lines.append(f"  DELETE FROM {_table(model)} AS old USING {given} WHERE {same};\n")
    lines.append(f"  INSERT INTO {_table(model)} SELECT * FROM ({model.sql}) AS made WHERE {wanted};\n")
    return "".join(lines)


def _emptied_body(model: ReadModel) -> str:
    return f"  DELETE FROM {_table(model)};\n  INSERT INTO {_table(model)} {_select(model)};\n"


def _model_lock(model: ReadModel) -> int:
    return zlib.crc32(model.place.encode()) - (1 << 31)

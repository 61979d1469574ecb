"""Writes that the source could not hold are refused in the store, as the source itself refuses them, and no others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import psycopg
import pymysql
import pytest

from servers import Engine
from sync.postgres.value_guard import CONSTRAINT, ValueGuard
from sync.postgres.value_limits import value_limits
from tests.integration.test_reverse_values import one_session, typed_table
from tests.support.reversing import DOMAIN, Reversing, reversing
from tests.support.servers import SourceDatabase, StoreDatabase

STRICT = "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_IN_DATE'"
WRONG = {
    "ti": ["128", "-129"],
    "tu": ["256", "-1"],
    "mi": ["16777216"],
    "iu": ["4294967296", "-1"],
    "bu": ["18446744073709551616", "-1"],
    "y": ["1900", "2156"],
    "d": ["NaN"],
    "f": ["NaN", "infinity"],
    "db": ["NaN", "-infinity"],
    "vc": [],
    "l1": ["Ж", "😀", "ok Ж"],
    "sj": ["ö", "😀"],
    "tx": ["😀"],
    "bl": ["\\x" + "00" * 65536],
    "bn": ["\\x" + "00" * 17],
    "vb": ["\\x" + "00" * 21],
    "e": ["other"],
    "s": ["{x,other}"],
    "dt": ["infinity", "0044-03-15 BC", "10000-01-01"],
    "ts": ["infinity", "2038-01-19 03:14:08+00", "1969-12-31+00", "2106-02-07 06:28:16+00"],
    "dm": ["infinity", "0044-03-15 BC", "10000-01-01"],
    "t": ["839:00:00", "1 mon"],
    "j": ["1e400"],
    "i4": ["::1", "10.0.0.0/8"],
}
"""Column of the typed table → values that PostgreSQL's type takes and MySQL's does not."""
RIGHT = {"l1": ["€ñ"], "sj": ["表示"], "tx": ["ж"], "e": ["c'c"], "ts": ["2038-01-19 03:14:07+00", "-infinity"]}


@dataclass(frozen=True, slots=True)
class Guarded:
    """Both sides, and the guard of the store."""

    bed: Reversing
    guard: ValueGuard

    def columns(self) -> set[str]:
        """Columns that this source's table has."""
        return {column.name for column in self.bed.plans[0].source.columns}


@pytest.fixture
def guarded(source_db: SourceDatabase, store_db: StoreDatabase) -> Iterator[Guarded]:
    """A table of every type on both sides, guarded."""
    one_session(source_db, typed_table(source_db))
    with reversing(source_db, store_db) as bed, bed.store() as connection:
        limits = {back.plan.target: value_limits(back) for back in bed.backs}
        guard = ValueGuard(connection, "main", DOMAIN, limits)
        assert [name.partition(".")[2] for name in guard.missing()] == ["typed"]
        guard.prepare()
        assert guard.missing() == []
        yield Guarded(bed, guard)


def refused_here(connection: psycopg.Connection, statement: str, *values: str) -> psycopg.errors.CheckViolation | None:
    """The guard's refusal, None when it passes (and is rolled back)."""
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(statement.encode(), values)
    except psycopg.errors.CheckViolation as error:
        return error
    return None


def refused_there(source_db: SourceDatabase, column: str, value: str) -> bool:
    """Whether the source refuses it when it is strict."""
    written = f"x'{value[2:]}'" if value.startswith("\\x") else "%s"
    moment = value.removesuffix("+00")
    with closing(source_db.connect(autocommit=False)) as connection, connection.cursor() as cursor:
        cursor.execute(STRICT)
        cursor.execute("SET SESSION time_zone = '+00:00'")
        try:
            cursor.execute(
                f"INSERT INTO typed (id, `{column}`) VALUES (99, {written})", () if written[0] == "x" else (moment,)
            )
        except pymysql.err.MySQLError:
            return True
        finally:
            connection.rollback()
        return False


def test_what_the_source_refuses_is_refused_and_nothing_else(guarded: Guarded) -> None:
    bed, there = guarded.bed, guarded.columns()
    with bed.store() as connection:
        for column, values in WRONG.items():
            for value in values if column in there else ():
                told = refused_here(connection, f"INSERT INTO typed (id, {column}) VALUES (99, %s)", value)
                assert told is not None, (column, value)
                if told.diag.constraint_name != f"typed_{column}_check":  # that one is the store's for ever
                    assert (told.diag.constraint_name, told.diag.column_name) == (CONSTRAINT, column)
                    assert f".{column} " in str(told) and f"crossfade finalize {DOMAIN}" in str(told.diag.message_hint)
                told = refused_here(connection, f"UPDATE typed SET {column} = %s WHERE id = 4", value)
                assert told is not None, (column, value)
                # MySQL cuts a set's, an interval's and an address's text in ways of its own; the rest it refuses too.
                if column not in ("s", "t"):
                    assert refused_there(bed.source_db, column, value), (column, value)
        for column, values in RIGHT.items():
            for value in values:
                assert refused_here(connection, f"INSERT INTO typed (id, {column}) VALUES (99, %s)", value) is None


def test_everything_that_the_source_has_may_be_written_and_goes_back(guarded: Guarded) -> None:
    bed = guarded.bed
    stream = bed.start()
    with bed.store() as connection, connection.transaction():
        connection.execute("CREATE TEMPORARY TABLE aside ON COMMIT DROP AS SELECT * FROM typed")
        connection.execute("UPDATE aside SET id = id + 10")
        connection.execute("INSERT INTO typed SELECT * FROM aside")
    bed.drain(stream)
    bed.assert_equal()


def test_a_guard_that_was_tampered_with_is_noticed_and_made_again(guarded: Guarded) -> None:
    bed, guard = guarded.bed, guarded.guard
    wrong = "INSERT INTO typed (id, ti) VALUES (99, 999)"
    with bed.store() as connection:
        for harm in (
            "ALTER TABLE typed DISABLE TRIGGER crossfade_values",
            "DROP TRIGGER crossfade_values ON typed",
            "ALTER TABLE typed ENABLE ALWAYS TRIGGER crossfade_values",
        ):
            connection.execute(harm.encode())
            assert len(guard.missing()) == 1, harm
            guard.prepare()
            assert guard.missing() == []
            assert refused_here(connection, wrong) is not None
        # Our own appliers are not asked, and what a row has already may stay.
        connection.execute("SET session_replication_role = replica")
        connection.execute("INSERT INTO typed (id, ti) VALUES (98, 999)")
        connection.execute("RESET session_replication_role")
        assert refused_here(connection, "UPDATE typed SET si = 1 WHERE id = 98") is None
        assert refused_here(connection, "UPDATE typed SET ti = 998 WHERE id = 98") is not None
        connection.execute("DELETE FROM typed WHERE id = 98")
        guard.remove()
        guard.remove()
        assert refused_here(connection, wrong) is None
        left = "SELECT count(*) FROM pg_proc WHERE pronamespace = 'crossfade'::regnamespace AND proname ~ '^values_'"
        assert bed.store_db.rows(left) == [(0,)]


MAPPED = (
    """CREATE TABLE people (id INT NOT NULL PRIMARY KEY, state CHAR(1) NOT NULL, gone DATE NOT NULL, born DATE NOT NULL,
    active TINYINT NOT NULL, at DATETIME NOT NULL, kind VARCHAR(9) NULL) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4""",
    "INSERT INTO people VALUES (1, 'N', '2020-01-01', '1999-01-01', 1, '2020-01-01 12:00:00', 'x')",
)
RULES = {
    "tables": {
        "people": {
            "map": {"state": {"N": "new", "P": "paid"}},
            "types": {"active": "boolean", "at": "timestamptz at time zone 'Europe/Berlin'"},
            "rename": {"kind": "sort"},
        }
    },
    "mapping": {},
}


def test_mapped_columns_take_what_the_map_gives_back(source_db: SourceDatabase, store_db: StoreDatabase) -> None:
    rules = {key: value for key, value in RULES.items() if value}
    with reversing(source_db, store_db, *MAPPED, **rules) as bed, bed.store() as connection:
        limits = {back.plan.target: value_limits(back) for back in bed.backs}
        ValueGuard(connection, "main", DOMAIN, limits).prepare()
        update = "UPDATE people SET {} = {} WHERE id = 1"
        for column, value in (("state", "'paid'"), ("active", "false"), ("at", "'9999-12-31 12:00+00'"),
                              ("sort", "'123456789'"), ("gone", "'-infinity'")):  # fmt: skip
            assert refused_here(connection, update.format(column, value)) is None, column
        for column, value in (("state", "'lost'"), ("at", "'infinity'"), ("at", "'10001-01-01+00'"),
                              ("at", "'2020-01-01 00:00:00.5+00'"), ("born", "'infinity'")):  # fmt: skip
            told = refused_here(connection, update.format(column, value))
            if column == "at" and "0.5" in value:
                continue  # timestamptz(0) rounds
            assert told is not None and told.diag.column_name == column, (column, value)
        stream = bed.start()
        connection.execute("UPDATE people SET state = 'paid', sort = 'z', born = '-infinity'")
        bed.drain(stream)
        bed.assert_equal()
        assert source_db.server.flavour.engine in (Engine.MARIADB, Engine.MYSQL)

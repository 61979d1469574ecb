"""Lookups on real servers: filled, followed from both tables in every order, compared, mended, armed anew."""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest

from stores.control.migrations import prepare_store
from sync.postgres import lookups
from tests.support.reshaping import Reshaping, reshaping
from tests.support.servers import SourceDatabase, StoreDatabase
from tests.support.streaming import wait_until
from transforms.lookup import Lookup
from transforms.target import TargetTable
from validators.findings import ColumnDifference, Finding, FindingKind, Mode, Outcome
from validators.lookup_check import judge_lookup

TABLES = [
    "CREATE TABLE countries (id INT PRIMARY KEY, code VARCHAR(2) NOT NULL UNIQUE, name VARCHAR(30), note INT)",
    "CREATE TABLE people (id INT PRIMARY KEY, country_id INT, code VARCHAR(5), boss_id INT, name VARCHAR(20) NOT NULL)",
    "INSERT INTO countries VALUES (1, 'DE', 'Germany', 0), (2, 'FR', NULL, 0), (3, 'IT', 'Itália', 0)",
    (
        "INSERT INTO people VALUES (1, 1, 'FR', 2, 'Ann'), (2, 2, NULL, NULL, 'Bob'), (3, 9, 'XX', 1, 'Cid'),"
        " (4, NULL, 'DE', 4, 'Dee')"
    ),
]
RULES: dict[str, Any] = {
    "people": {
        "lookup": {
            "country": {"table": "countries", "by": "country_id", "column": "name", "otherwise": "unknown"},
            "number": {"table": "countries", "by": "code", "key": "code", "column": "id"},
            "boss": {"table": "people", "by": "boss_id", "column": "name"},
        }
    }
}


def people(bed: Reshaping) -> dict[int, tuple[Any, ...]]:
    """Id → what was looked up."""
    return {row[0]: row[1:] for row in bed.rows("main", "SELECT id, country, number, boss FROM people ORDER BY id")}


def outcomes(bed: Reshaping) -> dict[str, str]:
    """Looked-up column → outcome of a comparison."""
    done = bed.migration.run("-o", "json", "verify", "--mode", "checksum")
    return {one["target"]: one["outcome"] for one in done.document()["tables"] if one["source"] == "lookup"}


CLEAN = {"public.people.country": "pass", "public.people.number": "pass", "public.people.boss": "pass"}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_looked_up_column_follows_both_tables(
    source_db: SourceDatabase, store_db: StoreDatabase, tmp_path: Path
) -> None:
    with reshaping(source_db, {"main": store_db}, tmp_path, *TABLES, tables=RULES) as bed:
        explained = " ".join(bed.migration.ok("config", "explain", "people").out.split())
        assert "looked up: countries.name of the row with id = country_id; 'unknown' where there is none" in explained
        assert "country: looked up in countries; not sent back" in explained
        assert "looked-up column public.people.country" in bed.migration.ok("schema", "plan").out
        bed.start()
        bed.migration.wait(lambda _: not bed.migration.run("readmodel", "list").code)
        expected = {
            1: ("Germany", 2, "Bob"), 2: (None, None, None), 3: ("unknown", None, "Ann"), 4: ("unknown", 1, "Dee"),
        }  # fmt: skip
        assert people(bed) == expected
        assert outcomes(bed) == CLEAN
        bed.change(
            "UPDATE countries SET name = 'Deutschland', note = 1 WHERE id = 1",
            "INSERT INTO people VALUES (5, 4, 'ES', 6, 'Eve'), (6, 1, 'DE', 5, 'Fay')",  # before what they refer to
            "INSERT INTO countries VALUES (4, 'ES', 'Spain', 0), (9, 'XX', 'Nowhere', 0)",
            "UPDATE people SET country_id = 3, boss_id = 3 WHERE id = 2",
            "UPDATE people SET name = 'Anna' WHERE id = 1",
            "UPDATE countries SET code = 'D', id = 11 WHERE id = 1",  # the key goes away from under its rows
            "DELETE FROM countries WHERE id = 2",
            "DELETE FROM people WHERE id = 4",
        )
        expected = {
            1: ("unknown", None, "Bob"), 2: ("Itália", None, "Cid"), 3: ("Nowhere", 9, "Anna"),
            5: ("Spain", 4, "Fay"), 6: ("unknown", None, "Eve"),
        }  # fmt: skip
        assert people(bed) == expected
        assert outcomes(bed) == CLEAN
        shown = bed.migration.ok("transform", "preview", "people", "--key", "2").out
        assert "country_id 3 → looked up in countries.name: Itália" in " ".join(shown.split())


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("source", "store"), [("mariadb-10.11", "postgres-18")], indirect=True)
def test_it_follows_a_wider_type_holds_for_a_name_that_goes_and_is_armed_again(
    source_db: SourceDatabase, store_db: StoreDatabase, tmp_path: Path
) -> None:
    with reshaping(source_db, {"main": store_db}, tmp_path, *TABLES, tables=RULES) as bed:
        bed.start()
        long = "Z" * 60
        bed.source.execute("ALTER TABLE countries MODIFY name VARCHAR(90)")
        bed.source.execute(f"UPDATE countries SET name = '{long}' WHERE id = 1")
        bed.migration.wait(lambda _: people(bed)[1][0] == long)
        # The configuration names a column that would be no more: the table is held, the others go on.
        bed.source.execute("ALTER TABLE countries CHANGE note remark INT")
        bed.source.execute("ALTER TABLE countries CHANGE name title VARCHAR(90)")
        bed.source.execute("UPDATE people SET country_id = 3 WHERE id = 1")
        bed.migration.wait(lambda _: people(bed)[1][0] == "Itália")
        bed.migration.wait(lambda _: "countries" in bed.migration.run("schema", "pending").out)
        # Which of the two statements it is held for depends on whether the second came before the first was looked at.
        assert "crossfade schema recopy countries" in bed.migration.run("schema", "pending").out
        bed.source.execute("ALTER TABLE countries CHANGE title name VARCHAR(90)")
        bed.migration.terminate()
        bed.migration.ok("schema", "recopy", "countries", "--confirm", "countries")
        bed.source.execute("UPDATE countries SET name = 'Italia' WHERE id = 3")
        bed.migration.start()
        bed.migration.wait_streaming()
        bed.migration.wait(lambda _: not bed.migration.run("readmodel", "list").code)
        assert people(bed)[1][0] == "Italia"
        bed.change("UPDATE countries SET name = 'ITA' WHERE id = 3")
        assert people(bed)[1][0] == "ITA"
        assert outcomes(bed) == CLEAN


SUMS = Lookup(
    "main", "public", "rows", "value", ("a", "b"), "looked", ("x", "y"), ("bigint", "text"), "v", "text", "none"
)


@pytest.fixture
def armed(store_db: StoreDatabase) -> StoreDatabase:
    """Two tables of a store and the lookup between them."""
    store_db.execute(
        "CREATE TABLE looked (x int, y varchar(5), v varchar(20), more int, PRIMARY KEY (x, y))",
        "CREATE TABLE rows (id int PRIMARY KEY, a int, b varchar(5), value text)",
        "CREATE INDEX ON rows (a, b)",
        "INSERT INTO looked SELECT n, 'k', 'v' || n FROM generate_series(1, 20) AS n",
        "INSERT INTO rows SELECT n, n % 30, 'k' FROM generate_series(1, 3000) AS n",
    )
    with store_db.connect() as connection:
        prepare_store(connection)
        assert lookups.install(connection, SUMS) and not lookups.install(connection, SUMS)
    return store_db


def wrong(store: StoreDatabase) -> list[tuple[Any, ...]]:
    """Rows whose value is not that of the row that they refer to, by a statement of the test's own."""
    return store.rows(
        "SELECT r.id, r.value, l.v FROM rows r LEFT JOIN looked l ON (l.x, l.y) = (r.a, r.b)"
        " WHERE r.value IS DISTINCT FROM CASE WHEN l.x IS NULL THEN 'none' ELSE l.v END"
    )


def test_sessions_that_meet_at_a_key_miss_nothing(armed: StoreDatabase) -> None:
    assert wrong(armed) == []
    failures: list[Exception] = []

    def write(number: int) -> None:
        dice = random.Random(number)
        with armed.connect() as connection:
            for turn in range(150):
                key = dice.randrange(1, 8)
                statements = {
                    0: f"INSERT INTO rows VALUES ({10_000 * number + turn}, {key}, 'k')",
                    1: f"UPDATE rows SET a = {key} WHERE id = {dice.randrange(1, 60)}",
                    2: f"INSERT INTO looked VALUES ({key}, 'k', 'w{number}.{turn}')"
                    f" ON CONFLICT (x, y) DO UPDATE SET v = excluded.v",
                    3: f"DELETE FROM looked WHERE x = {key}",
                    4: f"UPDATE looked SET x = {key + 100} WHERE x = {key}",
                }
                chosen = [statements[dice.randrange(5)] for _ in range(2)]
                try:
                    with connection.transaction():
                        for statement in chosen:
                            connection.execute(statement.encode())
                except (psycopg.errors.DeadlockDetected, psycopg.errors.UniqueViolation):
                    continue
                except psycopg.Error as error:
                    failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(1, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == [] and wrong(armed) == []
    armed.execute("TRUNCATE looked")
    assert armed.rows("SELECT DISTINCT value FROM rows") == [("none",)]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("INSERT INTO rows VALUES (-1, 5, 'k')", "UPDATE looked SET v = 'new' WHERE x = 5"),
        ("INSERT INTO rows VALUES (-1, 99, 'k')", "INSERT INTO looked VALUES (99, 'k', 'new')"),
        ("UPDATE rows SET a = 5 WHERE id = 1", "DELETE FROM looked WHERE x = 5"),
        ("UPDATE looked SET v = 'new' WHERE x = 5", "INSERT INTO rows VALUES (-1, 5, 'k')"),
        ("INSERT INTO looked VALUES (99, 'k', 'new')", "UPDATE rows SET a = 99 WHERE id = 1"),
    ],
)
def test_the_second_waits_for_the_first(armed: StoreDatabase, first: str, second: str) -> None:
    """Neither sees what the other has not committed."""
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with armed.connect() as one, armed.connect() as other:
        thread = threading.Thread(target=other.execute, args=(second.encode(),))
        with one.transaction():
            one.execute(first.encode())
            thread.start()
            wait_until(lambda: armed.rows(waiting) == [(1,)])
        thread.join()
    assert wrong(armed) == []


def test_another_isolation_is_refused_where_it_could_miss_something(armed: StoreDatabase) -> None:
    with armed.connect() as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        with connection.transaction():
            connection.execute("UPDATE looked SET more = 1")
            connection.execute("UPDATE rows SET id = -id WHERE id < 10")
        for statement in (
            "INSERT INTO rows VALUES (0, 1, 'k')", "UPDATE rows SET a = 2 WHERE id = 20", "DELETE FROM looked",
        ):  # fmt: skip
            with pytest.raises(psycopg.errors.FeatureNotSupported, match="READ COMMITTED"), connection.transaction():
                connection.execute(statement.encode())


def test_a_row_that_refers_to_the_same_keeps_its_value_and_changes_go_by_index(armed: StoreDatabase) -> None:
    armed.execute("ANALYZE rows", "ANALYZE looked")
    scans = "SELECT sum(seq_scan) FROM pg_stat_user_tables WHERE relname = 'rows'"
    with armed.connect() as connection:
        connection.execute("UPDATE rows SET value = 'mine' WHERE id = 7")
    before = armed.rows(scans)
    with armed.connect() as connection:
        for number in range(1, 15):
            connection.execute("UPDATE looked SET v = v || '!' WHERE x = %s AND y = 'k'", (number,))
    assert armed.rows(scans) == before and wrong(armed) == []


def test_what_differs_is_found_and_mended(armed: StoreDatabase) -> None:
    with armed.connect() as connection:
        assert judge_lookup(connection, SUMS, Mode.ROWS).outcome is Outcome.PASS
        connection.execute("ALTER TABLE rows DISABLE TRIGGER ALL")
        connection.execute("UPDATE rows SET value = 'mine' WHERE id = 7")
        assert judge_lookup(connection, SUMS, Mode.ROWS).outcome is Outcome.INCONCLUSIVE
        (name,) = [row[0] for row in armed.rows("SELECT tgname FROM pg_trigger WHERE tgrelid = 'rows'::regclass")]
        connection.execute(f'ALTER TABLE rows ENABLE ALWAYS TRIGGER "{name}"'.encode())
        found = judge_lookup(connection, SUMS, Mode.ROWS)
        assert found.outcome is Outcome.FAIL and found.next_step == "crossfade readmodel rebuild rows.value"
        assert found.findings == (
            Finding(FindingKind.DIFFERS, (("id", "7"),), (ColumnDifference("value", "v7", "mine"),)),
        )
        assert lookups.rebuild(connection, SUMS) == 1
        assert judge_lookup(connection, SUMS, Mode.ROWS).outcome is Outcome.PASS


def test_a_lookup_that_is_none_any_more_is_disarmed(armed: StoreDatabase) -> None:
    tables = [TargetTable("main", "public", name, ()) for name in ("looked", "rows")]
    triggers = "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal"
    with armed.connect() as connection:
        lookups.drop_others(connection, tables, [SUMS])
        assert armed.rows(triggers) == [(5,)]
        lookups.drop_others(connection, tables)
    assert armed.rows(triggers) == [(0,)]

"""Unique indexes of large tables are built beside the stream: nobody waits for them, and whatever happens meanwhile.

Every table that has rows is large here. A transaction that a test holds open stops a build where it wants it.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psycopg
import pymysql
import pytest

from servers import Engine
from tests.support.migration import PACES, Migration
from tests.support.servers import SourceDatabase, StoreDatabase
from tests.support.streaming import wait_until

CONFIG = """version: 1
name: uniques
source: {{engine: {engine}, host: "{host}", port: {port}, user: "{user}", password: "${{env:UNIQUES_PASSWORD}}",
  databases: [{database}]}}
stores:
  main: {{dsn: "${{env:UNIQUES_STORE}}", schema: public}}
relay: {{directory: "{folder}/relay"}}
"""
TABLES = (
    """CREATE TABLE big (id INT PRIMARY KEY, code VARCHAR(20) COLLATE utf8mb4_bin, note VARCHAR(40),
    UNIQUE KEY code (code)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4""",
    "CREATE TABLE other (id INT PRIMARY KEY, code INT)",
    "CREATE TABLE small (id INT PRIMARY KEY, code INT, UNIQUE KEY code (code))",
    "INSERT INTO big VALUES (1, 'a', 'one'), (2, 'b', 'two'), (3, 'c', 'three'), (4, NULL, 'four')",
    "INSERT INTO other VALUES (1, 1), (2, 2)",
)
SNAPSHOT = "SELECT 1"
"""In a transaction of this, builds wait for at their end, when the index refuses rows already."""
WRITER = "LOCK TABLE big IN ROW EXCLUSIVE MODE"
"""In a transaction of this, builds of `big` wait for before they begin."""
UNFINISHED = "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = 'big'::regclass AND NOT indisvalid"
BUILT = """SELECT count(*) FROM pg_index
    WHERE indrelid = 'big'::regclass AND indisvalid AND indisunique AND NOT indisprimary"""
WRITERS = 2
DEADLOCK = 1213
"""Of gap locks of the unique index; the server has taken the transaction back."""
BUILDERS = "SELECT phase FROM pg_stat_progress_create_index WHERE relid = 'big'::regclass"


class Uniques(Migration):
    """A migration whose tables are all large, but one that has no rows."""

    source: SourceDatabase
    store: StoreDatabase

    paces = MappingProxyType(
        {
            **PACES,
            "sync.postgres.unique_build.IN_PLACE_BYTES": 0,
            "sync.postgres.unique_build.CHECK_CLIENT_S": 1,
            "sync.unique_steps.LOOK_EVERY_S": 0.0,
        }
    )

    def wait_building(self, progress: str) -> None:
        """Wait until `big` is exact but for its unique index, and the others stream."""

        def builds(document: dict[str, Any]) -> bool:
            rows = {row["plan"].partition(">")[0].rpartition(".")[2]: row for row in document["tables"]}
            big = rows.pop("big")
            said = f"building unique index big_code: {progress}"
            others = {str(row["phase"]) for row in rows.values()}
            return others == {"streaming"} and big["phase"] == "converging" and str(big["reason"]).startswith(said)

        self.wait(builds)

    def wait_row(self, query: str) -> None:
        """Wait until the store has a row of this query."""
        wait_until(lambda: self.store.rows(query), 60)

    def finish(self) -> None:
        """It streams, has its index, and holds what the source holds."""
        self.wait_caught_up()
        assert self.store.rows(UNFINISHED) == []
        self.ok("verify", "--mode", "checksum")


@contextmanager
def holding(store: StoreDatabase, statement: str) -> Iterator[psycopg.Connection[Any]]:
    """A transaction that is left open."""
    with store.connect() as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        connection.execute(statement)  # type: ignore[call-overload]
        yield connection
        connection.execute("ROLLBACK")


@pytest.fixture
def uniques(source_db: SourceDatabase, store_db: StoreDatabase, tmp_path: Path) -> Iterator[Uniques]:
    """The store has its tables; nothing is copied yet."""
    server = source_db.server
    source_db.execute(*TABLES)
    migration = Uniques(tmp_path, {"UNIQUES_PASSWORD": server.password, "UNIQUES_STORE": store_db.dsn})
    migration.source, migration.store = source_db, store_db
    migration.config.write_text(
        CONFIG.format(
            engine="mariadb" if server.flavour.engine is Engine.MARIADB else "mysql",
            host=server.host, port=server.port, user=server.user, database=source_db.database, folder=tmp_path,
        )
    )  # fmt: skip
    migration.ok("schema", "apply")
    try:
        yield migration
    finally:
        migration.close()


@pytest.mark.parametrize(
    ("statement", "phase"), [(WRITER, "waiting for writers before build"), (SNAPSHOT, "waiting for old snapshots")]
)
def test_rows_of_every_table_arrive_while_an_index_is_built(uniques: Uniques, statement: str, phase: str) -> None:
    with holding(uniques.store, statement) as held:
        uniques.start()
        uniques.wait_building(f"{phase}, now for process {held.info.backend_pid}")
        uniques.source.execute(
            "INSERT INTO other VALUES (3, 3)",
            "INSERT INTO small VALUES (1, 1)",
            "DELETE FROM big WHERE id = 1",
            "INSERT INTO big VALUES (5, 'a', 'took it over'), (6, 'f', 'new')",
        )
        with uniques.source.connect(autocommit=False) as source, source.cursor() as cursor:
            for code, row in (("NULL", 2), ("'b'", 3), ("'c'", 2)):
                cursor.execute(f"UPDATE big SET code = {code} WHERE id = {row}")
            source.commit()
        uniques.source.execute("INSERT INTO other VALUES (4, 4)")
        uniques.wait_row("SELECT 1 FROM other WHERE id = 4")
        assert uniques.store.rows("SELECT id, code FROM big ORDER BY id") == [
            (2, "c"), (3, "b"), (4, None), (5, "a"), (6, "f"),
        ]  # fmt: skip
        uniques.wait_building(phase)
        assert uniques.store.rows(UNFINISHED) == [("big_code",)] and uniques.store.rows(BUILT) == [(0,)]
    uniques.finish()
    assert uniques.store.rows(BUILT) == [(1,)]
    assert uniques.store.rows("SELECT count(*) FROM crossfade.quarantine") == [(0,)]


def test_a_daemon_that_is_killed_leaves_no_index_behind(uniques: Uniques) -> None:
    with holding(uniques.store, SNAPSHOT):
        uniques.start()
        uniques.wait_building("waiting for old snapshots")
        uniques.kill()
        uniques.source.execute("INSERT INTO big VALUES (7, 'g', 'while it was dead')")
        # The server sees that nobody waits any more, and leaves what it has.
        wait_until(lambda: not uniques.store.rows(BUILDERS))
        assert uniques.store.rows(UNFINISHED) == [("big_code",)]
        assert "not valid: its build has not ended" in uniques.run("schema", "plan", "--diff").out
        uniques.start()
        uniques.wait_row("SELECT 1 FROM big WHERE id = 7")
        uniques.wait_building("waiting for old snapshots")
    uniques.finish()
    assert uniques.store.rows(BUILT) == [(1,)]


@pytest.mark.slow
def test_a_stop_waits_for_no_build(uniques: Uniques) -> None:
    with holding(uniques.store, SNAPSHOT):
        uniques.start()
        uniques.wait_building("waiting for old snapshots")
        assert uniques.terminate() == 0
        assert uniques.store.rows(BUILDERS) == []
        uniques.start()
        uniques.wait_building("waiting for old snapshots")
    uniques.finish()
    assert uniques.store.rows(BUILT) == [(1,)]


@pytest.mark.parametrize(
    ("statement", "built"),
    [
        ("ALTER TABLE big ADD COLUMN extra INT NOT NULL DEFAULT 7", 1),
        pytest.param("ALTER TABLE big CHANGE code kind VARCHAR(20) COLLATE utf8mb4_bin", 1, marks=pytest.mark.slow),
        pytest.param("ALTER TABLE big DROP INDEX code", 0, marks=pytest.mark.slow),
    ],
)
def test_a_statement_changes_the_table_meanwhile(uniques: Uniques, statement: str, built: int) -> None:
    with holding(uniques.store, SNAPSHOT):
        uniques.start()
        uniques.wait_building("waiting for old snapshots")
        uniques.source.execute(statement, "INSERT INTO big (id, note) VALUES (8, 'altered')")
        uniques.wait_row("SELECT 1 FROM big WHERE id = 8")
        if not built:
            uniques.wait_streaming()
    uniques.finish()
    assert uniques.store.rows(BUILT) == [(built,)]


def _hand_codes_over(source: SourceDatabase, rows: int, part: int, stop: threading.Event) -> None:
    """Until `stop`: codes go from one row to another, rows go and come back; ids of this part only."""
    dice = random.Random(part)
    with source.connect(autocommit=False) as connection, connection.cursor() as cursor:
        while not stop.is_set():
            giver, taker, again = (WRITERS * dice.randrange(1, rows // WRITERS) + part for _ in range(3))
            try:
                cursor.execute(f"SELECT code FROM big WHERE id = {giver}")
                ((code,),) = cursor.fetchall()
                cursor.execute(f"UPDATE big SET code = NULL, note = 'gave' WHERE id = {giver}")
                cursor.execute("UPDATE big SET code = %s, note = 'took' WHERE id = %s", (code, taker))
                cursor.execute(f"SELECT code FROM big WHERE id = {again}")
                ((code,),) = cursor.fetchall()
                cursor.execute(f"DELETE FROM big WHERE id = {again}")
                cursor.execute("INSERT INTO big VALUES (%s, %s, 'came back')", (again, code))
            except pymysql.err.OperationalError as error:
                if error.args[0] != DEADLOCK:
                    raise
            connection.commit()


@pytest.mark.parametrize(
    "rows", [pytest.param(1 << 16, marks=pytest.mark.slow), pytest.param(1 << 23, marks=pytest.mark.soak)]
)
@pytest.mark.timeout(1800)
def test_a_large_index_is_built_while_its_values_move(uniques: Uniques, rows: int) -> None:
    """From the first row of the copy to the end of the build applications hand unique values over."""
    there = 4
    with uniques.source.connect(autocommit=True) as connection, connection.cursor() as cursor:
        while there < rows:
            cursor.execute(f"INSERT INTO big SELECT id + {there}, CONCAT('code ', id + {there}), note FROM big")
            there *= 2
    assert uniques.store.rows(BUILT) == [(0,)]
    stop = threading.Event()
    writers = [
        threading.Thread(target=_hand_codes_over, args=(uniques.source, rows, part, stop)) for part in range(WRITERS)
    ]
    for writer in writers:
        writer.start()
    try:
        uniques.start()
        wait_until(lambda: uniques.store.rows(BUILT) == [(1,)], 1200)
        assert all(writer.is_alive() for writer in writers)
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    uniques.finish()
    assert uniques.store.rows("SELECT count(*) FROM big") == [(rows,)]
    assert uniques.store.rows("SELECT count(*) FROM crossfade.quarantine") == [(0,)]


@pytest.mark.slow
def test_another_table_that_changes_stops_no_build(uniques: Uniques) -> None:
    with holding(uniques.store, SNAPSHOT):
        uniques.start()
        uniques.wait_building("waiting for old snapshots")
        building = "SELECT pid FROM pg_stat_progress_create_index WHERE relid = 'big'::regclass"
        before = uniques.store.rows(building)
        uniques.source.execute("ALTER TABLE other ADD COLUMN extra INT", "INSERT INTO other VALUES (9, 9, 9)")
        uniques.wait_row("SELECT 1 FROM other WHERE id = 9")
        uniques.wait_building("waiting for old snapshots")
        assert uniques.store.rows(building) == before
    uniques.finish()
    assert uniques.store.rows(BUILT) == [(1,)]


def test_a_table_that_is_held_meanwhile_builds_again(uniques: Uniques) -> None:
    """A drop asks somebody: the table is held with its build called off, and begins anew when the answer is there."""
    with holding(uniques.store, SNAPSHOT):
        uniques.start()
        uniques.wait_building("waiting for old snapshots")
        uniques.source.execute("ALTER TABLE big DROP COLUMN note", "INSERT INTO other VALUES (9, 9)")
        uniques.wait(lambda document: document["phases"].get("held") == 1)
        uniques.wait_row("SELECT 1 FROM other WHERE id = 9")
        assert uniques.store.rows(BUILDERS) == []
        uniques.ok("schema", "approve", "big", "--confirm", "big")
        uniques.source.execute("INSERT INTO big VALUES (10, 'j')")
        uniques.wait_row("SELECT 1 FROM big WHERE id = 10")
        uniques.wait_building("waiting for old snapshots")
    uniques.finish()
    assert uniques.store.rows(BUILT) == [(1,)]


def test_rows_that_the_index_cannot_tell_apart_hold_the_table(uniques: Uniques) -> None:
    with holding(uniques.store, "INSERT INTO big VALUES (99, 'a', 'equal to 1')") as held:
        uniques.start()
        uniques.wait_building("waiting for writers")
        held.execute("COMMIT")
        document = uniques.wait(lambda document: document["phases"].get("held") == 1)
    (reason,) = (str(row["reason"]) for row in document["tables"] if row["phase"] == "held")
    assert reason.startswith("its unique indexes cannot be created: ") and "(code)=(a)" in reason, reason
    assert uniques.store.rows(UNFINISHED) == [] and uniques.store.rows(BUILT) == [(0,)]
    uniques.source.execute("INSERT INTO other VALUES (5, 5)")
    uniques.wait_row("SELECT 1 FROM other WHERE id = 5")

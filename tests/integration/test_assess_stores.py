"""The checks of stores on real PostgreSQL servers."""

from __future__ import annotations

from collections.abc import Callable

from psycopg import sql

from servers import RunningServer
from sync.assess import assess
from tests.support.assessing import levels, settings_for, statements, worst
from tests.support.servers import SourceDatabase, StoreDatabase


def test_unreachable_store_is_a_finding_without_its_password(source_db: SourceDatabase) -> None:
    source_db.execute("CREATE TABLE t (id int PRIMARY KEY)")
    result = assess(settings_for(source_db.server, source_db.database, "postgresql://u:hidden-pw@127.0.0.1:1/d"))
    finding = worst(result, "store_reachable")
    assert (finding.level, finding.subject) == ("BLOCK", "store main")
    assert "hidden-pw" not in str(result)
    assert result.of("store_version") == ()


def test_database_that_does_not_exist(source_db: SourceDatabase, store_db: StoreDatabase) -> None:
    source_db.execute("CREATE TABLE t (id int PRIMARY KEY)")
    result = assess(settings_for(source_db.server, source_db.database, store_db.server.dsn("absent")))
    assert worst(result, "store_reachable").level == "BLOCK"


def test_wrong_encoding(source_db: SourceDatabase, store_db: StoreDatabase) -> None:
    source_db.execute("CREATE TABLE t (id int PRIMARY KEY)")
    latin = f"{store_db.database}_latin"
    with store_db.connect() as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0").format(
                sql.Identifier(latin)
            )
        )
    try:
        result = assess(settings_for(source_db.server, source_db.database, store_db.server.dsn(latin)))
        finding = worst(result, "store_encoding")
        assert (finding.level, "LATIN1" in finding.message) == ("BLOCK", True)
    finally:
        with store_db.connect() as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(latin)))


def test_rows_of_others_in_a_target_table(source_db: SourceDatabase, store_db: StoreDatabase) -> None:
    source_db.execute("CREATE TABLE `T x` (id int PRIMARY KEY)", "CREATE TABLE other (id int PRIMARY KEY)")
    store_db.execute('CREATE TABLE "T x" (id int)', 'INSERT INTO "T x" VALUES (1)', "CREATE TABLE other (id int)")
    settings = settings_for(source_db.server, source_db.database, store_db.dsn)
    result = assess(settings)
    finding = worst(result, "store_empty")
    assert (finding.level, finding.message.split()[0]) == ("BLOCK", '"public"."T')
    assert len(result.of("store_empty")) == 1
    store_db.execute(*statements(finding.fix))
    assert worst(assess(settings), "store_empty").level == "OK"


def test_rows_of_this_migration_are_fine(source_db: SourceDatabase, store_db: StoreDatabase) -> None:
    source_db.execute("CREATE TABLE t (id int PRIMARY KEY)")
    store_db.execute(
        "CREATE TABLE t (id int)",
        "INSERT INTO t VALUES (1)",
        "CREATE SCHEMA crossfade",
        "CREATE TABLE crossfade.checkpoint (stream text)",
        "INSERT INTO crossfade.checkpoint VALUES ('another')",
    )
    settings = settings_for(source_db.server, source_db.database, store_db.dsn)
    assert worst(assess(settings), "store_empty").level == "BLOCK"
    store_db.execute("INSERT INTO crossfade.checkpoint VALUES ('shop')")
    assert worst(assess(settings), "store_empty").level == "OK"


def test_read_only_store_is_mended(source_db: SourceDatabase, store_db: StoreDatabase) -> None:
    source_db.execute("CREATE TABLE t (id int PRIMARY KEY)")
    store_db.execute(f'ALTER DATABASE "{store_db.database}" SET default_transaction_read_only = on')
    settings = settings_for(source_db.server, source_db.database, store_db.dsn)
    finding = worst(assess(settings), "store_writable")
    assert finding.level == "BLOCK"
    with store_db.connect(options="-c default_transaction_read_only=off") as connection:
        connection.execute(statements(finding.fix)[0])
    assert worst(assess(settings), "store_writable").level == "OK"


def test_no_way_back(source_db: SourceDatabase, start_private: Callable[..., RunningServer]) -> None:
    source_db.execute("CREATE TABLE t (id int PRIMARY KEY)")
    server = start_private("postgres-15", wal_level="replica", max_replication_slots=1)
    store = StoreDatabase(server, "postgres")
    store.execute("SELECT pg_create_physical_replication_slot('taken')")
    settings = settings_for(source_db.server, source_db.database, store.dsn)
    findings = [f for f in assess(settings).of("store_reverse") if f.level == "WARN"]
    assert [f.message.split()[0] for f in findings] == ["wal_level", "all"]
    assert levels(assess(settings), "store_version", "store_space") == {"store_version": "OK", "store_space": "OK"}

"""Slot, publication and replica identity: made once, made again without harm, and what happens when they are gone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import SecretStr

from model.errors import Refused
from servers import RunningServer
from stores.control import migrations
from stores.postgres import connect_store
from sync.postgres import slots
from tests.integration.test_reverse import ITEMS
from tests.support.reversing import DOMAIN, reversing
from tests.support.servers import SourceDatabase, StoreDatabase, store_database
from transforms.target import TargetColumn, TargetTable

TABLES = tuple(TargetTable("main", "public", name, (TargetColumn("id", "integer"),)) for name in ("one", "Two"))


def test_prepare_is_idempotent_and_follows_the_plan(store_db: StoreDatabase) -> None:
    store_db.execute("CREATE TABLE one (id int)", 'CREATE TABLE "Two" (id int PRIMARY KEY)')
    name = slots.stream_name("m", store_db.database, "main")
    with connect_store(SecretStr(store_db.dsn)) as connection:
        migrations.prepare_store(connection)
        first = slots.prepare(connection, name, TABLES[:1], "main")
        assert slots.prepare(connection, name, TABLES, "main") == first
        published = connection.execute(
            "SELECT schemaname || '.' || tablename FROM pg_publication_tables WHERE pubname = %s", (name,)
        ).fetchall()
        assert {table for (table,) in published} == {
            "public.one", "public.Two", *(f"crossfade.{mark}" for mark in slots.MARK_TABLES)
        }  # fmt: skip
        identities = connection.execute(
            "SELECT relname, relreplident::text FROM pg_class WHERE relname IN ('one', 'Two') AND relkind = 'r'"
        ).fetchall()
        assert sorted(identities) == [("Two", "f"), ("one", "f")]
        if connection.info.server_version >= slots.CARRIED_SINCE:
            marked = connection.execute("SELECT failover FROM pg_replication_slots WHERE slot_name = %s", (name,))
            assert marked.fetchone() == (True,)
        # A table without a key can be changed though it is published.
        connection.execute("INSERT INTO one VALUES (1)")
        connection.execute("DELETE FROM one")
        slots.drop(connection, name)
        slots.drop(connection, name)
        assert slots.slot_status(connection, name) is None


def test_a_table_that_is_not_there_is_refused(store_db: StoreDatabase) -> None:
    with connect_store(SecretStr(store_db.dsn)) as connection, pytest.raises(Refused, match="not there"):
        slots.prepare(connection, "crossfade_nothing", TABLES, "main")


def test_a_store_that_does_not_log_enough_is_refused(start_private: Callable[..., RunningServer]) -> None:
    server = start_private("postgres-15", wal_level="replica", max_wal_senders=0)
    with store_database(server) as database, connect_store(SecretStr(database.dsn)) as connection:
        database.execute("CREATE TABLE one (id int)")
        with pytest.raises(Refused, match="wal_level"):
            slots.prepare(connection, "crossfade_nothing", TABLES[:1], "main")


def test_a_lost_slot_halts_the_stream(source_db: SourceDatabase, store_db: StoreDatabase) -> None:
    with reversing(source_db, store_db, *ITEMS) as bed:
        with bed.store() as connection:
            slots.drop(connection, slots.stream_name(bed.settings.name, DOMAIN, "main"))
        stream = bed.start()
        assert "does not exist" in bed.wait_halted(stream)
        assert stream.state.lag_s is None


def test_a_changed_identity_halts_the_stream(source_db: SourceDatabase, store_db: StoreDatabase) -> None:
    """Without whole old rows nothing can be compared, so nothing is sent."""
    with reversing(source_db, store_db, *ITEMS) as bed:
        bed.store_db.execute(
            "ALTER TABLE items REPLICA IDENTITY DEFAULT", "UPDATE items SET name = 'unseen' WHERE id = 1"
        )
        stream = bed.start()
        assert "whole old rows" in bed.wait_halted(stream)
        assert bed.source_db.rows("SELECT count(*) FROM items WHERE name = 'unseen'") == [(0,)]


def test_a_column_that_only_the_store_has_is_told(source_db: SourceDatabase, store_db: StoreDatabase) -> None:
    with reversing(source_db, store_db, *ITEMS) as bed:
        bed.store_db.execute("ALTER TABLE items ADD extra int", "UPDATE items SET extra = 1, name = 'n' WHERE id = 1")
        stream = bed.start()
        bed.drain(stream)
        assert stream.state.notes == ("main:public.items: column extra is only in the store",)
        bed.assert_equal()
        bed.store_db.execute("ALTER TABLE items DROP name", "UPDATE items SET extra = 2")
        assert "no column name" in bed.wait_halted(stream)

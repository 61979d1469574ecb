"""Our own tables on a real store: migrations, checkpoint and fence, states, ledger, history, daemons, commands."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from psycopg import errors
from pydantic import SecretStr
from sqlalchemy import BigInteger, Column, MetaData, Table, Text, text

from model.errors import CrossfadeError, Fenced, Refused
from model.position import BinlogCoordinate, Flavour, Position
from stores.control import (
    checkpoints,
    chunks,
    commands,
    daemons,
    events,
    migrations,
    schema_history,
    table_states,
    tables,
)
from stores.control.chunks import Chunk
from stores.control.commands import CommandState
from stores.control.schema_history import SchemaVersion
from stores.control.table_states import Phase, TableState
from stores.postgres import PostgresConnection, connect_store
from tests.support.changes import make_table
from tests.support.servers import StoreDatabase

HERE = Position(Flavour.MARIADB, BinlogCoordinate("bin.000007", 2**33), "0-1-5")


@pytest.fixture
def store_connection(store_db: StoreDatabase) -> Iterator[PostgresConnection]:
    """A connection to a prepared store that is the control store as well."""
    with connect_store(SecretStr(store_db.dsn)) as connection:
        migrations.prepare_store(connection)
        migrations.prepare_control(connection)
        yield connection


def test_preparing_twice_and_at_once(store_db: StoreDatabase) -> None:
    failed: list[BaseException] = []

    def prepare() -> None:
        try:
            with connect_store(SecretStr(store_db.dsn)) as connection:
                migrations.prepare_store(connection)
                migrations.prepare_control(connection)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=prepare) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    prepare()
    assert failed == []
    parts = dict(store_db.rows("SELECT part, version FROM crossfade.migration"))
    assert parts == {"store": tables.VERSION, "control": tables.VERSION}


def test_a_later_version_adds_columns_and_tables(
    store_connection: PostgresConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints.create(store_connection, "s", HERE)
    now = tables.VERSION
    later = MetaData(schema=tables.SCHEMA)
    Table(
        "checkpoint",
        later,
        Column("stream", Text, primary_key=True),
        Column("extra", BigInteger, nullable=False, server_default=text("7"), info={"since": now + 1}),
    )
    Table("brand_new", later, Column("id", BigInteger, primary_key=True), info={"since": now + 1})
    monkeypatch.setattr(tables, "VERSION", now + 1)
    monkeypatch.setattr(tables, "STORE", later)
    migrations.prepare_store(store_connection)
    migrations.prepare_store(store_connection)
    assert store_connection.execute("SELECT extra FROM crossfade.checkpoint").fetchall() == [(7,)]
    assert store_connection.execute("SELECT * FROM crossfade.brand_new").fetchall() == []
    monkeypatch.setattr(tables, "VERSION", now)
    with pytest.raises(Refused, match="newer crossfade"):
        migrations.prepare_store(store_connection)


def test_the_checkpoint_moves_by_compare_and_set(store_connection: PostgresConnection) -> None:
    assert checkpoints.read(store_connection, "s") is None
    with pytest.raises(CrossfadeError, match="no checkpoint"):
        checkpoints.take_over(store_connection, "s")
    first = checkpoints.create(store_connection, "s", HERE, seq=4)
    assert checkpoints.create(store_connection, "s", HERE, seq=99) == first
    assert first.position == HERE
    moved = checkpoints.advance(store_connection, first, 6, HERE, 1700000000.25, rows=10, transactions=2)
    assert checkpoints.read(store_connection, "s") == moved
    with pytest.raises(Fenced):
        checkpoints.advance(store_connection, first, 7, HERE, None, rows=0, transactions=1)
    again = checkpoints.advance(store_connection, moved, 7, HERE, None, rows=0, transactions=1)
    assert (again.commit_time, again.applied_rows, again.applied_transactions) == (1700000000.25, 10, 3)
    assert checkpoints.take_over(store_connection, "s") == first.fence + 1
    with pytest.raises(Fenced):
        checkpoints.advance(store_connection, again, 8, HERE, None, rows=0, transactions=1)


def test_a_takeover_waits_for_holders_of_the_old_fence_but_the_applier_does_not(
    store_connection: PostgresConnection, store_db: StoreDatabase
) -> None:
    now = checkpoints.create(store_connection, "s", HERE)
    with connect_store(SecretStr(store_db.dsn)) as other, store_connection.transaction():
        checkpoints.hold_fence(store_connection, "s", now.fence)
        other.execute("SET lock_timeout = '200ms'")
        checkpoints.advance(other, now, 1, HERE, None, rows=1, transactions=1)
        with pytest.raises(errors.LockNotAvailable):
            checkpoints.take_over(other, "s")
    assert checkpoints.take_over(store_connection, "s") == now.fence + 1
    with pytest.raises(Fenced), store_connection.transaction():
        checkpoints.hold_fence(store_connection, "s", now.fence)


def test_table_states(store_connection: PostgresConnection) -> None:
    states = table_states.ensure(store_connection, "s", ["a", "b"])
    assert states == {"a": TableState("a"), "b": TableState("b")}
    full = TableState("a", Phase.HELD, 5, BinlogCoordinate("b.000001", 9), 7, 100, Phase.STREAMING, False, "because")
    table_states.save(store_connection, "s", full)
    assert table_states.ensure(store_connection, "s", ["a"])["a"] == full
    table_states.save_applied(store_connection, "s", ["a", "b"], 33)
    table_states.mark_sweep(store_connection, "s", ["a"])
    table_states.save(store_connection, "s", full)
    found = table_states.load(store_connection, "s")
    assert found["b"].applied_seq == 33
    assert found["a"].sweep
    table_states.clear_sweep(store_connection, "s", "a")
    assert table_states.load(store_connection, "s")["a"] == full
    assert table_states.load(store_connection, "other") == {}


def test_the_chunk_ledger_takes_a_chunk_once(store_connection: PostgresConnection) -> None:
    chunk = Chunk("p", 1, None, ("5", "\\x00"), 10, 3)
    chunks.record(store_connection, "s", chunk)
    with pytest.raises(errors.UniqueViolation):
        chunks.record(store_connection, "s", chunk)
    assert chunks.load(store_connection, "s", "p") == (chunk,)
    chunks.clear(store_connection, "s", "p")
    assert chunks.load(store_connection, "s", "p") == ()


def test_the_schema_history_by_transaction(store_connection: PostgresConnection) -> None:
    old, new = make_table("t", "id int"), make_table("t", "id int,more text")
    versions = [SchemaVersion(old.id, 1, old), SchemaVersion(old.id, 10, new), SchemaVersion(old.id, 20, None)]
    schema_history.append(store_connection, "s", versions)
    schema_history.append(store_connection, "s", [SchemaVersion(old.id, 10, old)])
    history = schema_history.load(store_connection, "s")
    assert [history.at(old.id, seq) for seq in (0, 1, 9, 10, 19, 20)] == [None, old, old, new, new, None]
    assert history.extended([SchemaVersion(old.id, 30, new)]).at(old.id, 31) == new
    assert history.tables() == {old.id}


def test_daemons_commands_and_events(store_connection: PostgresConnection) -> None:
    assert daemons.read(store_connection, "m") is None
    first = daemons.register(store_connection, "m", "host", 1)
    second = daemons.register(store_connection, "m", "host", 2)
    assert second == first + 1
    with pytest.raises(Fenced):
        daemons.beat(store_connection, "m", first, {})
    daemons.beat(store_connection, "m", second, {"lag": 1})
    found = daemons.read(store_connection, "m")
    assert found is not None and found.status == {"lag": 1} and found.pid == 2 and found.silent_s < 60

    one = commands.send(store_connection, "m", "pause", {"store": "a"}, "me")
    two = commands.send(store_connection, "m", "resume", {}, "me")
    taken = commands.claim(store_connection, "m")
    assert taken is not None and taken.id == one and taken.state is CommandState.RUNNING
    assert commands.abandoned(store_connection, "m") == (taken,)
    commands.finish(store_connection, one, CommandState.FAILED, {"error": "no"})
    done = commands.read(store_connection, one)
    assert done is not None and done.result == {"error": "no"}
    later = commands.claim(store_connection, "m")
    assert later is not None and later.id == two
    assert commands.claim(store_connection, "m") is None
    assert commands.read(store_connection, 10**6) is None

    for number in range(3):
        events.record(store_connection, "m", "kind", f"n{number}", number=number)
    assert [event.message for event in events.latest(store_connection, "m", 2)] == ["n1", "n2"]

"""A slot that another hand dropped and made anew is noticed; one that was kept is not, whatever died meanwhile."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import SecretStr

from config.settings import StoreSettings
from servers import RunningServer
from stores.mysql import connect_source
from sync import reverse, slot_promise
from sync.mysql import reverse_tables
from sync.mysql.reverse_apply import ReverseWriter
from sync.postgres import slots
from sync.postgres.changes import SlotReader
from sync.reverse_state import ReverseMode
from tests.integration.test_reverse import ITEMS
from tests.integration.test_reverse_deaths import spawn
from tests.support import standby
from tests.support.reversing import DOMAIN, Reversing, reversing
from tests.support.servers import SourceDatabase, StoreDatabase, source_database, store_database
from tests.support.streaming import wait_until


def name_of(bed: Reversing) -> str:
    """The slot's."""
    return slots.stream_name(bed.settings.name, DOMAIN, "main")


def drop_by_hand(bed: Reversing) -> None:
    """Take the slot away from whoever reads it."""
    bed.store_db.execute(
        f"SELECT pg_terminate_backend(active_pid, 10000) FROM pg_replication_slots WHERE slot_name = '{name_of(bed)}' "
        "AND active",
        f"SELECT pg_drop_replication_slot('{name_of(bed)}')",
    )


def make_by_hand(bed: Reversing) -> None:
    """A slot of the same name, from now on."""
    bed.store_db.execute(f"SELECT pg_create_logical_replication_slot('{name_of(bed)}', 'pgoutput')")


def promise(bed: Reversing) -> slot_promise.SlotPromise:
    """As a gate asks for it."""
    with connect_source(bed.settings.source) as source, bed.store() as store:
        return slot_promise.read(
            source, store, bed.settings.stores["main"].dsn, name_of(bed), DOMAIN, "main", bed.database
        )


def streamed(bed: Reversing, sku: str, **options: Any) -> None:
    """A row of the store arrives in the source by a stream that ends in order."""
    bed.store_db.execute(f"INSERT INTO items (id, sku, price) SELECT max(id) + 1, '{sku}', 1 FROM items")
    stream = bed.start(**options)
    bed.drain(stream)
    assert stream.state.mode is not ReverseMode.HALTED and stream.state.error is None
    bed.stop(stream)
    bed.assert_equal()


def assert_refused(bed: Reversing, error: str, hint: str | None) -> None:
    """It says what happened, where, and what to type; and nothing more than before is in the source."""
    assert name_of(bed) in error and "store main" in error and "made it anew" in error and error.count("/") >= 2, error
    assert hint is not None and f"--accept-divergence {DOMAIN}" in hint
    assert promise(bed).gap
    assert bed.source_db.rows("SELECT count(*) FROM items WHERE sku IN ('unseen', 'seen')") == [(0,)]


def test_a_slot_made_anew_by_hand_is_noticed_at_the_next_start(
    source_db: SourceDatabase, store_db: StoreDatabase
) -> None:
    with reversing(source_db, store_db, *ITEMS) as bed:
        streamed(bed, "first")
        streamed(bed, "second")
        assert not promise(bed).gap
        drop_by_hand(bed)
        bed.store_db.execute("INSERT INTO items (id, sku, price) VALUES (90, 'unseen', 1)")
        make_by_hand(bed)
        bed.store_db.execute("INSERT INTO items (id, sku, price) VALUES (91, 'seen', 1)")
        for epoch in (1, 2):  # nor is it forgotten by asking again
            stream = bed.start(epoch=epoch)
            assert_refused(bed, bed.wait_halted(stream), stream.state.hint)
        armed = bed.start(epoch=3, armed=True)
        bed.wait_halted(armed)
        assert f"cutover cancel {DOMAIN} --remove" in (armed.state.hint or "")


def test_a_slot_made_anew_by_hand_is_noticed_by_a_stream_that_reconnects(
    source_db: SourceDatabase, store_db: StoreDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    with reversing(source_db, store_db, *ITEMS) as bed:
        stream = bed.start()
        bed.drain(stream)
        free = threading.Event()

        def late(*arguments: Any) -> SlotReader:
            assert free.wait(60)
            return SlotReader(*arguments)

        monkeypatch.setattr(reverse, "SlotReader", late)
        drop_by_hand(bed)
        bed.store_db.execute("INSERT INTO items (id, sku, price) VALUES (90, 'unseen', 1)")
        make_by_hand(bed)
        free.set()
        assert_refused(bed, bed.wait_halted(stream), stream.state.hint)


def test_a_slot_that_another_moved_on_is_noticed(source_db: SourceDatabase, store_db: StoreDatabase) -> None:
    with reversing(source_db, store_db, *ITEMS) as bed:
        streamed(bed, "first")
        bed.store_db.execute(
            "INSERT INTO items (id, sku, price) VALUES (90, 'unseen', 1)",
            f"SELECT pg_replication_slot_advance('{name_of(bed)}', pg_current_wal_lsn())",
        )
        stream = bed.start()
        assert_refused(bed, bed.wait_halted(stream), stream.state.hint)


def test_the_slot_is_never_ahead_of_what_is_written(source_db: SourceDatabase, store_db: StoreDatabase) -> None:
    """Transactions of our own, which are not sent back, move it too: after the progress row."""
    with reversing(source_db, store_db, *ITEMS) as bed:
        stream = bed.start()
        bed.drain(stream)
        bed.store_db.execute("UPDATE crossfade.checkpoint SET seq = seq + 1")
        with bed.store() as connection:
            (end,) = connection.execute("SELECT pg_current_wal_lsn() - '0/0'").fetchone() or (0,)

        def passed() -> bool:
            found = promise(bed)
            assert found.confirmed is not None and found.progress is not None
            assert found.confirmed <= found.progress.lsn
            return found.confirmed >= int(end)

        wait_until(passed)
        assert stream.state.rows == 0
        bed.stop(stream)
        assert not promise(bed).gap
        streamed(bed, "after")


def die_at_an_empty_confirmation(_: str) -> None:
    """Let this process end by SIGKILL once the progress has moved over nothing, before the slot is told."""
    commit, confirm = ReverseWriter.commit, SlotReader.confirm
    empty = threading.Event()

    def noting_commit(self: ReverseWriter, lsn: int, commit_time: float | None, transactions: int) -> object:
        if not transactions:
            empty.set()
        return commit(self, lsn, commit_time, transactions)

    def dying_confirm(self: SlotReader, lsn: int) -> None:
        if empty.is_set():
            os.kill(os.getpid(), signal.SIGKILL)
        confirm(self, lsn)

    ReverseWriter.commit = noting_commit  # type: ignore[method-assign,assignment]
    SlotReader.confirm = dying_confirm  # type: ignore[method-assign]


@pytest.mark.slow
def test_a_death_between_promise_and_confirmation_is_no_gap(source_db: SourceDatabase, store_db: StoreDatabase) -> None:
    """Of a promise about nothing; that about rows is `test_kill_at_every_point`'s."""
    with reversing(source_db, store_db, *ITEMS) as bed:
        process = spawn(bed, 1, "", die_at_an_empty_confirmation)
        process.join(120)
        assert process.exitcode == -signal.SIGKILL
        found = promise(bed)
        assert found.progress is not None and found.confirmed is not None and found.promised is not None
        assert found.confirmed < found.progress.lsn
        streamed(bed, "after", epoch=2)


def test_a_slot_of_an_older_version_is_adopted_where_it_is(source_db: SourceDatabase, store_db: StoreDatabase) -> None:
    """It wrote no promise: its slot may be ahead of the progress row, once."""
    with reversing(source_db, store_db, *ITEMS) as bed:
        streamed(bed, "first")
        bed.source_db.execute(f"DROP TABLE {bed.database}.{reverse_tables.SLOT}")
        bed.store_db.execute(f"SELECT pg_replication_slot_advance('{name_of(bed)}', pg_current_wal_lsn())")
        before = promise(bed)
        assert before.confirmed is not None and before.progress is not None and before.promised is None
        assert before.confirmed > before.progress.lsn
        streamed(bed, "second")
        assert promise(bed).promised is not None
        drop_by_hand(bed)
        make_by_hand(bed)
        assert promise(bed).gap


@pytest.mark.slow
@pytest.mark.parametrize("flavour", ["postgres-15", "postgres-18"])
def test_a_slot_is_known_again_behind_a_failover(
    mariadb: RunningServer, start_private: Callable[..., RunningServer], flavour: str
) -> None:
    """The store is promoted, so that it writes a new timeline: with its slot nothing is missing, without it all is."""
    server = start_private(flavour, wal_level="logical")
    with (
        source_database(mariadb) as source_db,
        store_database(server) as store_db,
        reversing(source_db, store_db, *ITEMS) as bed,
    ):
        streamed(bed, "first")
        ((folder,),) = store_db.rows("SHOW data_directory")
        promoted(server, store_db, folder)
        assert promise(bed).now.timeline == 2 and promise(bed).left_at is not None
        streamed(bed, "second")
        found = promise(bed)
        assert found.promised == found.now and not found.gap
        promoted(server, store_db, folder)
        drop_by_hand(bed)
        make_by_hand(bed)
        assert "made it anew" in bed.wait_halted(bed.start())


@pytest.mark.slow
def test_a_slot_that_a_standby_has_kept_goes_on_there(
    mariadb: RunningServer, start_private: Callable[..., RunningServer]
) -> None:
    """PostgreSQL 18 keeps our slot on the standby, a little behind: nothing is missing, and nothing comes twice."""
    server = start_private("postgres-18", wal_level="logical", hot_standby_feedback=True)
    with (
        source_database(mariadb) as source_db,
        store_database(server) as store_db,
        reversing(source_db, store_db, *ITEMS) as bed,
    ):
        other = standby.follow(store_db)
        stream = bed.start()

        def kept() -> bool:
            store_db.execute("CHECKPOINT")  # the slot moves on with it, which the standby waits for
            bed.drain(stream)
            return standby.synced(other, name_of(bed))

        wait_until(kept)
        store_db.execute("INSERT INTO items (id, sku, price) VALUES (80, 'before', 1)")
        bed.drain(stream)
        bed.stop(stream)
        ((end,),) = store_db.rows("SELECT pg_current_wal_lsn()::text")
        wait_until(lambda: other.rows("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", [end]) == [(True,)])
        assert other.rows("SELECT pg_promote(true, 60)") == [(True,)]
        other.execute("INSERT INTO items (id, sku, price) VALUES (81, 'behind it', 1)")

        settings = bed.settings
        bed.store_db = other
        bed.settings = settings.model_copy(update={"stores": {"main": StoreSettings(dsn=SecretStr(other.dsn))}})
        found = promise(bed)
        assert found.progress is not None and found.confirmed is not None
        assert found.now.timeline == 2 and found.confirmed <= found.progress.lsn and not found.gap
        streamed(bed, "at home")
        drop_by_hand(bed)
        make_by_hand(bed)
        assert "made it anew" in bed.wait_halted(bed.start())


def promoted(server: RunningServer, store_db: StoreDatabase, folder: str) -> None:
    """Start it as a standby and let it take over."""
    store_db.execute(f"COPY (SELECT) TO '{folder}/standby.signal'")
    server.restart()
    assert store_db.rows("SELECT pg_promote(true, 60)") == [(True,)]

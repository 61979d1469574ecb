"""Writers and daemons that do what they should not: each ends safe, with everything acknowledged on both sides."""

from __future__ import annotations

import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest

from model.errors import ExitCode
from stores.control import journal
from stores.control.journal import Kind
from tests.support.clients import REFUSED_MYSQL, Clients
from tests.support.dying_steps import Trap
from tests.support.ledger import ACTS, DOMAIN, SCHEMA, Ledger, migrated_ledger
from tests.support.migration import Finished, Migration
from tests.support.servers import SourceDatabase, StoreDatabase

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
RATE = 40.0
FROZEN_AT = ("rollback.no_return.before", "cutover.open_stores.before")
"""Where a daemon that wakes up late could do most harm: let the source in, let the stores in."""


@contextmanager
def written_ledger(
    source: SourceDatabase, store: StoreDatabase, folder: Path, trap: Trap | None = None
) -> Iterator[tuple[Ledger, Clients]]:
    """A verified ledger under writes."""
    with migrated_ledger(source, [store], folder, trap=trap) as ledger:
        clients = Clients(ledger, rate=RATE, threads=4)
        ledger.migration.ok("verify")
        with clients.writing():
            yield ledger, clients


def run(ledger: Ledger, what: str, *options: str) -> Finished:
    """A cutover or rollback by the command line."""
    return ledger.migration.run(what, "run", DOMAIN, "--confirm", DOMAIN, *options)


def wait_for_step(ledger: Ledger, step: str, since: int) -> None:
    """Wait until a step of an epoch after `since` is about to be done."""
    deadline = time.monotonic() + 90
    with ledger.control.connect() as connection:
        while time.monotonic() < deadline:
            for entry in journal.entries(connection, "ledger", DOMAIN):
                if entry.epoch > since and entry.step == step and entry.kind is Kind.INTENT:
                    return
            time.sleep(0.01)
    raise AssertionError(f"{step} was not reached\n{ledger.migration.log_tail()}")


def wait_until_sprung(trap: Trap, ledger: Ledger) -> None:
    """Wait until the daemon has reached the point that the trap is set for."""
    deadline = time.monotonic() + 90
    while not trap.sprung:
        assert time.monotonic() < deadline, ledger.migration.log_tail()
        time.sleep(0.01)


def epoch_of(ledger: Ledger) -> int:
    """The domain's epoch."""
    state = ledger.state
    return state.epoch if state is not None else 0


def insert(token: str, schema: str = "") -> str:
    """A statement that adds an account."""
    return f"INSERT INTO {schema}account (token, n, note) VALUES ('{token}', 0, NULL)"


def refused_by_source(connection: pymysql.Connection[Any], token: str) -> bool:
    """Whether the source turns a write away."""
    with connection.cursor() as cursor, pytest.raises(pymysql.err.MySQLError) as caught:
        cursor.execute(insert(token))
    return bool(caught.value.args[0] == REFUSED_MYSQL)


def test_transactions_that_are_open_across_the_fence(
    mariadb_db: SourceDatabase, store15: StoreDatabase, tmp_path: Path
) -> None:
    trap = Trap(tmp_path / "trap")
    with (
        written_ledger(mariadb_db, store15, tmp_path, trap) as (ledger, clients),
        ThreadPoolExecutor(1) as executor,
        closing(mariadb_db.connect(autocommit=False)) as writer,
        closing(mariadb_db.connect(autocommit=False)) as reader,
        store15.connect(autocommit=False) as store_writer,
        store15.connect(autocommit=False) as store_reader,
    ):
        # A writer that does not end: given up, undone, and the source is open; then it is a reason to refuse.
        ledger.wait_ready()
        trap.set("cutover.hold.before", "wait")
        asked = executor.submit(run, ledger, "cutover")
        wait_until_sprung(trap, ledger)
        with writer.cursor() as cursor:
            cursor.execute(insert("endless"))
        trap.go()
        aborted = asked.result(240)
        assert aborted.code == ExitCode.ABORTED, aborted
        assert ledger.open_sides() == {"source"}
        refused = run(ledger, "cutover")
        assert refused.code == ExitCode.REFUSED and "old_writers" in refused.err, refused
        writer.commit()
        clients.others["account", "endless"] = (0, None)

        # A writer that ends while the gate is being closed belongs to the source; a reader's old snapshot is in
        # nobody's way, and does not see an open gate afterwards.
        with reader.cursor() as cursor:
            cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT")
            cursor.execute("SELECT count(*) FROM account")
        before = epoch_of(ledger)
        ledger.wait_ready()
        trap.set("cutover.hold.before", "wait")
        asked = executor.submit(run, ledger, "cutover")
        wait_until_sprung(trap, ledger)
        with writer.cursor() as cursor:
            cursor.execute(insert("just in time"))
        trap.go()
        wait_for_step(ledger, "close_source", before)
        time.sleep(0.5)
        writer.commit()
        clients.others["account", "just in time"] = (0, None)
        done = asked.result(240)
        assert done.code == 0, done
        assert refused_by_source(reader, "too late")
        assert ledger.open_sides() == {"stores"}
        clients.assert_both_hold()

        # The same in the store: a rollback is given up for a writer that does not end.
        store_reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        store_reader.execute(f"SELECT count(*) FROM {SCHEMA}.account".encode())
        store_writer.execute(insert("endless too", f"{SCHEMA}.").encode())
        # A slow machine finds the writer too old to begin at all; that gate has a test of its own.
        ours = ("--override", "old_store_writers=it is the test's own")
        aborted = run(ledger, "rollback", *ours)
        assert aborted.code == ExitCode.ABORTED, aborted
        assert ledger.open_sides() == {"stores"}
        store_writer.commit()
        clients.others["account", "endless too"] = (0, None)
        clients.assert_both_hold()
        # The refused reader is still in its transaction: its lock keeps the source from being opened, not the stores.
        aborted = run(ledger, "rollback", *ours)
        assert aborted.code == ExitCode.ABORTED and "holds the gate's row" in aborted.err, aborted
        assert ledger.open_sides() == {"stores"}
        reader.rollback()
        done = run(ledger, "rollback")
        assert done.code == 0, done
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            store_reader.execute(insert("too late too", f"{SCHEMA}.").encode())
        assert ledger.open_sides() == {"source"}
        clients.assert_both_hold()


class _Stubborn:
    """A writer that knows one side only."""

    def __init__(self, name: str, write: Callable[[str], None], refusal: type[Exception]) -> None:
        self.accepted: list[str] = []
        self.refused = 0
        self._name = name
        self._write = write
        self._refusal = refusal
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._stop.wait(0.03):
            number += 1
            token = f"{self._name}-{number:06d}"
            try:
                self._write(token)
                self.accepted.append(token)
            except self._refusal:
                self.refused += 1


def test_writers_that_ignore_the_routing_table(
    mariadb_db: SourceDatabase, store15: StoreDatabase, tmp_path: Path
) -> None:
    with (
        written_ledger(mariadb_db, store15, tmp_path) as (ledger, clients),
        closing(mariadb_db.connect()) as source,
        store15.connect() as store,
    ):

        def to_source(token: str) -> None:
            with source.cursor() as cursor:
                cursor.execute(insert(token))

        writers = {"source": _Stubborn("source", to_source, pymysql.err.OperationalError)}
        ledger.bring_to("stores")  # before, the store has no gate, only privileges that a superuser does not need
        writers["stores"] = _Stubborn(
            "stores",
            lambda token: store.execute(insert(token, f"{SCHEMA}.").encode()) and None,
            psycopg.errors.ReadOnlySqlTransaction,
        )
        for side in ("source", "stores", "source"):
            ledger.bring_to(side)
            other = writers["stores" if side == "source" else "source"]
            seen, refused = len(other.accepted), other.refused
            time.sleep(1.5)
            assert len(other.accepted) == seen and other.refused > refused, f"{side} serves"
        for writer in writers.values():
            writer.end()
            assert writer.accepted
            clients.others.update({("account", token): (0, None) for token in writer.accepted})
        clients.assert_both_hold()


def test_two_daemons_and_one_that_wakes_up_late(
    mariadb_db: SourceDatabase, store15: StoreDatabase, tmp_path: Path
) -> None:
    trap = Trap(tmp_path / "trap")
    first = tmp_path / "first"
    first.mkdir()
    with written_ledger(mariadb_db, store15, first, trap) as (ledger, clients):
        second = _elsewhere(ledger.migration, tmp_path / "second")
        turned_away = second.run("start")
        assert turned_away.code == ExitCode.LOCKED and "already runs" in turned_away.err, turned_away
        for number, point in enumerate(FROZEN_AT):
            what = point.partition(".")[0]
            ledger.bring_to("source" if what == "cutover" else "stores")
            ledger.wait_ready()
            frozen, daemon = ledger.migration, ledger.migration.daemon
            assert daemon is not None
            trap.set(point, "freeze")
            ledger.ask(ACTS[what])
            deadline = time.monotonic() + 90
            while not trap.sprung:
                assert time.monotonic() < deadline, frozen.log_tail()
                time.sleep(0.01)
            # The server ends a session that does not answer; here, at once.
            ledger.control.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
            other = _elsewhere(frozen, tmp_path / f"other{number}")
            other.start()
            ledger = replace(ledger, migration=other)
            try:
                assert ledger.wait_settled() == "live"
                assert ledger.open_sides() == {"stores"}
                if what == "cutover":
                    # It slept before it let writers into the stores: they must not be let in twice.
                    ledger.bring_to("source")
                side = "source" if what == "cutover" else "stores"
                daemon.send_signal(signal.SIGCONT)
                assert daemon.wait(90) != 0, "the one that was displaced goes on"
                time.sleep(1.0)
                assert ledger.open_sides() == {side}
                clients.assert_both_hold()
            except BaseException:
                other.close()
                raise
        ledger.bring_to("stores")
        clients.assert_both_hold()
        ledger.migration.close()


def _elsewhere(migration: Migration, folder: Path) -> Migration:
    """The same migration on another machine: nothing is shared but the databases."""
    folder.mkdir()
    other = Migration(folder, migration.environment)
    shutil.copy(migration.config, other.config)
    other.config.write_text(other.config.read_text().replace(str(migration.folder), str(folder)))
    return other


def test_a_transaction_that_keeps_the_gate_from_being_installed(
    source_db: SourceDatabase, store_db: StoreDatabase, tmp_path: Path
) -> None:
    """The move is refused and nothing is changed; when the transaction has ended it is made."""
    with migrated_ledger(source_db, [store_db], tmp_path) as ledger:
        ledger.migration.ok("verify")
        ledger.wait_ready()
        writer = source_db.connect(autocommit=False)
        with writer.cursor() as cursor:
            cursor.execute(insert("open"))
        refused = run(ledger, "cutover", "--override", "old_writers=it is ours")
        assert refused.code == ExitCode.REFUSED, refused
        assert "gate cannot be installed" in refused.err and "SHOW PROCESSLIST" in refused.err, refused
        assert ledger.state is None or ledger.state.phase == "following"
        source_db.execute(insert("another"))
        writer.commit()
        writer.close()
        moved = run(ledger, "cutover")
        assert moved.code == 0, moved

"""Cut over, roll back, cut over again, under traffic, as an operator does it: nothing acknowledged is ever lost."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from cutover.report import check_report
from demo.retailcore.domains import TABLES, Domain
from model.errors import ExitCode
from tests.support import dying_steps
from tests.support.migration import Migration
from tests.support.routing import assert_acknowledged, following
from tests.support.servers import SourceDatabase, StoreDatabase
from tests.support.shop import Shop, open_shop

PATIENCE = "\ncutover: {{max_lag_s: 30, max_write_stop_s: {stop_s}}}\n"
"""The test's machine may be slow; what is tested is not the speed."""
DIES_AT = (
    "cutover.close_source.after",
    "cutover.no_return.before",
    "cutover.no_return.after",
    "rollback.no_return.before",
    "rollback.no_return.after",
)
"""Where what happens next is decided; the slow run dies everywhere."""
SERVED = {"following": "source", "prepared": "source", "live": "stores"}


@contextmanager
def migrated_shop(
    source_db: SourceDatabase,
    new_store_db: Callable[[], StoreDatabase],
    folder: Path,
    rows: int,
    stop_s: float = 60.0,
    more: str = "",
) -> Iterator[Shop]:
    """A shop whose tables stream; `more` is added to its configuration."""
    # One database of ours per server, whoever was here before.
    source_db.execute("DROP DATABASE IF EXISTS crossfade_control")
    shop = open_shop(source_db, {domain: new_store_db() for domain in Domain}, folder, rows=rows)
    migration = shop.migration
    with migration.config.open("a") as file:
        file.write(PATIENCE.format(stop_s=stop_s) + more)
    migration.ok("schema", "apply")
    try:
        migration.start()
        migration.wait_streaming(300)
        yield shop
    finally:
        migration.close()
        source_db.execute("DROP DATABASE IF EXISTS crossfade_control")


def where(migration: Migration) -> tuple[str, str]:
    """(phase, side) of the orders."""
    (domain,) = migration.ok("-o", "json", "cutover", "status", "orders").document()["domains"]
    return domain["phase"], domain["side"]


def settled(migration: Migration, timeout_s: float = 90.0) -> tuple[str, str]:
    """Wait until a daemon has finished or undone what was begun."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        phase, side = where(migration)
        assert migration.daemon is not None and migration.daemon.poll() is None, migration.log_tail()
        if phase in SERVED:
            return phase, side
        time.sleep(0.2)
    raise AssertionError(f"still {phase}:\n{migration.log_tail()}")


def assert_serves(shop: Shop, source_db: SourceDatabase, side: str) -> None:
    """Exactly one side takes an application's write on every table."""
    source_open = _source_open(source_db)
    assert source_open == (set(TABLES[Domain.ORDERS]) if side == "source" else set())
    assert _store_open(shop.stores[Domain.ORDERS]) == (set(TABLES[Domain.ORDERS]) if side == "stores" else set())


def _source_open(source_db: SourceDatabase) -> set[str]:
    found = set()
    connection = source_db.connect(autocommit=False)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION sql_mode = ''")
            for table in TABLES[Domain.ORDERS]:
                try:
                    cursor.execute(f"INSERT INTO `{table}` () VALUES ()")
                    found.add(table)
                except Exception as error:
                    if error.args[0] != 1644:
                        found.add(table)
                connection.rollback()
    finally:
        connection.close()
    return found


def _store_open(store: StoreDatabase) -> set[str]:
    found = set()
    with store.connect() as connection:
        for table in TABLES[Domain.ORDERS]:
            try:
                connection.execute(f'DELETE FROM orders."{table}" WHERE false')
                found.add(table)
            except Exception as error:
                assert getattr(error, "sqlstate", "") == "25006", error
    return found


@pytest.mark.timeout(900)
def test_there_and_back_and_there_again(
    source_db: SourceDatabase, new_store_db: Callable[[], StoreDatabase], tmp_path: Path
) -> None:
    with migrated_shop(source_db, new_store_db, tmp_path, rows=2_000) as shop:
        migration = shop.migration
        with shop.traffic(60) as traffic, following(shop, traffic):
            refused = migration.run("cutover", "run", "orders", "--confirm", "orders")
            assert refused.code == ExitCode.REFUSED, refused
            assert "verified" in refused.err
            assert where(migration) == ("following", "source")
            assert source_db.rows(
                "SELECT count(*) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()"
            ) == [(0,)]
            migration.ok("verify")
            assert migration.run("cutover", "run", "orders", "--no-input").code == ExitCode.USAGE
            assert migration.run("--no-input", "cutover", "run", "orders").code == ExitCode.CONFIRM
            assert migration.run("cutover", "run", "sales", "--confirm", "sales").code == ExitCode.USAGE
            rehearsed = migration.ok("-o", "json", "cutover", "rehearse", "orders").document()
            assert rehearsed["phase"] == "prepared" and rehearsed["predicted_write_stop_s"][0] > 0
            assert_serves(shop, source_db, "source")
            assert migration.run("start", "--fresh", "--confirm", "retailcore").code == ExitCode.LOCKED
            for round_ in range(2):
                done = migration.ok("-o", "json", "cutover", "run", "orders", "--confirm", "orders").document()
                assert (done["phase"], done["side"]) == ("live", "stores")
                assert 0 < done["write_stop_s"] < 60
                assert_serves(shop, source_db, "stores")
                time.sleep(2)
                assert migration.run("rollback", "check", "orders").code == 0
                if round_ == 0:
                    back = migration.ok("-o", "json", "rollback", "run", "orders", "--confirm", "orders").document()
                    assert (back["phase"], back["side"]) == ("prepared", "source")
                    assert_serves(shop, source_db, "source")
                    time.sleep(2)
            report = traffic.report()
        assert report.retries["Refused"] > 0, "the traffic never met a fence"
        assert all(window.seconds is not None for window in report.windows)
        # The way back runs behind the last write; then both sides are the same.
        migration.ok("rollback", "check", "orders")
        assert assert_acknowledged(shop, report) > 50
        migration.wait_caught_up()
        migration.ok("verify", "--store", "orders")
        shop.assert_invariants_agree()
        reports = sorted((tmp_path / "reports").glob("cutover-orders-*.json"))
        assert [check_report(path)[1] for path in reports] == [None, None, None]
        forged = json.loads(reports[-1].read_text())
        assert_proof(forged["entries"])
        next(entry for entry in forged["entries"] if entry["step"] == "close_source" and entry["facts"] != "{}")[
            "facts"
        ] = "{}"
        reports[-1].write_text(json.dumps(forged))
        assert check_report(reports[-1])[1] is not None
        # No way back from here, and no cutover either.
        assert migration.run("finalize", "orders", "--confirm", "orders", "--before-soak").code == 0
        assert where(migration) == ("complete", "stores")
        assert migration.run("rollback", "run", "orders", "--confirm", "orders").code == ExitCode.REFUSED
        assert_serves(shop, source_db, "stores")
        assert migration.terminate() == 0
        emptied = migration.run("start", "--fresh", "--confirm", "retailcore")
        assert emptied.code == ExitCode.REFUSED and "must not be emptied" in emptied.err
        assert_serves(shop, source_db, "stores")


def assert_proof(entries: list[dict[str, str]]) -> None:
    """The journal has what the gates showed, and a checksum of what changed in every table."""
    gates = next(json.loads(entry["facts"]) for entry in entries if entry["step"] == "gates")
    assert {"verified", "marker_round_trip", "replicas_follow"} <= gates.keys()
    cutovers = [json.loads(entry["facts"]) for entry in entries if entry["step"] == "final_check"]
    tables = next(facts["tables"] for facts in cutovers if "tables" in facts)
    assert tables and all(facts["checksum"] is None or len(facts["checksum"]) == 16 for facts in tables.values())
    # The rounds have a test that there are changes; here traffic may have had a quiet moment.
    compared = [facts for facts in tables.values() if facts["checksum"] is not None]
    assert all(bool(facts["changed"]) is bool(int(facts["checksum"], 16)) for facts in compared)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "dies_at",
    [
        DIES_AT,
        pytest.param(
            (*dying_steps.points("cutover"), *dying_steps.points("rollback")), marks=pytest.mark.soak, id="everywhere"
        ),
    ],
)
def test_a_daemon_that_dies_at_a_step_is_finished_or_undone_by_the_next(
    dies_at: tuple[str, ...],
    mariadb_db: SourceDatabase,
    postgres15_dbs: Callable[[], StoreDatabase],
    tmp_path: Path,
) -> None:
    with migrated_shop(mariadb_db, postgres15_dbs, tmp_path, rows=2_000) as shop:
        migration = shop.migration
        trap = dying_steps.Trap(tmp_path / "trap")
        assert migration.terminate() == 0
        migration.environment |= trap.environment
        migration.start()
        with shop.traffic(40) as traffic, following(shop, traffic):
            migration.wait_streaming()
            migration.ok("verify")
            for point in dies_at:
                what = point.partition(".")[0]
                _bring_to(migration, "source" if what == "cutover" else "stores")
                trap.set(point, "die")
                asked = migration.run(what, "run", "orders", "--confirm", "orders")
                assert asked.code not in (0, ExitCode.REFUSED), f"{point}: {asked}"
                assert migration.daemon is not None
                assert migration.daemon.wait(60) == 77, point
                migration.start()
                phase, served = settled(migration)
                other = {"cutover": "stores", "rollback": "source"}[what]
                begun = {"cutover": "source", "rollback": "stores"}[what]
                assert served == (other if dying_steps.passed(point) else begun), f"{point}: {phase}"
                assert SERVED[phase] == served, point
                assert_serves(shop, mariadb_db, served)
            _bring_to(migration, "stores")
            report = traffic.report()
        migration.ok("rollback", "check", "orders")
        assert assert_acknowledged(shop, report) > 20
        migration.wait_caught_up()
        migration.ok("verify", "--store", "orders")
        shop.assert_invariants_agree()


def _bring_to(migration: Migration, side: str) -> None:
    if where(migration)[1] != side:
        migration.ok("cutover" if side == "stores" else "rollback", "run", "orders", "--confirm", "orders")


@pytest.mark.timeout(900)
def test_a_daemon_that_is_frozen_past_the_gates_end_cannot_pass_the_point_of_no_return(
    mariadb_db: SourceDatabase, postgres15_dbs: Callable[[], StoreDatabase], tmp_path: Path
) -> None:
    with migrated_shop(mariadb_db, postgres15_dbs, tmp_path, rows=2_000, stop_s=20) as shop:
        migration = shop.migration
        migration.ok("verify")
        assert migration.terminate() == 0
        trap = dying_steps.Trap(tmp_path / "trap")
        migration.environment |= trap.environment
        trap.set("cutover.no_return.before", "freeze")
        migration.start()
        migration.wait_streaming()
        daemon = migration.daemon
        assert daemon is not None
        with ThreadPoolExecutor(1) as executor:
            asked = executor.submit(migration.run, "cutover", "run", "orders", "--confirm", "orders")
            _wait(lambda: asked.done() or _frozen(daemon.pid), "the daemon to freeze")
            assert not asked.done(), f"{asked.result()}{migration.log_tail()}"
            assert _source_open(mariadb_db) == set()
            # Nobody does anything: the gate opens by itself.
            _wait(lambda: _source_open(mariadb_db) == set(TABLES[Domain.ORDERS]), "the gate's end")
            daemon.send_signal(signal.SIGCONT)
            asked.result(120)
        assert settled(migration) == ("prepared", "source")
        assert_serves(shop, mariadb_db, "source")
        steps = migration.ok("-o", "json", "cutover", "status", "orders").document()["journal"]
        failed = [step for step in steps if step["kind"] == "failed"]
        assert [step["step"] for step in failed] == ["no_return"]
        assert "the gate's time was over" in failed[0]["facts"]["error"]


def _frozen(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def _wait(test: Callable[[], bool], what: str, timeout_s: float = 90.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not test():
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.2)

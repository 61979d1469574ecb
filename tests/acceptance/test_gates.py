"""Every gate refuses when what it guards is broken: exit 3, nothing changed, and it says what to do."""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from model.errors import ExitCode
from tests.support.servers import SourceDatabase, StoreDatabase
from tests.support.small import Small, small_domain


def refused_by(migration: Small, *names: str) -> dict[str, str]:
    """Gates that must refuse: what each measured. The run itself is refused and changes nothing."""
    gates = migration.gates()
    closed = {name: gate["value"] for name, gate in gates.items() if not gate["passed"]}
    assert set(closed) == set(names), gates
    assert all(gates[name]["next"] and gates[name]["limit"] for name in names)
    before = migration.domain()
    refused = migration.run("cutover", "run", "stock", "--confirm", "stock")
    assert refused.code == ExitCode.REFUSED and all(name in refused.err for name in names), refused
    after = migration.domain()
    assert (after["phase"], after["epoch"], after["side"]) == (before["phase"], before["epoch"], "source")
    return closed


@pytest.mark.timeout(600)
def test_every_gate_refuses(mariadb_db: SourceDatabase, store15: StoreDatabase, tmp_path: Path) -> None:
    source_db, store_db = mariadb_db, store15
    with small_domain(source_db, store_db, tmp_path) as migration, ExitStack() as stack:
        source = stack.enter_context(closing(source_db.connect(autocommit=False)))
        # Before anything is installed.
        with source.cursor() as cursor:
            cursor.execute("UPDATE items SET name = 'a long transaction' WHERE id = 1")
        source_db.execute("SET GLOBAL sync_binlog = 0")
        stack.callback(source_db.execute, "SET GLOBAL sync_binlog = 1")
        store_db.execute("ALTER TABLE item_lines RENAME COLUMN note TO remark")
        until_old(source_db)
        found = refused_by(migration, "durability", "old_writers", "no_pending_ddl")
        assert "sync_binlog = 0" in found["durability"] and "connection" in found["old_writers"]
        assert "public.item_lines lacks note" in found["no_pending_ddl"]
        assert source_db.rows("SHOW DATABASES LIKE 'crossfade_control'") == []
        store_db.execute("ALTER TABLE item_lines RENAME COLUMN remark TO note")
        source.rollback()
        source_db.execute("SET GLOBAL sync_binlog = 1")

        # A reason in writing opens a gate that guards nothing of the data; no reason opens one that does.
        source_db.execute("SET GLOBAL sync_binlog = 0")
        told = migration.gates("--override", "durability=a test machine")["durability"]
        assert told["passed"] and told["overridden"] == "a test machine"
        assert migration.run("cutover", "check", "stock", "--override", "verified=hurry").code == ExitCode.USAGE
        source_db.execute("SET GLOBAL sync_binlog = 1")

        migration.ok("cutover", "rehearse", "stock")
        assert all(gate["passed"] for gate in migration.gates().values())

        # Another server in the source's place.
        store_db.execute('UPDATE crossfade.domain_pin SET identities = identities || \'{"store main": "7"}\'')
        found = refused_by(migration, "same_servers")
        assert "store main is" in found["same_servers"] and "was 7" in found["same_servers"]
        migration.ok("cutover", "rehearse", "stock", "--accept-identity")
        assert migration.gates()["same_servers"]["passed"]

        # The gate's own triggers, and the store's log.
        ((trigger,),) = source_db.rows(
            "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE() "
            "AND EVENT_OBJECT_TABLE = 'items' AND EVENT_MANIPULATION = 'DELETE'"
        )
        source_db.execute(f"DROP TRIGGER {trigger}", "SET GLOBAL read_only = 1")
        store_db.execute("DROP TRIGGER crossfade_values ON items")
        stack.callback(source_db.execute, "SET GLOBAL read_only = 0")
        gates = migration.gates()
        assert not gates["gate_installed"]["passed"] and "items DELETE" in gates["gate_installed"]["value"]
        assert not gates["values_guarded"]["passed"] and "public.items" in gates["values_guarded"]["value"]
        assert not gates["source_writable"]["passed"]
        assert migration.run("cutover", "run", "stock", "--confirm", "stock").code == ExitCode.REFUSED
        source_db.execute("SET GLOBAL read_only = 0")
        migration.ok("cutover", "rehearse", "stock")  # makes the triggers again

        # A write in the store before its cutover halts the way back.
        with store_db.connect() as connection:
            connection.execute("SET session_replication_role = replica")
            connection.execute("UPDATE items SET name = 'rogue' WHERE id = 1")
        migration.wait(lambda status: status["reverse"][0]["mode"] == "halted")
        gates = migration.gates()
        assert not gates["reverse_round_trip"]["passed"] and "items" in gates["reverse_round_trip"]["value"]
        assert migration.run("cutover", "run", "stock", "--confirm", "stock").code == ExitCode.REFUSED
        assert migration.domain()["phase"] == "prepared"


def until_old(source_db: SourceDatabase) -> None:
    """Until the open transaction is older than the limit."""
    while not source_db.rows(
        "SELECT 1 FROM information_schema.INNODB_TRX WHERE trx_rows_modified > 0 "
        "AND TIMESTAMPDIFF(SECOND, trx_started, NOW()) > 3"
    ):
        source_db.rows("SELECT SLEEP(0.2)")


@pytest.mark.timeout(300)
def test_limits_that_cannot_be_met_refuse(mariadb_db: SourceDatabase, store15: StoreDatabase, tmp_path: Path) -> None:
    """Lag, write stop, the age of the verification, retention: limits of the configuration."""
    limits = "{max_lag_s: 0.000001, max_write_stop_s: 0.001, verify_not_older_s: 0.1, min_retention_s: 9999999999}"
    source_db, store_db = mariadb_db, store15
    with small_domain(source_db, store_db, tmp_path) as migration:
        migration.ok("cutover", "rehearse", "stock")
        assert migration.terminate() == 0
        text = migration.config.read_text()
        old = "cutover: {max_lag_s: 30, max_write_stop_s: 60}"
        assert old in text
        route = 'route: {http: "http://127.0.0.1:9/nobody"}'
        text = text.replace(old, f"cutover: {limits}").replace("stores: [main]\n", f"stores: [main]\n    {route}\n")
        migration.config.write_text(text)
        migration.start()
        migration.wait_streaming()
        source_db.execute(f"SET GLOBAL {expiry(source_db)}")
        try:
            gates = migration.gates()
        finally:
            source_db.execute(f"SET GLOBAL {expiry(source_db).partition(' = ')[0]} = DEFAULT")
        closed = {name: gate["value"] for name, gate in gates.items() if not gate["passed"]}
        assert set(closed) == {
            "verified", "hooks_callable", "retention", "marker_round_trip", "reverse_round_trip", "predicted_stop",
        }, gates  # fmt: skip
        assert "cannot be reached" in closed["hooks_callable"] and "p95" in closed["marker_round_trip"]
        assert "24 h" in closed["retention"]
        assert migration.run("cutover", "run", "stock", "--confirm", "stock").code == ExitCode.REFUSED
        assert migration.domain()["phase"] == "prepared"


def expiry(source_db: SourceDatabase) -> str:
    """The variable that keeps the binlog for a day."""
    known = source_db.rows("SHOW GLOBAL VARIABLES LIKE 'binlog_expire_logs_seconds'")
    return "binlog_expire_logs_seconds = 86400" if known else "expire_logs_days = 1"

"""Every gate refuses when what it guards is broken: exit 3, nothing changed, and it says what to do."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import psycopg
import pymysql
import pytest

from cutover.checks import CUTOVER, ROLLBACK
from model.errors import ExitCode
from sync.mysql.gate_ddl import trigger_body
from sync.mysql.reverse_tables import DATABASE
from sync.postgres.slots import PLUGIN, stream_name
from tests.support.servers import SOURCES, SourceDatabase, StoreDatabase
from tests.support.small import Small, small_domain
from tests.support.stranded import replay


def refused_by(
    migration: Small, *names: str, verb: str = "cutover", accept: tuple[str, ...] = (), perhaps: str = ""
) -> dict[str, str]:
    """Gates that must refuse: what each measured. The run itself is refused and changes nothing.

    `accept`: arguments for the question and the run. `perhaps`: a gate that may refuse too, as time would have it.
    """
    gates = migration.gates(*accept)
    closed = {name: gate["value"] for name, gate in gates.items() if not gate["passed"]}
    assert set(closed) - {perhaps} == set(names), closed
    assert all(gates[name]["next"] and gates[name]["limit"] for name in names)
    before = migration.domain()
    refused = migration.run(verb, "run", "stock", "--confirm", "stock", *accept)
    assert refused.code == ExitCode.REFUSED and all(name in refused.err for name in names), refused
    after = migration.domain()
    side = "source" if verb == "cutover" else "stores"
    assert (after["phase"], after["epoch"], after["side"]) == (before["phase"], before["epoch"], side)
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
        with waiting_statement(source_db, "ALTER TABLE items COMMENT = 'later'"):
            found = refused_by(migration, "durability", "old_writers", "no_pending_ddl")
        assert "runs ALTER TABLE items COMMENT" in found["no_pending_ddl"]
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
        status = migration.wait(lambda status: status["reverse"][0]["mode"] == "halted" and bool(status["reasons"]))
        (alarm,) = status["reasons"]
        assert alarm["code"] == "REVERSE_HALTED" and "items" in alarm["message"] and "--remove" in alarm["next"]
        gates = migration.gates()
        assert not gates["reverse_round_trip"]["passed"] and "items" in gates["reverse_round_trip"]["value"]
        assert migration.run("cutover", "run", "stock", "--confirm", "stock").code == ExitCode.REFUSED
        assert migration.domain()["phase"] == "prepared"
        # What the alarm says to do leads out of it.
        migration.ok("cutover", "cancel", "stock", "--remove")
        assert migration.run("verify").code == ExitCode.DIFFERENCES
        migration.ok("repair")
        migration.ok("verify")
        migration.ok("cutover", "rehearse", "stock")
        assert store_db.rows("SELECT name FROM items WHERE id = 1") != [("rogue",)]
        a_slot_of_another_hand_refuses(migration, store_db)


def a_slot_of_another_hand_refuses(migration: Small, store_db: StoreDatabase) -> None:
    """Neither a slot that is gone nor one that came after it is taken for the one that was prepared."""
    name = stream_name("small", "stock", "main")
    dropped_by_hand(store_db, name)
    refused = migration.run("cutover", "run", "stock", "--confirm", "stock")
    assert refused.code == ExitCode.REFUSED and f"dropped slot {name}" in refused.err, refused
    assert store_db.rows("SELECT count(*) FROM pg_replication_slots WHERE database = current_database()") == [(0,)]
    store_db.execute(f"SELECT pg_create_logical_replication_slot('{name}', '{PLUGIN}')")
    found = migration.gates()["slots_reserved"]
    assert not found["passed"] and "made it anew" in found["value"] and "cancel stock --remove" in found["next"]
    migration.ok("cutover", "cancel", "stock", "--remove")
    migration.ok("cutover", "rehearse", "stock")


def dropped_by_hand(store_db: StoreDatabase, name: str) -> None:
    """Drop a slot that the daemon reads; it connects again at once, so more than one attempt may be needed."""
    ending = f"SELECT pg_terminate_backend(active_pid, 10000) FROM pg_replication_slots WHERE slot_name = '{name}'"
    while store_db.rows("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s", [name]):
        with suppress(psycopg.errors.ObjectInUse):
            store_db.execute(ending, f"SELECT pg_drop_replication_slot('{name}')")


@pytest.mark.timeout(300)
# MySQL 5.6 takes a prepared transaction back when its session ends: there is none to wait for.
@pytest.mark.parametrize("source", SOURCES, indirect=True)
@pytest.mark.parametrize("store", ["postgres-15"], indirect=True)
def test_a_prepared_xa_transaction_refuses_the_cutover(
    source_db: SourceDatabase, store_db: StoreDatabase, tmp_path: Path
) -> None:
    """It holds its locks though its session is gone; the gate names it, and what it says to type ends it."""
    name = source_db.database
    with small_domain(source_db, store_db, tmp_path) as migration, ExitStack() as stack:
        with closing(source_db.connect()) as session, session.cursor() as cursor:
            cursor.execute(f"XA START '{name}'")
            cursor.execute("UPDATE items SET name = 'prepared' WHERE id = 1")
            cursor.execute(f"XA END '{name}'")
            cursor.execute(f"XA PREPARE '{name}'")
        stack.callback(rolled_back, source_db, name)
        until_old(source_db)
        refused = migration.run("cutover", "run", "stock", "--confirm", "stock")
        verdict, told = f"XA ROLLBACK '{name}';", " ".join(refused.err.split())
        assert refused.code == ExitCode.REFUSED and "old_writers" in told and "a prepared XA transaction: " in told
        assert f"prepared by XA: '{name}'" in told and verdict in told, refused
        after = migration.domain()
        assert (after["phase"], after["epoch"], after["side"]) == ("following", 0, "source")
        assert source_db.rows("SHOW DATABASES LIKE 'crossfade_control'") == []
        source_db.execute(verdict.rstrip(";"))
        assert migration.gates()["old_writers"]["passed"]
        assert source_db.rows("SELECT name FROM items WHERE id = 1") == [("Äpfel",)]


def rolled_back(source_db: SourceDatabase, name: str) -> None:
    """The prepared transaction is gone, also when the test failed."""
    with suppress(pymysql.err.MySQLError):
        source_db.execute(f"XA ROLLBACK '{name}'")


@contextmanager
def waiting_statement(source_db: SourceDatabase, statement: str) -> Iterator[None]:
    """A statement that waits for an open transaction of its table; it is ended before it comes to anything."""
    shown = "SELECT ID FROM information_schema.PROCESSLIST WHERE INFO = %s AND STATE LIKE %s"
    with ThreadPoolExecutor(1) as executor:
        running = executor.submit(source_db.execute, statement)
        while not (found := source_db.rows(shown, [statement, "Waiting for table metadata lock%"])):
            assert not running.done(), running.exception()
            time.sleep(0.05)
        try:
            yield
        finally:
            source_db.execute(f"KILL {found[0][0]}")
        assert running.exception() is not None


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
        gate_inside_another_trigger(migration, source_db, store_db)


def gate_inside_another_trigger(migration: Small, source_db: SourceDatabase, store_db: StoreDatabase) -> None:
    """It would refuse every write once the gate's row is gone: nothing is taken away before it is mended."""
    block = trigger_body("stock", DATABASE)
    source_db.execute(
        f"CREATE TRIGGER own BEFORE INSERT ON items FOR EACH ROW BEGIN {block}; SET NEW.name = 'own'; END"
    )
    refused = migration.run("cutover", "cancel", "stock", "--remove")
    assert refused.code == ExitCode.REFUSED and "triggers own" in refused.err, refused
    assert migration.domain()["phase"] == "prepared"
    assert source_db.rows("SELECT closed FROM crossfade_control.gate WHERE domain = 'stock'") == [(0,)]
    count = "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()"
    assert store_db.rows(count) == [(1,)]
    source_db.execute("INSERT INTO items (sku, price) VALUES ('let in', 1)", "DROP TRIGGER own")
    migration.ok("cutover", "cancel", "stock", "--remove")
    assert migration.domain()["phase"] == "following"
    assert source_db.rows("SELECT * FROM crossfade_control.gate WHERE domain = 'stock'") == []
    assert store_db.rows(count) == [(0,)]
    source_db.execute("INSERT INTO items (sku, price) VALUES ('let in too', 1)")


def expiry(source_db: SourceDatabase) -> str:
    """The variable that keeps the binlog for a day."""
    known = source_db.rows("SHOW GLOBAL VARIABLES LIKE 'binlog_expire_logs_seconds'")
    return "binlog_expire_logs_seconds = 86400" if known else "expire_logs_days = 1"


FORBIDDING = """tables: {items: {map: {name: {toast: bread, "*": other}}}}
"""
OUTSIDE = (
    "CREATE TABLE tags (id INT NOT NULL PRIMARY KEY) ENGINE=InnoDB",
    """CREATE TABLE item_tags (id INT NOT NULL PRIMARY KEY, tag_id INT NOT NULL,
    CONSTRAINT of_tag FOREIGN KEY (tag_id) REFERENCES tags (id) ON DELETE CASCADE) ENGINE=InnoDB""",
)
LOSSY = ("--accept-lossy", "items.name")


@pytest.mark.timeout(600)
def test_the_configuration_and_the_rows_refuse(
    mariadb_db: SourceDatabase, store15: StoreDatabase, tmp_path: Path
) -> None:
    source_db, store_db = mariadb_db, store15
    source_db.execute(*OUTSIDE)
    with small_domain(source_db, store_db, tmp_path, config=FORBIDDING) as migration:
        found = refused_by(migration, "reversible")
        assert "items.name (lossy: the map's default" in found["reversible"]
        assert migration.gates(*LOSSY)["reversible"]["passed"]
        # A row that the store cannot hold waits.
        source_db.execute("INSERT INTO item_lines (item_id, amount, note) VALUES (1, 1, CONCAT('a', CHAR(0)))")
        migration.wait_caught_up()
        assert refused_by(migration, "quarantined", accept=LOSSY)["quarantined"] == "1 rows"
        source_db.execute("UPDATE item_lines SET note = 'a' WHERE note <> ''")
        migration.wait_caught_up()
        migration.ok("errors", "retry", "--all")
        # A statement that somebody has to agree to holds its table.
        source_db.execute("ALTER TABLE item_lines DROP COLUMN note")
        migration.until(lambda _: not migration.gates(*LOSSY)["streaming"]["passed"])
        found = refused_by(migration, "streaming", "no_pending_ddl", accept=LOSSY, perhaps="verified")
        assert "item_lines" in found["streaming"] and "another shape" in found["no_pending_ddl"]
        # Rows that the source's own cascades would change behind the gate.
        assert migration.terminate() == 0
        text = migration.config.read_text()
        migration.config.write_text(text.replace("[items, item_lines]", "[items, item_lines, item_tags]"))
        migration.start()
        migration.wait(lambda status: bool(status["phases"]))
        found = refused_by(migration, "configured", "streaming", "no_pending_ddl", accept=LOSSY, perhaps="verified")
        assert "foreign key of_tag" in found["configured"] and "CASCADE from" in found["configured"]
        assert source_db.rows("SHOW DATABASES LIKE 'crossfade_control'") == []


@pytest.mark.timeout(600)
def test_the_way_back_refuses(mariadb_db: SourceDatabase, store15: StoreDatabase, tmp_path: Path) -> None:
    """What must be there for a way back: asked before the cutover, and before the rollback."""
    source_db, store_db = mariadb_db, store15
    with small_domain(source_db, store_db, tmp_path) as migration, ExitStack() as stack:
        own_user(migration, source_db, stack)
        migration.ok("cutover", "rehearse", "stock")
        source_db.execute(f"REVOKE DELETE ON {source_db.database}.* FROM mover")
        found = refused_by(migration, "reverse_privileges")
        assert "DELETE" in found["reverse_privileges"] and "items" in found["reverse_privileges"]
        source_db.execute(f"GRANT DELETE ON {source_db.database}.* TO mover")
        migration.move("cutover")

        # Somebody writes and does not end.
        with store_db.connect(autocommit=False) as writer:
            writer.execute("UPDATE items SET name = 'a long transaction' WHERE id = 1")
            migration.until(lambda _: not migration.gates()["old_store_writers"]["passed"])
            assert "pid" in refused_by(migration, "old_store_writers", verb="rollback")["old_store_writers"]
            writer.rollback()
        # A trigger of the store's gate is gone; a new daemon makes it again.
        store_db.execute("DROP TRIGGER crossfade_gate ON items")
        assert "main: public.items" in refused_by(migration, "gate_installed", verb="rollback")["gate_installed"]
        # Another server in the store's place.
        ((pinned,),) = store_db.rows("SELECT identities::text FROM crossfade.domain_pin")
        store_db.execute('UPDATE crossfade.domain_pin SET identities = identities || \'{"store main": "7"}\'')
        refused_by(migration, "gate_installed", "same_servers", verb="rollback")
        refused_by(migration, "gate_installed", verb="rollback", accept=("--accept-identity",))
        assert store_db.rows("SELECT identities->>'store main' FROM crossfade.domain_pin") == [("7",)]
        store_db.execute(f"UPDATE crossfade.domain_pin SET identities = '{pinned}'")
        assert migration.terminate() == 0

        # The slot goes, and with it what the source has not got. The new daemon has made the trigger again.
        write_the_last(store_db)
        store_db.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()"
        )
        migration.start()
        migration.light("RED", "SLOT_LOST")
        found = refused_by(migration, "slots_reserved", "reverse_round_trip", verb="rollback")
        assert "no slot" in found["slots_reserved"]
        assert "--accept-divergence stock" in migration.gates()["slots_reserved"]["next"]
        # Made anew by hand it looks well, but what was written before is in no slot.
        store_db.execute(
            f"SELECT pg_create_logical_replication_slot('{stream_name('small', 'stock', 'main')}', '{PLUGIN}')"
        )
        ready = migration.light("RED", "SLOT_GAP")
        assert ready["stranded_rows"] is None and ready["predicted_s"] is None
        found = refused_by(migration, "slots_reserved", "reverse_round_trip", verb="rollback")
        assert "made it anew" in found["slots_reserved"] and "made it anew" in found["reverse_round_trip"]
        assert "--accept-divergence stock" in migration.gates()["slots_reserved"]["next"]
        left = migration.move("rollback", "--accept-divergence", "stock")["stranded"]
        assert_compared(Path(left["path"]), source_db)
        # Forth again, once what was left behind is replayed: by that slot, which counts from here on.
        replay(source_db, Path(left["path"]))
        migration.wait_caught_up()
        migration.ok("verify")
        migration.move("cutover")
        assert store_db.rows("SELECT name FROM items WHERE id = 1") == [("stranded",)]
        store_db.execute("UPDATE items SET name = 'arrives' WHERE id = 1")
        migration.move("rollback")
        assert source_db.rows("SELECT name FROM items WHERE id = 1") == [("arrives",)]


def write_the_last(store_db: StoreDatabase) -> None:
    """What no log will tell: a row that is changed, one that is new and one that is gone."""
    store_db.execute(
        "UPDATE items SET name = 'stranded' WHERE id = 1",
        "INSERT INTO items (id, sku, price, seen) VALUES (5000, 'new', 7, '2021-02-03 04:05:06+00')",
        "DELETE FROM item_lines WHERE id = 2",
    )


def assert_compared(path: Path, source_db: SourceDatabase) -> None:
    """Each row that differs is told whole, with its statement; the source was not touched."""
    head, *lines, end = map(json.loads, path.read_text().splitlines())
    assert (head["schema"], end["transactions"], end["rows"]) == ("crossfade.stranded/1", 3, 3)
    assert {line["found_by"] for line in lines} == {"comparison"}
    told = {change["op"]: change for line in lines for change in line["changes"]}
    assert told["update"]["new"]["name"] == "stranded" and told["update"]["old"]["name"] == "Äpfel"
    assert told["insert"]["new"] | {"name": None} == told["insert"]["new"] and told["insert"]["old"] is None
    assert told["insert"]["new"]["seen"] == "2021-02-03 04:05:06+00"
    assert told["delete"]["old"]["id"] == "2" and told["delete"]["new"] is None
    assert source_db.rows("SELECT name FROM items WHERE id = 1") == [("Äpfel",)]
    assert source_db.rows("SELECT count(*) FROM item_lines") == [(2,)]


def own_user(migration: Small, source_db: SourceDatabase, stack: ExitStack) -> None:
    """Let the daemon be a user of its own, whose privileges on the tables can be taken away."""
    source_db.execute(
        "DROP USER IF EXISTS mover", "CREATE USER mover IDENTIFIED BY 'mover-secret'",
        "GRANT SUPER, REPLICATION SLAVE, REPLICATION CLIENT, PROCESS, RELOAD ON *.* TO mover",
        "GRANT ALL ON crossfade_control.* TO mover", f"GRANT ALL ON {source_db.database}.* TO mover",
    )  # fmt: skip
    stack.callback(source_db.execute, "DROP USER IF EXISTS mover")
    assert migration.terminate() == 0
    text = migration.config.read_text()
    migration.config.write_text(text.replace(f'user: "{source_db.server.user}"', 'user: "mover"'))
    migration.environment["SMALL_PASSWORD"] = "mover-secret"
    migration.start()
    migration.wait_streaming()


REFUSALS = (Path(__file__), Path(__file__).with_name("test_cutover_replica.py"))


def test_no_gate_is_without_a_refusal() -> None:
    """Every gate that `check` prints is named in these files as one that was seen to refuse."""
    text = "".join(path.read_text() for path in REFUSALS)
    silent = [check.__name__ for check in (*CUTOVER, *ROLLBACK) if f'"{check.__name__}"' not in text]
    assert not silent

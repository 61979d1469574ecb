"""The way back is watched all the time: green while it is whole, red with a reason, and never given up silently."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from cutover.report import check_report
from model.errors import ExitCode
from servers import Engine
from tests.support.servers import SourceDatabase, StoreDatabase
from tests.support.small import Small, small_domain
from tests.support.stranded import replay

HTTP = 'http: {listen: "127.0.0.1:0"}\n'


def steps_of(migration: Small, name: str) -> list[dict[str, Any]]:
    """Facts of every finished step of this name, oldest first."""
    found = migration.ok("-o", "json", "cutover", "status", "stock").document()["journal"]
    return [entry["facts"] for entry in found if entry["step"] == name and entry["kind"] == "observed"]


@pytest.mark.timeout(600)
def test_a_way_back_that_breaks_is_red_and_what_it_leaves_behind_is_written_down(
    source_db: SourceDatabase, store_db: StoreDatabase, tmp_path: Path
) -> None:
    with small_domain(source_db, store_db, tmp_path, config=HTTP) as migration:
        assert readiness_told(migration) == (None, {})
        # Nothing written: nothing to compare, nothing to count.
        migration.move("cutover")
        assert migration.light("GREEN")["stranded_rows"] == 0
        line, series = readiness_told(migration)
        assert line is not None and line.endswith("0 rows stranded, GREEN")
        assert series["crossfade_rollback_readiness"] == {
            ("stock", "GREEN"): 1,
            ("stock", "AMBER"): 0,
            ("stock", "RED"): 0,
        }
        assert series["crossfade_rollback_stranded_rows"] == {("stock",): 0} and not series["crossfade_rollback_alarm"]
        assert 0 < series["crossfade_rollback_predicted_seconds"]["stock",] < 60
        assert refuses_what_the_source_cannot_hold(store_db)
        shown = migration.ok("status").out
        assert "rollback now: " in shown and "0 rows stranded, GREEN" in shown
        migration.move("rollback")
        assert "skipped" in steps_of(migration, "final_check")[-1] and "skipped" in steps_of(migration, "counters")[-1]

        migration.move("cutover")
        store_db.execute("UPDATE items SET name = 'arrives' WHERE id = 2")
        migration.light("GREEN")
        assert "skipped" not in migration_back_and_forth(migration)

        break_the_way_back(store_db)
        ready = migration.light("RED", "REVERSE_HALTED", "ROWS_STRANDED")
        assert ready["stranded_rows"] == 5 and ready["predicted_s"] is None
        assert "5 rows stranded, RED" in migration.ok("cutover", "status", "stock").out
        line, series = readiness_told(migration)
        assert line is not None and line.endswith("5 rows stranded, RED")
        assert series["crossfade_rollback_readiness"]["stock", "RED"] == 1
        assert series["crossfade_rollback_alarm"]["REVERSE_HALTED", "stock"] == 1
        assert series["crossfade_rollback_stranded_rows"] == {("stock",): 5}
        assert not series["crossfade_rollback_predicted_seconds"]
        migration.ok("report", "make", "--format", "md,json,html")
        assert "  - rollback now: not known, 5 rows stranded, RED" in migration.ok("report", "show").out
        status = migration.ok("-o", "json", "status").document()
        assert status["health"] != "healthy" and "REVERSE_HALTED" in {reason["code"] for reason in status["reasons"]}
        refused = migration.run("rollback", "run", "stock", "--confirm", "stock")
        assert refused.code == ExitCode.REFUSED and "reverse_round_trip" in refused.err
        unsure = migration.run("rollback", "run", "stock", "--confirm", "stock", "--accept-divergence", "yes")
        assert unsure.code == ExitCode.CONFIRM
        assert migration.domain()["phase"] == "live"

        left = migration.move("rollback", "--accept-divergence", "stock")["stranded"]
        assert (left["transactions"], left["rows"]) == (3, 5)
        assert_told(Path(left["path"]))
        replay(source_db, Path(left["path"]))
        assert source_db.rows("SELECT name FROM items WHERE id = 1") == [("stranded",)]
        assert source_db.rows("SELECT count(*) FROM item_lines WHERE note = 'stranded'") == [(3,)]
        assert all(check_report(path)[1] is None for path in (tmp_path / "reports").glob("cutover-*.json"))

        # The sides differ, so nobody goes forth again before that was seen and mended.
        again = migration.run("cutover", "run", "stock", "--confirm", "stock")
        assert again.code == ExitCode.REFUSED and "left 5 rows behind" in again.err, again
        migration.wait_caught_up()
        assert migration.run("verify").code == ExitCode.DIFFERENCES
        migration.ok("repair")
        migration.ok("verify")
        migration.move("cutover")
        finalized(migration, source_db)
        assert not refuses_what_the_source_cannot_hold(store_db)


def readiness_told(migration: Small) -> tuple[str | None, dict[str, dict[tuple[str, ...], float]]]:
    """What HTTP says of the way back: the line of the domain, and metric → values of its labels → value."""
    address = migration.ok("-o", "json", "status").document()["http"]
    with httpx.Client(base_url=f"http://{address}", timeout=60.0) as client:
        (domain,) = client.get("/api/v1/cutover").json()["domains"]
        families = text_string_to_metric_families(client.get("/metrics").text)
    series = {
        family.name: {tuple(sample.labels.values()): sample.value for sample in family.samples}
        for family in families
        if family.name.startswith("crossfade_rollback_")
    }
    if domain["rollback"] is None:
        return None, {name: found for name, found in series.items() if found}
    return str(domain["rollback"]["line"]), series


def refuses_what_the_source_cannot_hold(store_db: StoreDatabase) -> bool:
    """Whether an application is told so when it writes a moment after 2038."""
    with store_db.connect(autocommit=False) as connection:
        try:
            connection.execute("UPDATE items SET seen = '2050-01-01' WHERE id = 3")
        except psycopg.errors.CheckViolation as error:
            assert (error.diag.constraint_name, error.diag.column_name) == ("crossfade_way_back", "seen")
            return True
        finally:
            connection.rollback()
        return False


def migration_back_and_forth(migration: Small) -> dict[str, Any]:
    """Roll back and cut over again; what the rollback's comparison said."""
    migration.move("rollback")
    found = steps_of(migration, "final_check")[-1]
    migration.move("cutover")
    return found


def break_the_way_back(store_db: StoreDatabase) -> None:
    """Three transactions, the first of which MySQL has no place for: written past every trigger."""
    with store_db.connect(autocommit=False) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE items SET seen = '2050-01-01' WHERE id = 3")
        connection.commit()
        connection.execute("UPDATE items SET name = 'stranded' WHERE id = 1")
        connection.commit()
        connection.execute(
            "INSERT INTO item_lines (item_id, amount, note) SELECT 1, n, 'stranded' FROM generate_series(1, 3) AS n"
        )
        connection.commit()


def assert_told(path: Path) -> None:
    """The file has every transaction whole, and says what the source cannot hold."""
    head, first, second, third, end = map(json.loads, path.read_text().splitlines())
    assert head["schema"] == "crossfade.stranded/1" and head["domain"] == "stock"
    assert end == {"end": True, "transactions": 3, "rows": 5}
    (change,) = first["changes"]
    assert change["new"]["seen"].startswith("2050-01-01") and change["old"]["sku"] == "c-3"
    assert change["statement"] is None and "2038" in change["refused"]
    assert second["changes"][0]["new"]["name"] == "stranded" and second["changes"][0]["statement"].startswith("UPDATE")
    assert [change["op"] for change in third["changes"]] == ["insert"] * 3
    assert path.stat().st_mode & 0o077 == 0


def finalized(migration: Small, source_db: SourceDatabase) -> None:
    """Not before its time; and then the source stays closed, whatever is done to the gate."""
    early = migration.run("finalize", "stock", "--confirm", "stock")
    assert early.code == ExitCode.REFUSED and "--before-soak" in early.err
    migration.ok("finalize", "stock", "--confirm", "stock", "--before-soak")
    assert migration.domain()["phase"] == "complete"
    source_db.execute("UPDATE crossfade_control.gate SET closed = 0 WHERE domain = 'stock'")
    source_db.execute(f"DROP TRIGGER {trigger_of(source_db)}")
    migration.wait(lambda status: "TOMBSTONE_OPEN" in {reason["code"] for reason in status["reasons"]})
    migration.wait(lambda status: "TOMBSTONE_OPEN" not in {reason["code"] for reason in status["reasons"]})
    assert source_db.rows("SELECT closed, expires_s FROM crossfade_control.gate") == [(1, None)]
    # Triggers are looked at less often than the row.
    migration.until(lambda _: bool(triggers_of(source_db)))
    with pytest.raises(Exception, match="closed for writes"):
        source_db.execute("INSERT INTO items (sku, price) VALUES ('late', 1)")


def trigger_of(source_db: SourceDatabase) -> str:
    """The gate's trigger for an INSERT of an item."""
    ((name,),) = source_db.rows(
        "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE() "
        "AND EVENT_OBJECT_TABLE = 'items' AND EVENT_MANIPULATION = 'INSERT'"
    )
    return str(name)


@pytest.mark.timeout(600)
def test_a_write_to_the_source_behind_the_cutover_is_told_kept_and_not_applied(
    source_db: SourceDatabase, store_db: StoreDatabase, tmp_path: Path
) -> None:
    with small_domain(source_db, store_db, tmp_path) as migration:
        migration.move("cutover")
        assert migration.ok("cutover", "leaks", "stock").code == 0
        migration.light("GREEN")
        with closing(source_db.connect()) as intruder, intruder.cursor() as cursor:
            cursor.execute(f"DROP TRIGGER {trigger_of(source_db)}")
            cursor.execute("INSERT INTO items (id, sku, price) VALUES (900, 'leaked', 7), (901, 'too', 8)")
            ready = migration.light("RED", "SOURCE_LEAK")
            (alarm,) = (one for one in ready["alarms"] if one["code"] == "SOURCE_LEAK")
            assert "crossfade cutover leaks stock" in alarm["next"]
            told = migration.run("-o", "json", "cutover", "leaks", "stock")
            assert told.code == ExitCode.DIFFERENCES
            (leak,) = told.document()["leaks"]
            assert (leak["row_count"], leak["table"]) == (2, f"{source_db.database}.items") and ":" in leak["position"]
            assert [row["new"]["sku"] for row in leak["rows"]] == ["leaked", "too"]
            if source_db.server.flavour.engine is Engine.MYSQL:  # MariaDB's binlog does not name the thread
                assert leak["who"].startswith(f"{source_db.server.user}@") or leak["who"] == "gone"
                assert leak["thread_id"] == intruder.thread_id()
        assert store_db.rows("SELECT count(*) FROM items WHERE id >= 900") == [(0,)]
        migration.until(lambda _: bool(triggers_of(source_db)))
        store_db.execute("DROP TRIGGER crossfade_values ON items")
        migration.light("RED", "SOURCE_LEAK", "VALUES_UNGUARDED")
        # A new daemon does not apply later ones either, and guards the values again.
        assert migration.terminate() == 0
        source_db.execute(f"DROP TRIGGER {trigger_of(source_db)}", "INSERT INTO items (sku, price) VALUES ('third', 9)")
        migration.start()
        migration.wait_streaming()
        migration.until(
            lambda _: len(migration.run("-o", "json", "cutover", "leaks", "stock").document()["leaks"]) == 2
        )
        assert store_db.rows("SELECT count(*) FROM items WHERE sku = 'third'") == [(0,)]
        refused = migration.run("finalize", "stock", "--confirm", "stock", "--before-soak")
        assert refused.code == ExitCode.REFUSED and "leaks" in refused.err
        migration.ok("cutover", "leaks", "stock", "--seen")
        migration.light("GREEN")
        assert refuses_what_the_source_cannot_hold(store_db)
        # Back: what is written now is nobody's leak, and the sides are made equal again before they move.
        migration.move("rollback")
        source_db.execute("INSERT INTO items (sku, price) VALUES ('after', 1)")
        migration.wait_caught_up()
        assert store_db.rows("SELECT count(*) FROM items WHERE sku = 'after'") == [(1,)]
        again = migration.run("cutover", "run", "stock", "--confirm", "stock")
        assert again.code == ExitCode.REFUSED and "foreign writes reached the source" in again.err, again
        assert migration.run("verify").code == ExitCode.DIFFERENCES
        migration.ok("repair")
        migration.ok("verify")
        migration.move("cutover")
        assert store_db.rows("SELECT count(*) FROM items WHERE sku IN ('leaked', 'too', 'third')") == [(3,)]


def triggers_of(source_db: SourceDatabase) -> int:
    """Gate triggers on both tables, when all are there."""
    ((count,),) = source_db.rows(
        "SELECT count(*) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE() "
        "AND TRIGGER_NAME LIKE 'crossfade%'"
    )
    return int(count) if count == 6 else 0

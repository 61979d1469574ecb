"""Answers of user-given statements on both sides, and the store's definitions, as verdicts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from config.settings import Invariant, VerifySettings
from model.errors import UsageError
from tests.support.loading import STORE, Loaded, loaded
from tests.support.servers import SourceDatabase, StoreDatabase
from tests.support.streaming import following
from validators.findings import FindingKind, Mode, Outcome, TableVerdict


@pytest.fixture
def pair(source_db: SourceDatabase, store_db: StoreDatabase, tmp_path: Path) -> Iterator[Loaded]:
    """Orders of three days, loaded, with a relay behind them."""
    source_db.execute(
        "CREATE TABLE orders (id INT AUTO_INCREMENT PRIMARY KEY, day DATE, total DECIMAL(8,2), paid TINYINT(1), "
        "at DATETIME(3), took TIME, note VARCHAR(20), KEY by_day (day))",
        "INSERT INTO orders (day, total, paid, at, took, note) VALUES "
        "('2026-01-01', 1.50, 1, '2026-01-01 10:00:00.250', '01:02:03', 'a'), ('2026-01-01', 2, 0, NULL, NULL, NULL),"
        "('2026-01-02', 10.25, 1, '2026-01-02 00:00:00', '-00:00:01', ''), ('2026-01-03', 0, 1, NULL, NULL, NULL)",
    )
    with (
        loaded(source_db, store_db, tmp_path) as found,
        following(found.settings.source, found.settings.relay.directory),
    ):
        found.mark(0)
        yield found


def asked(pair: Loaded, *invariants: Invariant, deadline_s: float = 5.0) -> dict[str, TableVerdict]:
    """Verdicts by name."""
    settings = pair.settings.model_copy(update={"verify": VerifySettings(invariants=invariants)})
    verdict = pair.verify(mode=Mode.INVARIANTS, settings=settings, deadline_s=deadline_s)
    return {table.target: table for table in verdict.tables}


def one(name: str, source: str, store: str) -> Invariant:
    return Invariant(name=name, source=source, store=STORE, sql=store)


def test_answers_are_compared_as_values(pair: Loaded) -> None:
    orders = f"{pair.source_db.database}.orders"
    everything = "SELECT id, day, total, paid, at, took, note FROM"
    invariants = [
        one("per_day", f"SELECT day, COUNT(*), SUM(total) FROM {orders} GROUP BY day ORDER BY day DESC",
            "SELECT day, count(*), sum(total) FROM orders GROUP BY day"),
        one("values", f"{everything} {orders}", f"{everything} orders"),
        one("mean", f"SELECT ROUND(AVG(total), 3), COUNT(*) > 3 FROM {orders}",
            "SELECT round(avg(total), 3), count(*) > 3 FROM orders"),
        Invariant(name="parts", source=f"SELECT id FROM {orders}", stores={STORE: "SELECT id FROM orders"}),
    ]  # fmt: skip
    clean = asked(pair, *invariants)
    assert set(clean) == {"per_day", "values", "mean", "parts"}
    assert all((table.outcome, table.why) == (Outcome.PASS, "") for table in clean.values())
    pair.store_db.execute(
        "UPDATE orders SET total = total + 0.01, note = 'NULL' WHERE id = 2", "DELETE FROM orders WHERE id = 4"
    )
    found = asked(pair, *invariants)
    assert all(table.outcome is Outcome.FAIL for table in found.values())
    assert {(finding.kind, finding.key) for finding in found["per_day"].findings} == {
        (FindingKind.DIFFERS, (("day", "2026-01-01"),)),
        (FindingKind.MISSING, (("day", "2026-01-03"), ("COUNT(*)", "1"), ("SUM(total)", "0"))),
    }
    (differs,) = (finding for finding in found["values"].findings if finding.kind is FindingKind.DIFFERS)
    assert [(c.column, c.source, c.target) for c in differs.columns] == [
        ("total", "2", "2.01"), ("note", None, "NULL"),
    ]  # fmt: skip
    assert found["values"].window is not None and found["values"].source == "invariant:values"


def test_an_invariant_that_cannot_be_asked_is_inconclusive(pair: Loaded) -> None:
    orders = f"{pair.source_db.database}.orders"
    found = asked(
        pair,
        one("no_table", f"SELECT 1 FROM {orders}", "SELECT 1 FROM nowhere"),
        one("widths", f"SELECT 1, 2 FROM {orders}", "SELECT 1"),
        one("writes", f"SELECT 1 FROM {orders}", "DELETE FROM orders RETURNING id"),
        one("writes_source", f"DELETE FROM {orders}", "SELECT 1"),
    )
    assert {table.outcome for table in found.values()} == {Outcome.INCONCLUSIVE}
    assert "nowhere" in found["no_table"].why and "columns" in found["widths"].why
    assert pair.store_db.rows("SELECT count(*) FROM orders") == [(4,)]
    assert pair.source_db.rows("SELECT COUNT(*) FROM orders") == [(4,)]
    with pytest.raises(UsageError, match="no invariants"):
        asked(pair)


def test_a_store_that_is_late_decides_nothing(pair: Loaded) -> None:
    orders = f"{pair.source_db.database}.orders"
    pair.source_db.execute("INSERT INTO orders (day, total) VALUES ('2026-01-09', 1)")
    found = asked(pair, one("n", f"SELECT COUNT(*) FROM {orders}", "SELECT count(*) FROM orders"), deadline_s=3)
    assert found["n"].outcome is Outcome.INCONCLUSIVE and "the source was read at" in found["n"].why


def test_definitions_are_compared(pair: Loaded) -> None:
    judged = pair.judged("orders", Mode.SCHEMA)
    # Loaded without the indexes that come after a copy.
    assert judged.outcome is Outcome.FAIL and [one.key[0][1] for one in judged.findings] == ["index orders_by_day"]
    pair.store_db.execute("CREATE INDEX orders_by_day ON orders (day)")
    clean = pair.judged("orders", Mode.SCHEMA)
    assert clean.outcome is Outcome.PASS and "the cutover puts it ahead" in clean.why
    pair.store_db.execute(
        "ALTER TABLE orders ALTER COLUMN note TYPE integer USING NULL", "ALTER TABLE orders DROP CONSTRAINT orders_pkey"
    )
    broken = pair.judged("orders", Mode.SCHEMA)
    assert {finding.key[0][1] for finding in broken.findings} == {"column note", "key"}
    assert broken.next_step == "crossfade schema plan --diff"

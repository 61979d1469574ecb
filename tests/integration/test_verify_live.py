"""Verification while customers are buying: nothing false, everything planted in rows at rest is found and mended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from demo.retailcore.domains import Domain
from tests.support.servers import SourceDatabase, StoreDatabase
from tests.support.shop import Shop, open_shop

PLANTED = {
    # Columns and rows that traffic does not write: old sessions are purged, with their page views.
    Domain.IDENTITY: [
        """UPDATE identity.page_views SET millis = millis + 1 WHERE id = (
             SELECT p.id FROM identity.page_views AS p JOIN identity.sessions AS s ON s.id = p.session_id
             ORDER BY s.expires_at DESC, p.id LIMIT 1)"""
    ],
    Domain.ORDERS: [
        "DELETE FROM orders.stock_movements WHERE id = (SELECT min(id) FROM orders.stock_movements)",
        "UPDATE orders.audit_log SET actor = 'x' WHERE ctid = (SELECT min(ctid) FROM orders.audit_log)",
        "UPDATE orders.payments SET amount = amount + 0.01 WHERE id = (SELECT min(id) FROM orders.payments)",
    ],
    Domain.CATALOG: ["INSERT INTO catalog.brands (code, name) VALUES ('ZZZ', 'planted')"],
}


@pytest.fixture
def shop(source_db: SourceDatabase, new_store_db: Callable[[], StoreDatabase], tmp_path: Path) -> Iterator[Shop]:
    """A shop that streams into three stores."""
    opened = open_shop(source_db, {domain: new_store_db() for domain in Domain}, tmp_path, 4_000)
    try:
        opened.migration.ok("schema", "apply")
        opened.migration.start()
        opened.migration.wait_streaming()
        yield opened
    finally:
        opened.migration.close()


@pytest.mark.timeout(600)
def test_no_false_finding_under_traffic_and_every_planted_one_found(shop: Shop) -> None:
    migration = shop.migration
    with shop.traffic(rate=60):
        for mode in ("checksum", "rows", "counts"):
            done = migration.run("-o", "json", "verify", "--mode", mode)
            document = done.document()
            bad = [
                (table["plan_id"], table["why"], table["findings"])
                for table in document["tables"]
                if table["outcome"] != "pass"
            ]
            assert done.code == 0 and not bad, (mode, bad)
        for domain, statements in PLANTED.items():
            shop.stores[domain].execute(*statements)
        done = migration.run("-o", "json", "verify")
        document = done.document()
        found = {
            (table["plan_id"].rpartition(".")[2], finding["kind"])
            for table in document["tables"]
            for finding in table["findings"]
        }
        assert done.code == 5
        assert found == {
            ("page_views", "differs"), ("stock_movements", "missing"), ("audit_log", "missing"), ("audit_log", "extra"),
            ("payments", "differs"), ("brands", "extra"),
        }  # fmt: skip
        planned = migration.run("-o", "json", "repair", "--verify", str(document["run"]), "--dry-run").document()
        actions = {row["plan"].rpartition(".")[2]: row["action"] for row in planned["rows"]}
        assert actions == {
            "page_views": "update", "stock_movements": "insert", "payments": "update", "brands": "delete",
            "audit_log": "left",
        }  # fmt: skip
        mended = migration.run("-o", "json", "repair", "--verify", str(document["run"]))
        assert mended.code == 6, mended  # the table without a key is not mended
        assert all(row["proven"] for row in mended.document()["rows"] if row["action"] != "left"), mended
    for domain in (Domain.IDENTITY, Domain.CATALOG):
        migration.ok("verify", "--store", str(domain))
    again = migration.run("-o", "json", "verify", "--store", "orders").document()
    assert {table["plan_id"].rpartition(".")[2] for table in again["tables"] if table["outcome"] == "fail"} == {
        "audit_log"
    }

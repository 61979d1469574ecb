"""The daemon proves every row by itself, sees what goes wrong, tells it in the status, and feeds the cutover's gate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.retailcore.domains import Domain
from tests.support.servers import SOURCES, STORES, SourceDatabase, StoreDatabase, pairs
from tests.support.shop import Shop, open_shop


@pytest.fixture
def shop(source_db: SourceDatabase, new_store_db: Callable[[], StoreDatabase], tmp_path: Path) -> Iterator[Shop]:
    """A shop that streams, whose rows are to be proven every two minutes."""
    stores = {domain: new_store_db() for domain in Domain}
    opened = open_shop(source_db, stores, tmp_path, 2_000, verify="{period_s: 120, chunk_rows: 100}")
    try:
        opened.migration.ok("schema", "apply")
        opened.migration.start()
        opened.migration.wait_streaming()
        yield opened
    finally:
        opened.migration.close()


def proofs(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Proofs per table in a status."""
    return list(document["verification"]["tables"])


def all_proven(document: dict[str, Any]) -> bool:
    """Whether every table is proven whole, and the read model too."""
    found = proofs(document)
    wanted = {*(one["plan"] for one in document["tables"]), "read model>orders:orders.buyers"}
    return {one["plan"] for one in found} == wanted and all(one["complete"] for one in found)


@pytest.mark.slow
@pytest.mark.timeout(900)
# Three minutes a leg, of waiting for rounds; what differs between the flavours is tested where it lies.
@pytest.mark.parametrize(("source", "store"), pairs(SOURCES, STORES), indirect=True)
def test_everything_is_proven_and_what_goes_wrong_is_seen(shop: Shop) -> None:
    migration = shop.migration
    with shop.traffic(rate=4):
        document = migration.wait(all_proven, 300)
        assert sum(one["chunks"] for one in proofs(document)) > len(document["tables"])
        assert "proven 100.0 %" in migration.ok("status", "--tables").out
        assert migration.run("verify", "coverage", "--fail-on", "age>120,percent<100").code == 0
        assert migration.run("verify", "coverage", "--fail-on", "age>0").code == 7
        gates = migration.run("-o", "json", "cutover", "check", "catalog").document()["gates"]
        (gate,) = (one for one in gates if one["gate"] == "verified")
        assert gate["passed"], gate
        # A row at rest, planted behind the stream's back: found within a period, without anybody asking.
        shop.stores[Domain.CATALOG].execute(
            "UPDATE catalog.brands SET name = 'planted' WHERE code = (SELECT min(code) FROM catalog.brands)"
        )
        migration.wait(lambda status: any(one["chunks_differing"] for one in proofs(status)), 300)
        (found,) = migration.run("-o", "json", "verify", "findings").document()["findings"]
        assert (found["kind"], found["plan"].endswith("catalog.brands")) == ("differs", True)
        refused = migration.run("-o", "json", "cutover", "check", "catalog").document()["gates"]
        assert not next(one for one in refused if one["gate"] == "verified")["passed"]
        # Mended by the way; the daemon confirms it and proves the chunk anew.
        assert migration.run("repair").code == 0
        migration.wait(all_proven, 300)
        states = migration.run("-o", "json", "verify", "findings", "--state", "confirmed").document()["findings"]
        assert [one["id"] for one in states] == [found["id"]]
    migration.terminate()
    assert "no daemon runs" in migration.ok("status").out

"""SIGKILL at random moments of copy and stream, under traffic: it resumes by itself, nothing is lost, nothing twice."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from demo.retailcore.domains import Domain
from tests.support.servers import SourceDatabase, StoreDatabase
from tests.support.shop import open_shop


@pytest.mark.parametrize("kills", [3, pytest.param(12, marks=pytest.mark.slow)])
def test_a_killed_daemon_resumes(
    kills: int, source_db: SourceDatabase, new_store_db: Callable[[], StoreDatabase], tmp_path: Path
) -> None:
    rng = random.Random(kills)
    shop = open_shop(source_db, {domain: new_store_db() for domain in Domain}, tmp_path, rows=8_000 * min(kills, 10))
    migration = shop.migration
    migration.ok("schema", "apply")
    try:
        with shop.traffic():
            for number in range(kills):
                migration.start()
                # The first half dies early (start-up and copy), the second half while streaming.
                time.sleep(rng.uniform(0.8, 6.0) if number < kills / 2 else rng.uniform(3.0, 8.0))
                assert migration.daemon is not None
                assert migration.daemon.poll() is None, migration.log_tail()
                migration.kill()
            migration.start()
            migration.wait_streaming(300)
        migration.wait_caught_up(120)
        migration.ok("verify", "--mode", "checksum")
        shop.assert_invariants_agree()
        # No key: the only table where a change applied twice would not fall on its own row.
        query = "SELECT count(*), count(DISTINCT (t.*)::text) FROM orders.audit_log t"
        (applied,) = shop.stores[Domain.ORDERS].rows(query)
        (original,) = source_db.rows("SELECT count(*) FROM audit_log")
        assert applied[0] == original[0]
        assert migration.terminate() == 0
    finally:
        migration.close()

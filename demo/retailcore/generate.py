"""Fills RetailCore with rows: the same rows for the same seed and total, whatever server they go to."""

from __future__ import annotations

import time
from dataclasses import dataclass
from random import Random

from demo.retailcore import rows_catalog, rows_identity, rows_orders
from demo.retailcore.address import MysqlAddress
from demo.retailcore.bulk import BulkLoader
from demo.retailcore.moments import Moments
from demo.retailcore.sizes import Sizes

DEFAULT_ROWS = 500_000


@dataclass(frozen=True, slots=True)
class Generated:
    """What was loaded: rows by table, and the wall time in seconds."""

    rows: dict[str, int]
    seconds: float

    @property
    def total(self) -> int:
        """Rows over all tables."""
        return sum(self.rows.values())


def generate(address: MysqlAddress, rows: int = DEFAULT_ROWS, *, seed: int = 7, connections: int = 2) -> Generated:
    """Load exactly `rows` rows into the empty schema at `address`.

    Raises ValueError when `rows` is too small to spread over the tables, pymysql errors from the server.
    """
    sizes = Sizes.of(rows)
    started = time.monotonic()
    columns = rows_identity.COLUMNS | rows_catalog.COLUMNS | rows_orders.COLUMNS
    moments = Moments(Random(f"{seed}:moments"))
    with BulkLoader(address, columns, connections=connections) as loader:
        rows_identity.load_groups_and_staff(loader, sizes, Random(f"{seed}:staff"))
        rows_identity.load_users(loader, sizes, Random(f"{seed}:users"), moments)
        prices = rows_catalog.load_catalog(loader, sizes, Random(f"{seed}:catalog"), moments)
        rows_identity.load_sessions(loader, sizes, Random(f"{seed}:sessions"), moments)
        rows_orders.load_orders(loader, sizes, Random(f"{seed}:orders"), moments, prices)
        rows_orders.load_audit_log(loader, Random(f"{seed}:audit"), moments, max(0, rows - loader.total()))
    return Generated(rows=dict(loader.rows_by_table), seconds=time.monotonic() - started)

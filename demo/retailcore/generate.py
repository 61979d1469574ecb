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
COLUMNS = rows_identity.COLUMNS | rows_catalog.COLUMNS | rows_orders.COLUMNS
"""The columns that generated rows fill, by table."""


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
    started = time.monotonic()
    with BulkLoader(address, COLUMNS, connections=connections) as loader:
        fill(loader, Sizes.of(rows), seed)
    return Generated(rows=dict(loader.rows_by_table), seconds=time.monotonic() - started)


def fill(loader: BulkLoader, sizes: Sizes, seed: int) -> None:
    """Make all rows, table by table; the audit log takes what is left of the total."""
    moments = Moments(Random(f"{seed}:moments"))
    rows_identity.load_groups_and_staff(loader, sizes, Random(f"{seed}:staff"))
    rows_identity.load_users(loader, sizes, Random(f"{seed}:users"), moments)
    prices = rows_catalog.load_catalog(loader, sizes, Random(f"{seed}:catalog"), moments)
    rows_identity.load_sessions(loader, sizes, Random(f"{seed}:sessions"), moments)
    rows_orders.load_orders(loader, sizes, Random(f"{seed}:orders"), moments, prices)
    rows_orders.load_audit_log(loader, Random(f"{seed}:audit"), moments, max(0, sizes.total - loader.total()))

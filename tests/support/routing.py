"""An application that follows the routing table: the traffic of a domain goes where the control store says."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

from pydantic import SecretStr

from demo.retailcore.domains import Domain
from demo.retailcore.mapping import SCHEMAS
from demo.retailcore.mysql_orders import MysqlOrders
from demo.retailcore.postgres_orders import PostgresOrders
from demo.retailcore.tally import Report
from demo.retailcore.traffic import Traffic
from stores.control import domains
from stores.postgres import connect_store
from tests.support.shop import Shop

POLL_S = 0.02


def reroute(shop: Shop, traffic: Traffic, side: str) -> None:
    """Send the orders' traffic to one side."""
    if side == "stores":
        dsn = shop.stores[Domain.ORDERS].dsn
        traffic.reroute(Domain.ORDERS, lambda: PostgresOrders(dsn, SCHEMAS[Domain.ORDERS]))
    else:
        traffic.reroute(Domain.ORDERS, lambda: MysqlOrders(shop.address))


@contextmanager
def following(shop: Shop, traffic: Traffic) -> Iterator[None]:
    """Reroute the orders whenever the domain's side changes, until the end of the block."""
    stop = threading.Event()
    control = SecretStr(next(iter(shop.stores[domain] for domain in (Domain.CATALOG,))).dsn)

    def follow() -> None:
        side = "source"
        with closing(connect_store(control)) as connection:
            while not stop.wait(POLL_S):
                row = connection.execute("SELECT to_regclass('crossfade.domain_state') IS NOT NULL").fetchone()
                state = domains.read(connection, "retailcore", "orders") if row and row[0] else None
                if state is not None and state.side != side:
                    side = state.side
                    reroute(shop, traffic, side)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


TOKENS: dict[str, tuple[str, str]] = {
    "checkout": ("order", "order_no"),
    "refund": ("refunds", "refund_ref"),
    "restock": ("stock_movements", "movement_ref"),
}
"""Kind of operation → table and column that hold the tokens of acknowledged ones."""


def assert_acknowledged(shop: Shop, report: Report) -> int:
    """Every acknowledged transaction of the orders is there once on both sides; gives how many there were."""
    looked = 0
    with closing(shop.address.connect()) as source, closing(shop.stores[Domain.ORDERS].connect()) as store:
        for kind, (table, column) in TOKENS.items():
            tokens = list(report.tokens.get(kind, ()))
            looked += len(tokens)
            with source.cursor() as cursor:
                cursor.execute(f"SELECT `{column}` FROM `{table}`")
                here = [row[0] for row in cursor.fetchall()]
            there = [row[0] for row in store.execute(f'SELECT {column} FROM orders."{table}"').fetchall()]
            for side, found in (("source", here), ("store", there)):
                lost = set(tokens) - set(found)
                assert not lost, f"{side}: {kind} lost {sorted(lost)[:5]} of {len(tokens)}"
                assert len(found) == len(set(found)), f"{side}: {kind} doubled"
    return looked

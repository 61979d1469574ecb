"""Where a domain's traffic goes on each side: the monolith, or the domain's own store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from demo.retailcore.address import MysqlAddress
from demo.retailcore.domains import Domain
from demo.retailcore.mapping import SCHEMAS
from demo.retailcore.mysql_catalog import MysqlCatalog
from demo.retailcore.mysql_identity import MysqlIdentity
from demo.retailcore.mysql_orders import MysqlOrders
from demo.retailcore.postgres_catalog import PostgresCatalog
from demo.retailcore.postgres_identity import PostgresIdentity
from demo.retailcore.postgres_orders import PostgresOrders

_SOURCE: Final[dict[Domain, Callable[[MysqlAddress], Any]]] = {
    Domain.CATALOG: MysqlCatalog, Domain.IDENTITY: MysqlIdentity, Domain.ORDERS: MysqlOrders,
}  # fmt: skip
_STORE: Final[dict[Domain, Callable[[str, str], Any]]] = {
    Domain.CATALOG: PostgresCatalog, Domain.IDENTITY: PostgresIdentity, Domain.ORDERS: PostgresOrders,
}  # fmt: skip


def database_of(domain: Domain, side: str, address: MysqlAddress, dsn: str) -> Callable[[], Any]:
    """What makes the domain's database when `side` (source or stores) serves it; `dsn` is that of its store."""
    if side == "stores":
        return lambda: _STORE[domain](dsn, SCHEMAS[domain])
    return lambda: _SOURCE[domain](address)

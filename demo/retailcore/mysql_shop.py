"""The whole shop on the legacy server."""

from __future__ import annotations

from demo.retailcore.address import MysqlAddress
from demo.retailcore.mysql_catalog import MysqlCatalog
from demo.retailcore.mysql_identity import MysqlIdentity
from demo.retailcore.mysql_orders import MysqlOrders
from demo.retailcore.shop import Shop


def mysql_shop(address: MysqlAddress) -> Shop:
    """A shop whose three domains live in one MySQL database."""
    return Shop(
        catalog=lambda: MysqlCatalog(address),
        identity=lambda: MysqlIdentity(address),
        orders=lambda: MysqlOrders(address),
    )

"""Which domain each table of RetailCore belongs to; a domain is what is cut over together.

Stock is with the orders, not with the catalog: a checkout takes from it in the same transaction.
"""

from __future__ import annotations

from enum import StrEnum


class Domain(StrEnum):
    """The three parts the monolith is split into; each becomes one store."""

    CATALOG = "catalog"
    IDENTITY = "identity"
    ORDERS = "orders"


TABLES: dict[Domain, tuple[str, ...]] = {
    Domain.IDENTITY: (
        "group", "users", "user", "user_outlet", "addresses", "sessions", "page_views", "wallets",
        "wallet_entries",
    ),
    Domain.CATALOG: (
        "categories", "brands", "products", "product_prices", "product_images", "product_tags", "reviews",
        "product_specs",
    ),
    Domain.ORDERS: (
        "coupons", "order", "order_items", "payments", "refunds", "shipments", "stock", "stock_movements",
        "audit_log",
    ),
}  # fmt: skip
"""Tables by domain, parents before children within a domain."""

CROSS_DOMAIN_KEYS: tuple[tuple[str, str], ...] = (
    ("product_prices.group", "group.code"),
    ("reviews.user_id", "users.id"),
    ("order.user_id", "users.id"),
    ("order_items.product_id", "products.id"),
    ("stock.product_id", "products.id"),
)
"""Foreign keys of the legacy schema that cross a domain's border: none cascades, none exists in the stores."""

_DOMAIN_OF = {table: domain for domain, tables in TABLES.items() for table in tables}


def domain_of(table: str) -> Domain:
    """The domain of a table; KeyError when RetailCore has no such table."""
    return _DOMAIN_OF[table]


def all_tables() -> tuple[str, ...]:
    """Every base table of RetailCore, domain by domain."""
    return tuple(_DOMAIN_OF)

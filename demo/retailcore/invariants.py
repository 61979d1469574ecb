"""What must hold in the shop whatever moves it: plain SQL for MySQL and PostgreSQL that shares nothing with crossfade.

The first figure of every invariant counts violations and must be 0; the others are sums that must be equal on both
sides once the target has caught up. All figures are integers or exact decimals. No figure uses a column that the
mapping changes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, LiteralString

import psycopg
import pymysql
from psycopg import sql

from demo.retailcore.domains import Domain

Figures = tuple[Decimal | None, ...]
"""Violations first, then sums; None where SQL says NULL (the sum of no rows)."""

_TOKEN = re.compile(r"\{(\w+)\}|\[(\w+)\]")


@dataclass(frozen=True, slots=True)
class Invariant:
    """One rule. In `text`, {name} is a table and [name] a column that needs quoting."""

    name: str
    domain: Domain
    meaning: str
    text: LiteralString

    def mysql(self) -> str:
        """The statement for MySQL and MariaDB; the database is the connection's own."""
        return _TOKEN.sub(lambda found: f"`{found[1] or found[2]}`", self.text)

    def postgres(self, schema: str) -> sql.Composed:
        """The statement for a store whose tables live in `schema`."""
        parts: list[sql.Composable] = []
        end = 0
        for found in _TOKEN.finditer(self.text):
            parts.append(sql.SQL(self.text[end : found.start()]))
            parts.append(sql.Identifier(schema, found[1]) if found[1] else sql.Identifier(found[2]))
            end = found.end()
        parts.append(sql.SQL(self.text[end:]))
        return sql.Composed(parts)


@dataclass(frozen=True, slots=True)
class Disagreement:
    """An invariant whose figures differ between source and target."""

    name: str
    meaning: str
    source: Figures | None
    target: Figures | None


def measure_mysql(connection: pymysql.Connection[Any], domains: Iterable[Domain] = Domain) -> dict[str, Figures]:
    """All figures of the domains, in one consistent snapshot; ends any transaction the connection was in."""
    wanted = set(domains)
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT")
        try:
            measured = {}
            for invariant in INVARIANTS:
                if invariant.domain in wanted:
                    cursor.execute(invariant.mysql())
                    measured[invariant.name] = _figures(cursor.fetchone())
            return measured
        finally:
            connection.rollback()


def measure_postgres(
    connections: Mapping[Domain, psycopg.Connection[Any]], schemas: Mapping[Domain, str]
) -> dict[str, Figures]:
    """All figures of the domains given, each domain in one consistent snapshot of its store.

    The connections must not be inside a transaction.
    """
    measured = {}
    for domain, connection in connections.items():
        with connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            for invariant in INVARIANTS:
                if invariant.domain is domain:
                    row = connection.execute(invariant.postgres(schemas[domain])).fetchone()
                    measured[invariant.name] = _figures(row)
    return measured


def violated(measured: Mapping[str, Figures]) -> list[str]:
    """One line for each invariant that does not hold, empty when all do."""
    return [
        f"{invariant.name}: {measured[invariant.name][0]} violations ({invariant.meaning})"
        for invariant in INVARIANTS
        if invariant.name in measured and measured[invariant.name][0] != 0
    ]


def compare(source: Mapping[str, Figures], target: Mapping[str, Figures]) -> list[Disagreement]:
    """The invariants whose figures differ, or that only one side has measured."""
    return [
        Disagreement(invariant.name, invariant.meaning, source.get(invariant.name), target.get(invariant.name))
        for invariant in INVARIANTS
        if source.get(invariant.name) != target.get(invariant.name)
    ]


def _figures(row: Iterable[object] | None) -> Figures:
    if row is None:
        raise ValueError("an invariant must return one row")
    figures: list[Decimal | None] = []
    for value in row:
        if value is not None and not isinstance(value, (int, Decimal)):
            raise TypeError(f"an invariant must return exact numbers, not {value!r}")
        figures.append(None if value is None else Decimal(value))
    return tuple(figures)


INVARIANTS: tuple[Invariant, ...] = (
    Invariant(
        "order_total_is_sum_of_lines",
        Domain.ORDERS,
        "each order's total is the sum of its lines",
        "SELECT COUNT(CASE WHEN o.total <> COALESCE(i.total, 0) THEN 1 END), COUNT(*), SUM(o.total), SUM(i.total)"
        " FROM {order} o LEFT JOIN (SELECT order_id, SUM(line_total) AS total FROM {order_items} GROUP BY order_id) i"
        " ON i.order_id = o.id",
    ),
    Invariant(
        "order_paid_is_payments_less_refunds",
        Domain.ORDERS,
        "each order's paid amount is its payments less its refunds",
        "SELECT COUNT(CASE WHEN o.paid <> COALESCE(p.amount, 0) - COALESCE(r.amount, 0) THEN 1 END),"
        " SUM(o.paid), SUM(p.amount), SUM(r.amount), SUM(p.pieces), SUM(r.pieces) FROM {order} o"
        " LEFT JOIN (SELECT order_id, SUM(amount) AS amount, COUNT(*) AS pieces FROM {payments} GROUP BY order_id) p"
        " ON p.order_id = o.id"
        " LEFT JOIN (SELECT order_id, SUM(amount) AS amount, COUNT(*) AS pieces FROM {refunds} GROUP BY order_id) r"
        " ON r.order_id = o.id",
    ),
    Invariant(
        "order_has_its_lines",
        Domain.ORDERS,
        "each order has as many lines as it says, each line is quantity times price",
        "SELECT COUNT(CASE WHEN o.items_count <> COALESCE(i.pieces, 0) OR i.wrong > 0 THEN 1 END),"
        " SUM(o.items_count), SUM(i.pieces), SUM(i.qty) FROM {order} o LEFT JOIN"
        " (SELECT order_id, COUNT(*) AS pieces, SUM(qty) AS qty,"
        " COUNT(CASE WHEN line_total <> qty * unit_price THEN 1 END) AS wrong FROM {order_items} GROUP BY order_id) i"
        " ON i.order_id = o.id",
    ),
    Invariant(
        "refund_within_payment",
        Domain.ORDERS,
        "no payment is refunded beyond its amount, and every refund belongs to a payment of the same order",
        "SELECT COUNT(CASE WHEN r.amount > p.amount OR p.id IS NULL THEN 1 END), COUNT(*), SUM(r.amount)"
        " FROM (SELECT payment_id, order_id, SUM(amount) AS amount FROM {refunds} GROUP BY payment_id, order_id) r"
        " LEFT JOIN {payments} p ON p.id = r.payment_id AND p.order_id = r.order_id",
    ),
    Invariant(
        "stock_is_initial_plus_movements",
        Domain.ORDERS,
        "stock on hand is the first count plus all movements, and never negative",
        "SELECT COUNT(CASE WHEN s.on_hand <> s.initial_qty + COALESCE(m.qty, 0) OR s.on_hand < 0 THEN 1 END),"
        " COUNT(*), SUM(s.on_hand), SUM(s.initial_qty), SUM(m.qty), SUM(m.pieces) FROM {stock} s LEFT JOIN"
        " (SELECT warehouse, product_id, SUM(qty) AS qty, COUNT(*) AS pieces FROM {stock_movements}"
        " GROUP BY warehouse, product_id) m ON m.warehouse = s.warehouse AND m.product_id = s.product_id",
    ),
    Invariant(
        "goods_sold_left_the_stock",
        Domain.ORDERS,
        "all sale movements together are what all order lines took; cancelled lines came back",
        "SELECT ABS(i.qty + s.qty) + ABS(i.back - b.qty), i.qty, s.qty, b.qty FROM"
        " (SELECT COALESCE(SUM(l.qty), 0) AS qty, COALESCE(SUM(CASE WHEN o.cancelled = 1 THEN l.qty END), 0) AS back"
        " FROM {order_items} l JOIN {order} o ON o.id = l.order_id) i"
        " CROSS JOIN (SELECT COALESCE(SUM(qty), 0) AS qty FROM {stock_movements} WHERE kind = 'sale') s"
        " CROSS JOIN (SELECT COALESCE(SUM(qty), 0) AS qty FROM {stock_movements} WHERE kind = 'return') b",
    ),
    Invariant(
        "coupon_use_is_counted",
        Domain.ORDERS,
        "each coupon's counter is the number of orders that carry it, whatever it is called today",
        "SELECT COUNT(CASE WHEN c.used <> COALESCE(o.pieces, 0) THEN 1 END), COUNT(*), SUM(c.used), SUM(o.pieces)"
        " FROM {coupons} c LEFT JOIN (SELECT coupon_code, COUNT(*) AS pieces FROM {order}"
        " WHERE coupon_code IS NOT NULL GROUP BY coupon_code) o ON o.coupon_code = c.code",
    ),
    Invariant(
        "orders_have_no_orphans",
        Domain.ORDERS,
        "lines, payments, refunds, parcels and coupons belong to something that is there",
        "SELECT (SELECT COUNT(*) FROM {order_items} x LEFT JOIN {order} o ON o.id = x.order_id WHERE o.id IS NULL)"
        " + (SELECT COUNT(*) FROM {payments} x LEFT JOIN {order} o ON o.id = x.order_id WHERE o.id IS NULL)"
        " + (SELECT COUNT(*) FROM {order} o LEFT JOIN {coupons} c ON c.code = o.coupon_code"
        " WHERE o.coupon_code IS NOT NULL AND c.code IS NULL),"
        " (SELECT COUNT(*) FROM {shipments}), (SELECT SUM(parcel_no) FROM {shipments}),"
        " (SELECT SUM(tracking_hash) FROM {order}), (SELECT COUNT(*) FROM {order} WHERE user_id IS NULL)",
    ),
    Invariant(
        "audit_log_is_whole",
        Domain.ORDERS,
        "the table without a key has all its rows, equal ones too",
        "SELECT 0, COUNT(*), SUM(entity_id) FROM {audit_log}",
    ),
    Invariant(
        "wallet_is_sum_of_entries",
        Domain.IDENTITY,
        "each wallet's balance is the sum of its entries",
        "SELECT COUNT(CASE WHEN w.balance_cents <> COALESCE(e.cents, 0) THEN 1 END), COUNT(*),"
        " SUM(w.balance_cents), SUM(e.cents), SUM(e.pieces) FROM {wallets} w LEFT JOIN"
        " (SELECT user_id, SUM(amount_cents) AS cents, COUNT(*) AS pieces FROM {wallet_entries} GROUP BY user_id) e"
        " ON e.user_id = w.user_id",
    ),
    Invariant(
        "user_has_wallet_and_number",
        Domain.IDENTITY,
        "each user has one wallet and no half-exchanged customer number",
        "SELECT COUNT(CASE WHEN w.user_id IS NULL OR u.customer_no LIKE '~%' THEN 1 END), COUNT(*),"
        " COUNT(DISTINCT u.customer_no), SUM(u.logins), SUM(u.fingerprint) FROM {users} u"
        " LEFT JOIN {wallets} w ON w.user_id = u.id",
    ),
    Invariant(
        "session_counts_its_views",
        Domain.IDENTITY,
        "each session's counter is the number of its page views",
        "SELECT COUNT(CASE WHEN s.views <> COALESCE(v.pieces, 0) THEN 1 END), COUNT(*), SUM(s.views), SUM(v.pieces)"
        " FROM {sessions} s LEFT JOIN (SELECT session_id, COUNT(*) AS pieces FROM {page_views} GROUP BY session_id) v"
        " ON v.session_id = s.id",
    ),
    Invariant(
        "identity_has_no_orphans",
        Domain.IDENTITY,
        "what hangs on a user or a session went with it",
        "SELECT (SELECT COUNT(*) FROM {addresses} x LEFT JOIN {users} u ON u.id = x.user_id WHERE u.id IS NULL)"
        " + (SELECT COUNT(*) FROM {sessions} x LEFT JOIN {users} u ON u.id = x.user_id"
        " WHERE x.user_id IS NOT NULL AND u.id IS NULL)"
        " + (SELECT COUNT(*) FROM {page_views} x LEFT JOIN {sessions} s ON s.id = x.session_id WHERE s.id IS NULL)"
        " + (SELECT COUNT(*) FROM {users} x LEFT JOIN {users} u ON u.id = x.referrer_id"
        " WHERE x.referrer_id IS NOT NULL AND u.id IS NULL),"
        " (SELECT COUNT(*) FROM {addresses}), (SELECT COUNT(*) FROM {page_views}),"
        " (SELECT COUNT(*) FROM {sessions} WHERE user_id IS NULL)",
    ),
    Invariant(
        "category_counts_its_products",
        Domain.CATALOG,
        "each category's counter is the number of its products",
        "SELECT COUNT(CASE WHEN c.product_count <> COALESCE(p.pieces, 0) THEN 1 END), COUNT(*),"
        " SUM(c.product_count), SUM(p.pieces) FROM {categories} c LEFT JOIN"
        " (SELECT category_id, COUNT(*) AS pieces FROM {products} GROUP BY category_id) p ON p.category_id = c.id",
    ),
    Invariant(
        "product_price_is_latest_row",
        Domain.CATALOG,
        "each product's price is that of its latest retail price row",
        "SELECT COUNT(CASE WHEN r.amount IS NULL OR r.amount <> p.price THEN 1 END), COUNT(*), SUM(p.price),"
        " SUM(p.price_version), (SELECT SUM(amount) FROM {product_prices}) FROM {products} p"
        " LEFT JOIN {product_prices} r ON r.product_id = p.id AND r.[group] = 'RETAIL' AND r.version = p.price_version",
    ),
    Invariant(
        "product_codes_are_whole",
        Domain.CATALOG,
        "no product has a half-exchanged code or a brand that is not there",
        "SELECT COUNT(CASE WHEN p.sku LIKE '~%' OR (p.brand_code IS NOT NULL AND b.code IS NULL) THEN 1 END),"
        " COUNT(*), COUNT(DISTINCT p.sku), COUNT(DISTINCT p.brand_code), SUM(p.content_hash) FROM {products} p"
        " LEFT JOIN {brands} b ON b.code = p.brand_code",
    ),
    Invariant(
        "product_sums_its_reviews",
        Domain.CATALOG,
        "each product knows the number and the stars of its reviews",
        "SELECT COUNT(CASE WHEN p.review_count <> COALESCE(r.pieces, 0) OR p.stars_sum <> COALESCE(r.stars, 0)"
        " THEN 1 END), SUM(p.review_count), SUM(p.stars_sum), SUM(r.named) FROM {products} p LEFT JOIN"
        " (SELECT product_id, COUNT(*) AS pieces, SUM(stars) AS stars, COUNT(user_id) AS named FROM {reviews}"
        " GROUP BY product_id) r ON r.product_id = p.id",
    ),
    Invariant(
        "catalog_has_no_orphans",
        Domain.CATALOG,
        "what hangs on a product went with it",
        "SELECT (SELECT COUNT(*) FROM {product_prices} x LEFT JOIN {products} p ON p.id = x.product_id"
        " WHERE p.id IS NULL)"
        " + (SELECT COUNT(*) FROM {product_images} x LEFT JOIN {products} p ON p.id = x.product_id WHERE p.id IS NULL)"
        " + (SELECT COUNT(*) FROM {product_tags} x LEFT JOIN {products} p ON p.id = x.product_id WHERE p.id IS NULL)"
        " + (SELECT COUNT(*) FROM {product_specs} x LEFT JOIN {products} p ON p.id = x.product_id WHERE p.id IS NULL),"
        " (SELECT COUNT(*) FROM {product_images}), (SELECT COUNT(*) FROM {product_tags}),"
        " (SELECT COUNT(*) FROM {product_specs}), (SELECT SUM(revision) FROM {product_specs})",
    ),
)

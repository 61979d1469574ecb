"""RetailCore on every source of the run: schema, data, traffic, fence, lost connections, invariants on both sides."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from decimal import Decimal
from typing import Any

import psycopg
import pymysql
import pytest
from psycopg import sql

from demo.retailcore import invariants
from demo.retailcore.address import MysqlAddress
from demo.retailcore.domains import TABLES, Domain, domain_of
from demo.retailcore.generate import generate
from demo.retailcore.mapping import SCHEMAS
from demo.retailcore.mysql_shop import mysql_shop
from demo.retailcore.schema import create_database
from demo.retailcore.shop import Database, Shop
from demo.retailcore.traffic import Traffic, TrafficOptions
from servers import RunningServer

ROWS = 20_000
DATABASE = "retailcore_test"


def _wait_for(what: Callable[[], bool], seconds: float = 30.0) -> None:
    tick = threading.Event()
    for _ in range(int(seconds / 0.05)):
        if what():
            return
        tick.wait(0.05)
    raise AssertionError("waited in vain")


@pytest.fixture(scope="module")
def shop_address(source: RunningServer) -> Iterator[MysqlAddress]:
    """RetailCore with 20,000 rows on one of the source servers; tests of the module share it, one after the other."""
    server = MysqlAddress(source.host, source.port, source.user, source.password)
    with server.connect() as connection:
        create_database(connection, DATABASE)
    address = MysqlAddress(source.host, source.port, source.user, source.password, DATABASE)
    generated = generate(address, ROWS)
    assert generated.total == ROWS
    yield address
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("DROP DATABASE " + DATABASE)


@pytest.fixture
def connection(shop_address: MysqlAddress) -> Iterator[pymysql.Connection[Any]]:
    """A connection to the shop's database."""
    opened = shop_address.connect()
    yield opened
    opened.close()


def _value(connection: pymysql.Connection[Any], statement: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        row = cursor.fetchone()
    assert row is not None
    return row[0]


def _tokens_found(connection: pymysql.Connection[Any], table: str, column: str, tokens: tuple[str, ...]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM `{table}` WHERE `{column}` IN %s", (tokens or ("",),))
        row = cursor.fetchone()
    assert row is not None
    return int(row[0])


def test_generated_data_is_whole(connection: pymysql.Connection[Any]) -> None:
    assert invariants.violated(invariants.measure_mysql(connection)) == []
    counted = {table: _value(connection, f"SELECT COUNT(*) FROM `{table}`") for t in TABLES.values() for table in t}
    assert sum(counted.values()) == ROWS and min(counted.values()) > 0
    for child, parent in (
        ("reviews.user_id", "users.id"), ("order.user_id", "users.id"), ("order_items.product_id", "products.id"),
        ("stock.product_id", "products.id"), ("product_prices.group", "group.code"), ("users.group", "group.code"),
        ("categories.parent_id", "categories.id"), ("reviews.product_id", "products.id"),
    ):  # fmt: skip
        (table, column), (other, key) = child.split("."), parent.split(".")
        orphans = _value(
            connection,
            f"SELECT COUNT(*) FROM `{table}` c LEFT JOIN `{other}` p ON p.`{key}` = c.`{column}`"
            f" WHERE c.`{column}` IS NOT NULL AND p.`{key}` IS NULL",
        )
        assert orphans == 0, child


@pytest.mark.parametrize(
    "wart",
    [
        "SELECT COUNT(*) FROM users WHERE birth_date = '0000-00-00'",
        "SELECT COUNT(*) FROM users WHERE last_login = '0000-00-00 00:00:00'",
        "SELECT COUNT(*) FROM `user` WHERE last_seen = '0000-00-00 00:00:00'",
        "SELECT COUNT(*) FROM products WHERE content_hash > 9223372036854775807",
        "SELECT COUNT(*) FROM shipments WHERE parcel_no > 9223372036854775807",
        "SELECT COUNT(*) FROM products WHERE condition_grade = 5",
        "SELECT COUNT(*) FROM sessions WHERE RIGHT(HEX(id), 4) = '0000'",
        "SELECT COUNT(*) FROM sessions WHERE duration > '24:00:00'",
        "SELECT COUNT(*) FROM shipments WHERE transit < '00:00:00'",
        "SELECT COUNT(*) FROM users WHERE HEX(first_name) = '4A6F73E9'",
        "SELECT COUNT(*) FROM refunds WHERE HEX(reason) LIKE '%80'",
        "SELECT COUNT(*) FROM reviews WHERE HEX(body) LIKE 'F09F%'",
        "SELECT COUNT(*) FROM products WHERE attributes LIKE '%18446744073709551615%'",
        "SELECT COUNT(*) FROM products WHERE FIND_IN_SET('café', badges)",
        "SELECT COUNT(*) FROM users WHERE deleted = 1 AND deleted_at <> '0000-00-00 00:00:00'",
        "SELECT COUNT(*) FROM users WHERE member_since = 0",
    ],
)
def test_warts_arrive_in_the_tables(connection: pymysql.Connection[Any], wart: str) -> None:
    assert _value(connection, wart) > 0


def test_traffic_keeps_the_invariants_and_what_it_acknowledged(
    shop_address: MysqlAddress, connection: pymysql.Connection[Any]
) -> None:
    before = invariants.measure_mysql(connection)
    traffic = Traffic(mysql_shop(shop_address), TrafficOptions(rate=300))
    traffic.start()
    threading.Event().wait(5)
    report = traffic.stop()
    after = invariants.measure_mysql(connection)
    assert invariants.violated(after) == []
    assert invariants.compare(before, after), "nothing happened"
    assert report.total > 100 and report.windows == ()
    for kind, table, column in (
        ("checkout", "order", "order_no"),
        ("refund", "refunds", "refund_ref"),
        ("restock", "stock_movements", "movement_ref"),
    ):
        tokens = report.tokens[kind]
        assert tokens and _tokens_found(connection, table, column, tokens) == len(tokens), kind


def test_every_operation_works(shop_address: MysqlAddress, connection: pymysql.Connection[Any]) -> None:
    rare = (
        "purge_sessions", "rename_coupon", "replace_coupon", "rename_brand", "delete_user", "delete_product", "sign_up",
        "add_product", "swap_skus", "swap_customer_numbers", "retire_staff", "set_newsletter", "revise_specs",
        "annotate_orders", "mark_product", "mark_user", "cancel", "move_category", "edit_preferences", "write_review",
    )  # fmt: skip
    traffic = Traffic(mysql_shop(shop_address), TrafficOptions(rate=400, weights=dict.fromkeys(rare, 8.0)))
    wanted = {
        "view_page", "start_session", "log_in", "sign_up", "credit_wallet", "edit_preferences", "delete_user",
        "forget_reviewer", "mark_user", "swap_customer_numbers", "purge_sessions", "retire_staff", "set_newsletter",
        "checkout", "restock", "ship", "log", "cancel", "refund", "rename_coupon", "retire_coupon", "add_coupon",
        "annotate_orders", "change_price", "edit_attributes", "write_review", "move_category", "add_product",
        "swap_skus", "delete_product", "mark_product", "revise_specs", "rename_brand",
    }  # fmt: skip
    traffic.start()
    try:
        _wait_for(lambda: wanted <= set(traffic.report().acknowledged))
    finally:
        report = traffic.stop()
    assert wanted == set(report.acknowledged)
    assert invariants.violated(invariants.measure_mysql(connection)) == []


@pytest.fixture
def gate(connection: pymysql.Connection[Any]) -> Iterator[Callable[[bool], None]]:
    """A write fence on the orders domain, as triggers over a gate row; call it with True to close."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE gate (closed TINYINT NOT NULL) ENGINE=InnoDB")
        cursor.execute("INSERT INTO gate VALUES (0)")
        for table in TABLES[Domain.ORDERS]:
            for event in ("INSERT", "UPDATE", "DELETE"):
                cursor.execute(
                    f"CREATE TRIGGER gate_{table}_{event} BEFORE {event} ON `{table}` FOR EACH ROW BEGIN"
                    " DECLARE shut INT; SELECT closed INTO shut FROM gate LOCK IN SHARE MODE;"
                    " IF shut THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'closed'; END IF; END"
                )

    def turn(closed: bool) -> None:
        with connection.cursor() as cursor:
            cursor.execute("UPDATE gate SET closed = %s", (int(closed),))

    yield turn
    with connection.cursor() as cursor:
        for table in TABLES[Domain.ORDERS]:
            for event in ("INSERT", "UPDATE", "DELETE"):
                cursor.execute(f"DROP TRIGGER gate_{table}_{event}")
        cursor.execute("DROP TABLE gate")


def test_a_fence_is_waited_for_and_only_its_domain_stops(
    shop_address: MysqlAddress, connection: pymysql.Connection[Any], gate: Callable[[bool], None]
) -> None:
    traffic = Traffic(mysql_shop(shop_address), TrafficOptions(rate=300))
    traffic.start()
    try:
        _wait_for(lambda: traffic.report().acknowledged.get("checkout", 0) > 5)
        gate(True)
        held = _value(connection, "SELECT COUNT(*) FROM `order`")
        _wait_for(lambda: any(window.refusals > 10 for window in traffic.report().windows))
        others = traffic.report().acknowledged.get("log_in", 0)
        _wait_for(lambda: traffic.report().acknowledged.get("log_in", 0) > others + 5)
        assert _value(connection, "SELECT COUNT(*) FROM `order`") == held
        gate(False)
        _wait_for(lambda: all(window.seconds is not None for window in traffic.report().windows))
    finally:
        report = traffic.stop()
    (window,) = report.windows
    assert window.domain is Domain.ORDERS and window.seconds is not None and window.refusals > 10
    tokens = report.tokens["checkout"]
    assert _tokens_found(connection, "order", "order_no", tokens) == len(tokens)
    assert invariants.violated(invariants.measure_mysql(connection)) == []


def test_stop_ends_calls_that_hang_in_a_lock(
    shop_address: MysqlAddress, connection: pymysql.Connection[Any], gate: Callable[[bool], None]
) -> None:
    blocker = shop_address.connect(autocommit=False)
    blocker.begin()
    with blocker.cursor() as cursor:
        cursor.execute("UPDATE gate SET closed = 0, closed = 1")
    traffic = Traffic(mysql_shop(shop_address), TrafficOptions(rate=300))
    traffic.start()
    try:
        _wait_for(lambda: traffic.report().acknowledged.get("log_in", 0) > 10)
        assert "checkout" not in traffic.report().acknowledged, "orders wait for the gate's row"
    finally:
        traffic.stop(grace_s=0.1)
        blocker.rollback()
        blocker.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("traffic-")]
    assert invariants.violated(invariants.measure_mysql(connection)) == []


def test_lost_connections_lose_nothing(shop_address: MysqlAddress, connection: pymysql.Connection[Any]) -> None:
    opened: list[Database] = []

    def watched(connect: Callable[[], Any]) -> Callable[[], Any]:
        def open_one() -> Any:
            opened.append(connect())
            return opened[-1]

        return open_one

    shop = mysql_shop(shop_address)
    shop = Shop(watched(shop.catalog), watched(shop.identity), watched(shop.orders))
    traffic = Traffic(shop, TrafficOptions(rate=300))
    traffic.start()
    try:
        _wait_for(lambda: traffic.report().acknowledged.get("checkout", 0) > 5)
        for _ in range(3):
            for database in opened:
                database.abort()
            done = traffic.report().acknowledged["checkout"]
            _wait_for(lambda done=done: traffic.report().acknowledged["checkout"] > done + 3)  # type: ignore[misc]
    finally:
        report = traffic.stop()
    assert report.retries["Unavailable"] > 0
    tokens = report.tokens["checkout"]
    assert _tokens_found(connection, "order", "order_no", tokens) == len(tokens)
    assert invariants.violated(invariants.measure_mysql(connection)) == []


def test_a_broken_invariant_is_seen(shop_address: MysqlAddress, connection: pymysql.Connection[Any]) -> None:
    good = invariants.measure_mysql(connection)
    damage = {
        "order_paid_is_payments_less_refunds": "UPDATE payments SET amount = amount + 0.01 LIMIT 1",
        "order_total_is_sum_of_lines": "UPDATE `order` SET total = total + 0.01 LIMIT 1",
        "stock_is_initial_plus_movements": "UPDATE stock SET on_hand = on_hand + 1 LIMIT 1",
        "coupon_use_is_counted": "UPDATE `order` SET coupon_code = NULL WHERE coupon_code IS NOT NULL LIMIT 1",
        "wallet_is_sum_of_entries": "UPDATE wallets SET balance_cents = balance_cents - 1 LIMIT 1",
        "session_counts_its_views": "DELETE FROM page_views LIMIT 1",
        "category_counts_its_products": "UPDATE categories SET product_count = product_count + 1 LIMIT 1",
        "product_price_is_latest_row": "UPDATE products SET price = price + 1 LIMIT 1",
        "product_sums_its_reviews": "DELETE FROM reviews LIMIT 1",
        "product_codes_are_whole": "UPDATE products SET sku = '~x' LIMIT 1",
    }
    for name, statement in damage.items():
        # measured on the connection that did the damage, inside its transaction: nothing of it stays
        with connection.cursor() as cursor:
            connection.begin()
            cursor.execute(statement)
            (invariant,) = (invariant for invariant in invariants.INVARIANTS if invariant.name == name)
            cursor.execute(invariant.mysql())
            row = cursor.fetchone()
            connection.rollback()
        assert row is not None and row[0] > 0, name
    assert invariants.measure_mysql(connection) == good


_EXACT = {"tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "year"}
_BYTES = {"binary", "varbinary", "blob", "bit"}


@pytest.fixture(scope="module")
def stores(postgres15: RunningServer) -> Iterator[dict[Domain, psycopg.Connection[Any]]]:
    """Three databases of one PostgreSQL server."""
    with psycopg.connect(postgres15.dsn(), autocommit=True) as admin:
        for domain in Domain:
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(f"retailcore_{domain}")))
        with ExitStack() as stack:
            yield {
                domain: stack.enter_context(psycopg.connect(postgres15.dsn(f"retailcore_{domain}"), autocommit=True))
                for domain in Domain
            }
        for domain in Domain:
            admin.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(f"retailcore_{domain}")))


def test_both_sides_measure_the_same(
    connection: pymysql.Connection[Any], stores: dict[Domain, psycopg.Connection[Any]]
) -> None:
    for domain, store in stores.items():
        schema = sql.Identifier(SCHEMAS[domain])
        store.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(schema))
        store.execute(sql.SQL("CREATE SCHEMA {}").format(schema))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = DATABASE()"
            " AND table_name <> 'order_overview' ORDER BY table_name, ordinal_position"
        )
        columns: dict[str, list[tuple[str, str]]] = {}
        for table, column, kind in cursor.fetchall():
            columns.setdefault(table, []).append((column, kind))
        for table, described in columns.items():
            target = sql.Identifier(SCHEMAS[domain_of(table)], table)
            store = stores[domain_of(table)]
            store.execute(
                sql.SQL("CREATE TABLE {} ({})").format(
                    target,
                    sql.SQL(", ").join(
                        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL("numeric" if kind in _EXACT else "text"))
                        for name, kind in described
                    ),
                )
            )
            cursor.execute(
                "SELECT " + ", ".join(
                    f"HEX(`{name}`)" if kind in _BYTES else f"`{name}`" for name, kind in described
                ) + f" FROM `{table}`"
            )  # fmt: skip
            with store.cursor() as copying, copying.copy(sql.SQL("COPY {} FROM STDIN").format(target)) as copy:
                for row in cursor.fetchall():
                    copy.write_row([None if value is None else str(value) for value in row])
    source = invariants.measure_mysql(connection)
    target_figures = invariants.measure_postgres(stores, SCHEMAS)
    assert invariants.violated(target_figures) == []
    assert invariants.compare(source, target_figures) == []
    assert len(target_figures) == len(invariants.INVARIANTS)
    stores[Domain.ORDERS].execute(
        sql.SQL("UPDATE {} SET amount = amount + %s").format(sql.Identifier(SCHEMAS[Domain.ORDERS], "payments")),
        (Decimal("0.01"),),
    )
    disagreements = invariants.compare(source, invariants.measure_postgres(stores, SCHEMAS))
    assert [found.name for found in disagreements] == ["order_paid_is_payments_less_refunds"]

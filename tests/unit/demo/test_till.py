"""One transaction to its end: retries, doubt after a lost connection, fences, new routes, stop."""

from __future__ import annotations

import threading
from random import Random
from types import SimpleNamespace
from typing import Any

import pymysql
import pytest

from demo.retailcore import operations
from demo.retailcore.domains import Domain
from demo.retailcore.mysql_catalog import MysqlCatalog
from demo.retailcore.mysql_identity import MysqlIdentity
from demo.retailcore.mysql_orders import MysqlOrders
from demo.retailcore.mysql_session import shop_error, with_entry
from demo.retailcore.operations import OPERATIONS
from demo.retailcore.population import Pool
from demo.retailcore.shop import (
    AlreadyDone,
    CatalogDatabase,
    Conflict,
    Declined,
    IdentityDatabase,
    OrdersDatabase,
    Refused,
    ShopError,
    Unavailable,
)
from demo.retailcore.tally import Tally
from demo.retailcore.till import Routes, Till
from demo.retailcore.traffic import Traffic, TrafficOptions


class _Scripted:
    """A database that answers one call after the other as told; then everything succeeds."""

    def __init__(self, *answers: ShopError | None) -> None:
        self.answers = list(answers)
        self.calls = 0
        self.closed = False

    def do(self) -> None:
        self.calls += 1
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        pass


def _till(database: Any, stop: threading.Event | None = None) -> tuple[Till, Tally, Routes]:
    tally = Tally()
    routes = Routes({domain: (lambda: database) for domain in Domain})
    population: Any = SimpleNamespace()
    return Till("X", routes, population, tally, Random(1), stop or threading.Event()), tally, routes


def test_conflicts_and_lost_connections_are_tried_again() -> None:
    database = _Scripted(Conflict(), Unavailable(), None)
    till, tally, _ = _till(database)
    assert till.orders("checkout", lambda db: database.do(), token="T1")
    assert database.calls == 3
    assert tally.report().retries == {"Conflict": 1, "Unavailable": 1}
    assert tally.report().tokens == {"checkout": ("T1",)}


def test_found_done_after_a_lost_connection_counts_as_acknowledged() -> None:
    database = _Scripted(Unavailable(), AlreadyDone())
    till, tally, _ = _till(database)
    assert till.orders("checkout", lambda db: database.do(), token="T1")
    assert tally.report().acknowledged == {"checkout": 1}


def test_found_done_without_doubt_is_declined() -> None:
    database = _Scripted(Conflict(), AlreadyDone())
    till, tally, _ = _till(database)
    assert not till.orders("checkout", lambda db: database.do(), token="T1")
    assert (tally.report().acknowledged, tally.report().declined) == ({}, {"checkout": 1})


def test_rules_are_not_tried_again() -> None:
    database = _Scripted(Declined())
    till, tally, _ = _till(database)
    assert not till.orders("cancel", lambda db: database.do())
    assert (database.calls, tally.report().declined) == (1, {"cancel": 1})


def test_a_fence_is_waited_for_and_the_window_recorded() -> None:
    database = _Scripted(Refused(), Refused(), None)
    till, tally, _ = _till(database)
    assert till.identity("log_in", lambda db: database.do())
    (window,) = tally.report().windows
    assert (window.domain, window.refusals) == (Domain.IDENTITY, 2)
    assert window.seconds is not None


def test_a_refused_write_follows_the_new_route() -> None:
    old, new = _Scripted(), _Scripted()
    till, _, routes = _till(old)

    def work(database: Any) -> None:
        if database is old:
            routes.change(Domain.ORDERS, lambda: new)
            raise Refused
        database.do()

    assert till.orders("checkout", work)
    assert (new.calls, old.closed, new.closed) == (1, True, False)
    assert till.identity("log_in", lambda db: db.do())
    assert old.calls == 1, "the other domains stay where they are"


def test_stop_ends_a_refused_write() -> None:
    stop = threading.Event()
    database = _Scripted()
    till, tally, _ = _till(database, stop)

    def work(_: Any) -> None:
        database.calls += 1
        if database.calls == 3:
            stop.set()
        raise Refused

    assert not till.catalog("change_price", work)
    assert tally.report().abandoned == {"change_price": 1}
    assert till.read(lambda shop: 1) is None


def test_tokens_are_unique_and_fit_their_columns() -> None:
    till, _, _ = _till(_Scripted())
    tokens = [till.token("T") for _ in range(100)]
    assert len(set(tokens)) == 100
    assert len(f"T{'A1B2C3'}O0{1:06d}") <= 16, "customer_no is the narrowest column with a token"
    assert len(till.short_token("B")) == 12


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (pymysql.err.OperationalError(1213, "deadlock"), Conflict),
        (pymysql.err.OperationalError(1205, "lock wait"), Conflict),
        (pymysql.err.OperationalError(1644, "closed by the gate"), Refused),
        (pymysql.err.OperationalError(1290, "read only"), Refused),
        (pymysql.err.IntegrityError(1062, "duplicate"), AlreadyDone),
        (pymysql.err.IntegrityError(1451, "still referenced"), Declined),
        (pymysql.err.OperationalError(2013, "lost connection"), Unavailable),
        (pymysql.err.InterfaceError(0, ""), Unavailable),
        (ConnectionResetError("gone"), Unavailable),
        (pymysql.err.ProgrammingError(1064, "syntax"), type(None)),
        (KeyError("a bug"), type(None)),
    ],
)
def test_errors_of_the_driver(error: Exception, kind: type) -> None:
    assert type(shop_error(error)) is kind


def test_json_entries() -> None:
    assert with_entry(None, "a", "é") == '{"a": "é"}'
    assert with_entry('{"a": 1, "b": 18446744073709551615}', "a", "x") == '{"a": "x", "b": 18446744073709551615}'
    assert with_entry("[1]", "a", "x") == '{"before": [1], "a": "x"}'
    assert with_entry("null", "a", "x") == '{"before": null, "a": "x"}'


def test_pool() -> None:
    random = Random(1)
    pool = Pool([1, 2, 3], capacity=3)
    pool.add(4, random)
    assert len(pool) == 3 and pool.pick(random) is not None
    assert len({pool.take(random) for _ in range(3)}) == 3
    assert pool.take(random) is None and pool.pick(random) is None


def test_operations_use_every_write_of_every_domain() -> None:
    source = operations.__loader__.get_source(operations.__name__)  # type: ignore[union-attr]
    reads = {
        "close", "abort", "product_ids", "category_ids", "brand_codes", "prices", "user_ids", "staff_logins", "stocked",
        "coupon_codes", "order_numbers",
    }  # fmt: skip
    for protocol, implementation in (
        (CatalogDatabase, MysqlCatalog), (IdentityDatabase, MysqlIdentity), (OrdersDatabase, MysqlOrders),
    ):  # fmt: skip
        for name in {name for name in vars(protocol) if not name.startswith("_")}:
            assert callable(getattr(implementation, name))
            assert name in reads or f"db.{name}(" in source, f"{name} is never used"


def test_unknown_weights_are_refused() -> None:
    shop: Any = SimpleNamespace(catalog=_Scripted, identity=_Scripted, orders=_Scripted)
    known = {operation.run.__name__ for operation in OPERATIONS}
    assert len(known) == len(OPERATIONS)
    with pytest.raises(ValueError, match="check_out"):
        Traffic(shop, TrafficOptions(weights={"check_out": 1}))

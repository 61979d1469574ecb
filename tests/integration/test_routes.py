"""The routing table on a real control store: what readers may be told in which phase; every change is heard."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from config.settings import Settings
from cutover.domain import DomainPlan, domain_plan
from cutover.phases import MAY_SERVE, POINTS_OF_NO_RETURN, Phase
from cutover.readers import MAY_READ, Readers
from model.errors import Fenced, Refused, UsageError
from model.position import Flavour
from model.tables import ColumnDef, TableDef, TableId
from stores.control import daemons, domains, routes
from stores.control.domains import DomainState
from stores.control.migrations import prepare_control
from stores.control.routes import Route
from stores.postgres import PostgresConnection, connect_store
from tests.support.servers import StoreDatabase
from transforms.compile import compile_plan
from web.route_table import RouteTable

TABLE = TableDef(TableId("shop", "orders"), (ColumnDef("id", "int", "int(11)", nullable=False),), ("id",))


@dataclasses.dataclass
class Stores:
    """What the appliers would say."""

    lag_s: float | None = 0.2
    exact: bool = True
    parked: int = 0

    def lag_of(self, store: str) -> float | None:
        return self.lag_s

    def streams(self, plan_id: str) -> bool:
        return self.exact

    def parked_of(self, plan_id: str) -> int:
        return self.parked


@pytest.fixture
def settings(store_db: StoreDatabase) -> Settings:
    return Settings.model_validate(
        {
            "name": "shop",
            "source": {"engine": "mysql", "user": "u", "databases": ["shop"]},
            "stores": {"main": {"dsn": store_db.dsn}},
            "domains": {"orders": {"tables": ["orders"]}},
        }
    )


@pytest.fixture
def control(settings: Settings) -> Iterator[PostgresConnection]:
    with connect_store(settings.control_dsn) as connection:
        prepare_control(connection)
        yield connection


@pytest.fixture
def stores() -> Stores:
    return Stores()


@pytest.fixture
def readers(settings: Settings, control: PostgresConnection, stores: Stores) -> Readers:
    plan = compile_plan(settings, {TABLE.id: TABLE}, Flavour.MYSQL)
    plans: dict[str, DomainPlan] = {"orders": domain_plan(settings, "orders", plan, {TABLE.id: TABLE})}
    fence = daemons.register(control, "shop", "here", 1)
    return Readers(settings, plans, stores, fence)


def _enter(control: PostgresConnection, phase: Phase) -> DomainState:
    """The domain in a phase, on the side that serves in it."""
    domains.ensure(control, "shop", "orders", str(Phase.FOLLOWING))
    before = domains.read(control, "shop", "orders")
    assert before is not None
    after = dataclasses.replace(before, phase=str(phase), side=str(MAY_SERVE[phase]), epoch=before.epoch + 1)
    domains.move(control, before, after)
    return after


def _route(control: PostgresConnection) -> Route:
    found = routes.read(control, "shop", "orders")
    assert found is not None
    return found


@pytest.mark.parametrize("phase", list(Phase))
def test_every_phase_says_where_readers_may_be_sent(
    control: PostgresConnection, readers: Readers, phase: Phase
) -> None:
    _enter(control, phase)
    before = _route(control)
    for side in ("source", "stores"):
        if side in MAY_READ[phase]:
            found = readers.send(control, "orders", side, None, "ana")
            assert (found.reads, found.canary_percent) == (side, 0 if side == found.side else 100)
        else:
            with pytest.raises(Refused, match=str(phase)):
                readers.send(control, "orders", side, None, "ana")
    # Readers never change who takes the writes.
    assert (_route(control).side, _route(control).epoch) == (before.side, before.epoch)


def test_readers_are_never_sent_away_from_a_side_that_alone_is_current() -> None:
    for phase, sides in MAY_READ.items():
        assert sides in (frozenset(), frozenset({MAY_SERVE[phase]})) or phase in (Phase.FOLLOWING, Phase.PREPARED)


def test_a_canary_and_back(control: PostgresConnection, readers: Readers) -> None:
    _enter(control, Phase.PREPARED)
    assert readers.send(control, "orders", None, 10, "ana").canary_percent == 10
    assert _route(control).reads == "stores"
    assert readers.send(control, "orders", None, 25, "ana").canary_percent == 25
    found = readers.send(control, "orders", "source", None, "ana")
    assert (found.reads, found.canary_percent, found.reason) == ("source", 0, "by ana")


@pytest.mark.parametrize(("side", "percent"), [("moon", None), ("stores", 101), ("stores", -1), ("source", 10)])
def test_what_cannot_be_meant(control: PostgresConnection, readers: Readers, side: str, percent: int | None) -> None:
    _enter(control, Phase.PREPARED)
    before = _route(control)
    with pytest.raises(UsageError) as caught:
        readers.send(control, "orders", side, percent, "ana")
    assert caught.value.hint
    assert _route(control) == before
    with pytest.raises(UsageError, match="no domain"):
        readers.send(control, "users", "stores", None, "ana")


@pytest.mark.parametrize(
    ("change", "word"),
    [({"lag_s": 2.5}, "2.5 s behind"), ({"lag_s": None}, "unknown time"), ({"exact": False}, "does not stream"),
     ({"parked": 3}, "quarantine")],
)  # fmt: skip
def test_stores_that_are_not_close_are_no_place_to_read(
    control: PostgresConnection, readers: Readers, stores: Stores, change: dict[str, Any], word: str
) -> None:
    _enter(control, Phase.PREPARED)
    for name, value in change.items():
        setattr(stores, name, value)
    with pytest.raises(Refused, match=word):
        readers.send(control, "orders", "stores", 10, "ana")
    assert _route(control).reads == "source"


def test_readers_come_back_when_a_store_falls_behind_and_stay(
    control: PostgresConnection, readers: Readers, stores: Stores
) -> None:
    _enter(control, Phase.PREPARED)
    readers.send(control, "orders", "stores", None, "ana")
    stores.lag_s = 9.0  # more than what sends readers there, less than what brings them back
    readers.watch(control)
    assert _route(control).reads == "stores"
    stores.lag_s = 11.0
    readers.watch(control)
    assert (_route(control).reads, _route(control).canary_percent) == ("source", 0)
    assert "11.0 s behind" in _route(control).reason
    stores.lag_s = 0.0
    revision = _route(control).revision
    readers.watch(control)
    assert (_route(control).reads, _route(control).revision) == ("source", revision)


def test_readers_stay_with_the_writers_when_the_daemon_ends(control: PostgresConnection, readers: Readers) -> None:
    _enter(control, Phase.PREPARED)
    readers.send(control, "orders", "stores", 50, "ana")
    readers.withdraw(control)
    assert (_route(control).reads, _route(control).reason) == ("source", "the daemon ended")
    _enter(control, Phase.LIVE)
    readers.withdraw(control)
    assert _route(control).reads == "stores"


def test_a_displaced_daemon_sends_nobody(control: PostgresConnection, readers: Readers) -> None:
    _enter(control, Phase.PREPARED)
    daemons.register(control, "shop", "elsewhere", 2)
    with pytest.raises(Fenced):
        readers.send(control, "orders", "stores", None, "ana")


def test_the_epoch_rises_with_a_flip_alone_and_readers_go_along(control: PostgresConnection, readers: Readers) -> None:
    path = [Phase.PREPARED, Phase.CUTTING_OVER, Phase.ABORTING, Phase.PREPARED, Phase.CUTTING_OVER, Phase.SWITCHING,
            Phase.LIVE, Phase.ROLLING_BACK, Phase.RETURNING, Phase.PREPARED]  # fmt: skip
    _enter(control, Phase.FOLLOWING)
    seen = [(_route(control), Phase.FOLLOWING)]
    for phase in path:
        if phase is Phase.CUTTING_OVER:
            readers.send(control, "orders", "stores", 30, "ana")
        _enter(control, phase)
        seen.append((_route(control), phase))
    for (before, was), (after, phase) in pairwise(seen):
        assert after.revision > before.revision
        flipped = (was, phase) in POINTS_OF_NO_RETURN
        assert (after.epoch > before.epoch) == (after.side != before.side) == flipped
        if flipped:
            assert (after.reads, after.canary_percent) == (after.side, 0)
    assert seen[5][0].reads == "stores" and seen[5][0].side == "source"


def test_a_flip_wakes_who_waits(settings: Settings, control: PostgresConnection) -> None:
    _enter(control, Phase.CUTTING_OVER)
    table = RouteTable(settings.control_dsn, "shop")
    table.start()

    async def scenario() -> list[Route | None]:
        while table.age_s is None:
            await asyncio.sleep(0.01)
        now = table.get("orders")
        assert now is not None
        waiting = [
            asyncio.create_task(table.wait("orders", lambda route: route.epoch > now.epoch, 120.0)) for _ in range(50)
        ]
        await asyncio.sleep(0)
        await asyncio.to_thread(_enter, control, Phase.SWITCHING)
        return await asyncio.gather(*waiting)

    try:
        found = asyncio.run(scenario())
    finally:
        table.close()
    assert {route.side for route in found if route} == {"stores"}


def test_a_lost_connection_is_made_up_for(
    settings: Settings, control: PostgresConnection, store_db: StoreDatabase
) -> None:
    _enter(control, Phase.CUTTING_OVER)
    table = RouteTable(settings.control_dsn, "shop")
    table.start()

    async def scenario() -> Route | None:
        while table.age_s is None:
            await asyncio.sleep(0.01)
        store_db.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'crossfade routes' "
            "AND datname = current_database()"
        )
        _enter(control, Phase.SWITCHING)
        return await table.wait("orders", lambda route: route.side == "stores", 60.0)

    try:
        found = asyncio.run(scenario())
    finally:
        table.close()
    assert found is not None and found.side == "stores"


def test_who_waits_hears_of_what_the_end_has_changed(settings: Settings, control: PostgresConnection) -> None:
    _enter(control, Phase.CUTTING_OVER)
    table = RouteTable(settings.control_dsn, "shop")
    table.start()

    def end() -> None:
        _enter(control, Phase.SWITCHING)
        table.close()

    async def scenario() -> Route | None:
        while table.age_s is None:
            await asyncio.sleep(0.01)
        waiting = asyncio.create_task(table.wait("orders", lambda route: route.side == "stores", 120.0))
        await asyncio.sleep(0)
        await asyncio.to_thread(end)
        return await waiting

    found = asyncio.run(scenario())
    assert found is not None and found.side == "stores"


def test_closing_lets_everybody_go(settings: Settings, control: PostgresConnection) -> None:
    table = RouteTable(settings.control_dsn, "shop")
    table.start()

    async def scenario() -> Route | None:
        waiting = asyncio.create_task(table.wait("orders", lambda route: True, 250.0))
        await asyncio.sleep(0.05)
        await asyncio.to_thread(table.close)
        return await waiting

    assert asyncio.run(scenario()) is None

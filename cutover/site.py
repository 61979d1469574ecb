"""The servers of one domain as its steps use them: connections that are opened once and dropped after an error.

A step that failed is done again from its beginning with new connections; nothing here remembers what was done.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from config.settings import Settings
from cutover.consents import Consents
from cutover.domain import DomainPlan
from cutover.followers import Followers
from cutover.hooks import Hooks
from cutover.reverse_side import ReverseSide
from cutover.trips import Trips
from cutover.wal_rates import WalRates
from model.tables import TableDef, TableId
from stores.control import checkpoints
from stores.errors import translated
from stores.mysql import MysqlConnection, ServerInfo, connect_source
from stores.postgres import PostgresConnection, connect_store
from sync import slot_promise
from sync.mysql import reverse_tables
from sync.mysql.gate import SourceGate
from sync.postgres import slots
from sync.postgres.gate import StoreGate
from sync.postgres.value_guard import ValueGuard
from sync.slot_promise import SlotPromise

READ_TIMEOUT_S = 30.0


class Site:
    """For one thread."""

    def __init__(
        self,
        settings: Settings,
        domain: DomainPlan,
        info: ServerInfo,
        followers: Followers,
        reverse: ReverseSide,
        hooks: Hooks,
        tables: Mapping[TableId, TableDef] | None = None,
    ) -> None:
        """`tables`: every source table as the plan knows it."""
        self.tables = tables or {}
        self.consents = Consents.of(settings.domains[domain.name], {})
        """What the operator has accepted for the move that is asked for now."""
        self.wal_rates = WalRates()
        self.forward_trips = Trips()
        """Of a marker from the source to every store."""
        self.reverse_trips = Trips()
        """Of a message from every store to the source."""
        self.settings = settings
        self.domain = domain
        self.info = info
        self.followers = followers
        self.reverse = reverse
        self.hooks = hooks
        self._source: MysqlConnection[Any] | None = None
        self._passing: MysqlConnection[Any] | None = None
        self._replicas: dict[str, MysqlConnection[Any]] = {}
        self._stores: dict[str, PostgresConnection] = {}

    def twin(self) -> Site:
        """The same servers for another thread, with connections of its own; what was measured is shared."""
        other = Site(self.settings, self.domain, self.info, self.followers, self.reverse, self.hooks, self.tables)
        other.forward_trips, other.reverse_trips = self.forward_trips, self.reverse_trips
        other.wal_rates = self.wal_rates
        return other

    def source(self) -> MysqlConnection[Any]:
        """A connection that is treated like an application: it shows no pass. Raises Unreachable, AccessDenied."""
        if self._source is None or not self._source.open:
            self._source = connect_source(self.settings.source, read_timeout_s=READ_TIMEOUT_S)
        return self._source

    def passing(self) -> MysqlConnection[Any]:
        """A connection that is let through the closed gate. Raises Unreachable, AccessDenied."""
        if self._passing is None or not self._passing.open:
            self._passing = connect_source(self.reverse.source, read_timeout_s=READ_TIMEOUT_S)
        return self._passing

    def replica(self, address: str) -> MysqlConnection[Any]:
        """A connection to one of `source.replicas`. Raises Unreachable, AccessDenied."""
        known = self._replicas.get(address)
        if known is None or not known.open:
            known = connect_source(self.settings.source.of_replica(address), read_timeout_s=READ_TIMEOUT_S)
            self._replicas[address] = known
        return known

    def store(self, name: str) -> PostgresConnection:
        """A connection to a store. Raises Unreachable, AccessDenied."""
        known = self._stores.get(name)
        if known is None or known.closed:
            known = connect_store(self.settings.stores[name].dsn, application=f"crossfade cutover {self.domain.name}")
            self._stores[name] = known
        return known

    def gate(self) -> SourceGate:
        """The source's gate."""
        return SourceGate(self.source(), self.domain.name)

    def store_gate(self, name: str) -> StoreGate:
        """A store's gate; what it changes is bound to our fence in that store."""

        def still_ours(connection: PostgresConnection) -> None:
            checkpoints.hold_fence(connection, self.settings.name, self.followers.fence_of(name))

        return StoreGate(
            self.store(name), name, self.domain.name, self.domain.targets(name), self.domain.app_roles, still_ours
        )

    def slot_promise(self, store: str) -> SlotPromise:
        """A store's slot and what was written down of it."""
        name = slots.stream_name(self.settings.name, self.domain.name, store)
        dsn = self.settings.stores[store].dsn
        return slot_promise.read(self.source(), self.store(store), dsn, name, self.domain.name, store)

    def begin_anew(self, store: str, lsn: int, epoch: int) -> None:
        """What a store committed before `lsn` is settled: its slot is trusted from there on."""
        with translated(f"store {store}"):
            whose = slots.wal_origin(self.store(store))
        reverse_tables.begin_anew(self.source(), self.domain.name, store, lsn, epoch, whose)

    def value_guard(self, name: str) -> ValueGuard:
        """What keeps values out of a store that the source could not hold."""
        return ValueGuard(self.store(name), name, self.domain.name, self.domain.limits(name))

    def unguarded(self) -> tuple[str, ...]:
        """Tables of the stores, as `store: table`, that take values which the source could not hold."""
        return tuple(f"{store}: {table}" for store in self.domain.stores for table in self.value_guard(store).missing())

    def ungated(self) -> tuple[str, ...]:
        """Tables of the stores, as `store: table`, whose writers no gate could turn away."""
        return tuple(f"{store}: {table}" for store in self.domain.stores for table in self.store_gate(store).missing())

    def warm(self) -> None:
        """Open every connection anew, before time counts: one that was idle may have died with its server."""
        self.drop()
        self.source()
        self.passing()
        for name in self.domain.stores:
            self.store(name)
        for address in self.settings.source.replicas:
            self.replica(address)

    def drop(self) -> None:
        """Close every connection: after an error none of them is trusted."""
        for wire in (self._source, self._passing, *self._replicas.values()):
            if wire is not None:
                with contextlib.suppress(OSError):
                    wire._force_close()  # type: ignore[attr-defined]  # a polite close may hang on a dead link
        self._source = self._passing = None
        self._replicas.clear()
        for connection in self._stores.values():
            connection.close()
        self._stores.clear()

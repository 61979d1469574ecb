"""Runs one transaction to its end: tries again, waits at a closed fence, counts the outcome.

The route of a domain is looked up before every attempt, so a transaction that waits at the old server's fence goes to
the new one as soon as the traffic is rerouted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from random import Random
from typing import Any, TypeVar

from demo.retailcore.domains import Domain
from demo.retailcore.population import Population
from demo.retailcore.shop import (
    AlreadyDone,
    CatalogDatabase,
    Conflict,
    Database,
    Declined,
    IdentityDatabase,
    OrdersDatabase,
    Refused,
    Unavailable,
)
from demo.retailcore.tally import Tally

Result = TypeVar("Result")
_REFUSED_WAIT_S = 0.02
_LONGEST_WAIT_S = 1.0


class Routes:
    """Where each domain lives at present; the version tells threads when to connect anew."""

    def __init__(self, connect: dict[Domain, Callable[[], Any]]) -> None:
        self._lock = threading.Lock()
        self._routes = {domain: (0, factory) for domain, factory in connect.items()}

    def of(self, domain: Domain) -> tuple[int, Callable[[], Any]]:
        """Version and factory of a domain's route."""
        with self._lock:
            return self._routes[domain]

    def change(self, domain: Domain, connect: Callable[[], Any]) -> None:
        """Send everything of a domain to another database from the next attempt on."""
        with self._lock:
            self._routes[domain] = (self._routes[domain][0] + 1, connect)


class OpenShop:
    """The databases a thread has open, by domain; follows the routes."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes
        self._open: dict[Domain, tuple[int, Database]] = {}

    def database(self, domain: Domain) -> Any:
        """The domain's database on its present route."""
        version, connect = self._routes.of(domain)
        known = self._open.get(domain)
        if known is None or known[0] != version:
            if known is not None:
                known[1].close()
            known = (version, connect())
            self._open[domain] = known
        return known[1]

    @property
    def catalog(self) -> CatalogDatabase:
        """The catalog."""
        database: CatalogDatabase = self.database(Domain.CATALOG)
        return database

    def close(self) -> None:
        """Close whatever is open."""
        for _, database in self._open.values():
            database.close()

    def abort(self) -> None:
        """From another thread: break off whatever waits."""
        for _, database in list(self._open.values()):
            database.abort()


class Till:
    """What an operation works with; belongs to one thread."""

    def __init__(
        self, name: str, routes: Routes, population: Population, tally: Tally, random: Random, stop: threading.Event
    ) -> None:
        self.population = population
        self.random = random
        self.shop = OpenShop(routes)
        self._tally = tally
        self._stop = stop
        self._name = name
        self._numbers = count(1)

    def now(self) -> datetime:
        """The time in UTC, whole seconds, as the legacy columns hold it."""
        return datetime.now(UTC).replace(tzinfo=None, microsecond=0)

    def token(self, prefix: str) -> str:
        """A value that no other transaction of any run has."""
        return f"{prefix}{self._name}{next(self._numbers):06d}"

    def short_token(self, prefix: str) -> str:
        """The same for columns of twelve characters: unlikely to be met twice, no more."""
        return f"{prefix}{self.random.getrandbits(44):011X}"

    def catalog(self, kind: str, work: Callable[[CatalogDatabase], object], token: str | None = None) -> bool:
        """One write in the catalog domain; True when it was acknowledged."""
        return self._perform(kind, Domain.CATALOG, work, token)

    def identity(self, kind: str, work: Callable[[IdentityDatabase], object], token: str | None = None) -> bool:
        """One write in the identity domain; True when it was acknowledged."""
        return self._perform(kind, Domain.IDENTITY, work, token)

    def orders(self, kind: str, work: Callable[[OrdersDatabase], object], token: str | None = None) -> bool:
        """One write in the orders domain; True when it was acknowledged."""
        return self._perform(kind, Domain.ORDERS, work, token)

    def read(self, work: Callable[[OpenShop], Result]) -> Result | None:
        """A read, tried again until it succeeds; None when told to stop first."""
        wait = _REFUSED_WAIT_S
        while not self._stop.is_set():
            try:
                return work(self.shop)
            except (Conflict, Unavailable, Refused) as error:
                self._tally.retry(type(error).__name__)
                wait = self._pause(wait)
        return None

    def _perform(self, kind: str, domain: Domain, work: Callable[[Any], object], token: str | None) -> bool:
        first_attempt = time.monotonic()
        in_doubt = False
        wait = _REFUSED_WAIT_S
        while not self._stop.is_set():
            attempt = time.monotonic()
            try:
                work(self.shop.database(domain))
            except AlreadyDone:
                if not in_doubt:
                    self._tally.decline(kind)
                    return False
            except Declined:
                # After a lost connection a delete or key change may find its work done: not counted, not lost.
                self._tally.decline(kind)
                return False
            except Refused:
                self._tally.refuse(domain, attempt)
                self._stop.wait(_REFUSED_WAIT_S)
                continue
            except (Conflict, Unavailable) as error:
                in_doubt = in_doubt or isinstance(error, Unavailable)
                self._tally.retry(type(error).__name__)
                wait = self._pause(wait)
                continue
            self._tally.acknowledge(kind, domain, first_attempt, attempt, token)
            return True
        self._tally.abandon(kind)
        return False

    def _pause(self, wait: float) -> float:
        self._stop.wait(wait * (0.5 + self.random.random()))
        return min(wait * 2, _LONGEST_WAIT_S)

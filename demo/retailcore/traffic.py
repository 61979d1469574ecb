"""The shop's life: threads that do what customers and staff do, at a given rate, until told to stop.

Each domain has threads of its own, so a fence that stops one domain leaves the others at work.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from random import Random
from typing import Any

from demo.retailcore.domains import Domain
from demo.retailcore.operations import OPERATIONS, Operation
from demo.retailcore.population import Population
from demo.retailcore.shop import Shop
from demo.retailcore.tally import Report, Tally
from demo.retailcore.till import Routes, Till

_ARREARS_S = 1.0


@dataclass(frozen=True, slots=True)
class TrafficOptions:
    """How much traffic, and which."""

    rate: float = 200.0
    """Operations per second, all domains together; most are one transaction."""
    threads_per_domain: int = 2
    seed: int = 1
    weights: Mapping[str, float] = field(default_factory=dict)
    """Other weights for operations, by the name of their function; 0 leaves one out."""


class Traffic:
    """Traffic against a shop. Start once, stop once; counts may be read at any time, from any thread."""

    def __init__(self, shop: Shop, options: TrafficOptions | None = None) -> None:
        """Connects to nothing yet. Raises ValueError for a weight of an operation that there is not."""
        self._shop = shop
        self._options = options or TrafficOptions()
        self._operations = _weighted(self._options.weights)
        self._tally = Tally()
        self._stop = threading.Event()
        self._routes = Routes(
            {Domain.CATALOG: shop.catalog, Domain.IDENTITY: shop.identity, Domain.ORDERS: shop.orders}
        )
        self._tills: list[Till] = []
        self._threads: list[threading.Thread] = []
        self._failure: BaseException | None = None

    def start(self) -> None:
        """Read what there is to work with and begin. Raises ShopError when the shop cannot be read."""
        population = Population(self._shop)
        total = sum(operation.weight for operation in self._operations)
        run = secrets.token_hex(3).upper()
        for domain in Domain:
            own = [operation for operation in self._operations if operation.domain is domain]
            if not own:
                continue
            rate = self._options.rate * sum(operation.weight for operation in own) / total
            for number in range(self._options.threads_per_domain):
                till = Till(
                    f"{run}{domain[0]}{number}".upper(),
                    self._routes,
                    population,
                    self._tally,
                    Random(f"{self._options.seed}:{domain}:{number}"),
                    self._stop,
                )
                self._tills.append(till)
                self._threads.append(
                    threading.Thread(
                        target=self._work,
                        args=(till, own, self._options.threads_per_domain / rate),
                        name=f"traffic-{domain}-{number}",
                        daemon=True,
                    )
                )
        for thread in self._threads:
            thread.start()

    def reroute(self, domain: Domain, connect: Callable[[], Any]) -> None:
        """Send a domain's traffic elsewhere from the next attempt on; `connect` makes that domain's database."""
        self._routes.change(domain, connect)

    def report(self) -> Report:
        """What has been seen so far. Raises the error that ended a thread, if one did: that is a bug of the shop."""
        if self._failure is not None:
            raise self._failure
        return self._tally.report()

    def stop(self, grace_s: float = 1.0) -> Report:
        """End all threads at once: calls that still wait in a database after `grace_s` seconds are broken off."""
        self._stop.set()
        deadline = time.monotonic() + grace_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        for till, thread in zip(self._tills, self._threads, strict=True):
            if thread.is_alive():
                till.shop.abort()
        for thread in self._threads:
            thread.join()
        return self.report()

    def _work(self, till: Till, operations: list[Operation], interval_s: float) -> None:
        sums = list(accumulate(operation.weight for operation in operations))
        due = time.monotonic() + till.random.random() * interval_s
        try:
            while not self._stop.wait(max(0.0, due - time.monotonic())):
                (operation,) = till.random.choices(operations, cum_weights=sums)
                operation.run(till)
                due = max(due + interval_s, time.monotonic() - _ARREARS_S)
        except BaseException as error:
            self._failure = error
            self._stop.set()
            raise
        finally:
            till.shop.close()


def _weighted(weights: Mapping[str, float]) -> list[Operation]:
    """The operations with the given weights; ValueError for a name that is none."""
    names = {operation.run.__name__ for operation in OPERATIONS}
    unknown = sorted(set(weights) - names)
    if unknown:
        raise ValueError(f"no such operation: {', '.join(unknown)} (there are: {', '.join(sorted(names))})")
    chosen = [
        Operation(operation.domain, weights.get(operation.run.__name__, operation.weight), operation.run)
        for operation in OPERATIONS
    ]
    return [operation for operation in chosen if operation.weight > 0]

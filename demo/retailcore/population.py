"""What the traffic knows to exist: samples read once at the start, and what the traffic made itself since."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from random import Random
from typing import Generic, TypeVar

from demo.retailcore.shop import Shop

_SAMPLE = 5_000
_REMEMBERED = 2_000

T = TypeVar("T")


class Pool(Generic[T]):
    """A bounded bag shared by threads; when it is full, a new thing takes the place of a random one."""

    def __init__(self, things: Iterable[T] = (), *, capacity: int = _SAMPLE) -> None:
        self._things = list(things)
        self._capacity = capacity
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._things)

    def add(self, thing: T, random: Random) -> None:
        """Put a thing in."""
        with self._lock:
            if len(self._things) < self._capacity:
                self._things.append(thing)
            else:
                self._things[random.randrange(self._capacity)] = thing

    def pick(self, random: Random) -> T | None:
        """Any thing, left in place; None when there is none."""
        with self._lock:
            return random.choice(self._things) if self._things else None

    def take(self, random: Random) -> T | None:
        """Any thing, taken out, so that no other thread has it; None when there is none."""
        with self._lock:
            if not self._things:
                return None
            place = random.randrange(len(self._things))
            self._things[place], self._things[-1] = self._things[-1], self._things[place]
            return self._things.pop()


class Population:
    """The pools of one shop."""

    def __init__(self, shop: Shop) -> None:
        """Read samples; raises ShopError when a database cannot be read."""
        catalog, identity, orders = shop.catalog(), shop.identity(), shop.orders()
        try:
            self.products: Pool[int] = Pool(catalog.product_ids(_SAMPLE))
            self.categories: Pool[int] = Pool(catalog.category_ids(500))
            self.brands: Pool[str] = Pool(catalog.brand_codes(500))
            self.users: Pool[int] = Pool(identity.user_ids(_SAMPLE))
            self.staff: Pool[str] = Pool(identity.staff_logins(500))
            self.stocked: Pool[tuple[int, int]] = Pool(orders.stocked(_SAMPLE))
            self.coupons: Pool[str] = Pool(orders.coupon_codes(1_000))
            self.orders: Pool[str] = Pool(orders.order_numbers(_REMEMBERED), capacity=_REMEMBERED)
        finally:
            for database in (catalog, identity, orders):
                database.close()
        self.sessions: Pool[bytes] = Pool(capacity=500)
        self.new_users: Pool[int] = Pool(capacity=500)
        """Users that this traffic signed up and that have no orders: these may be deleted for good."""
        self.new_products: Pool[int] = Pool(capacity=500)
        """Products that this traffic added and never put on stock: these may be deleted for good."""

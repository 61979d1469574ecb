"""The shares of a routed table: which store takes which values. Its filters are for `transforms.routes`."""

from __future__ import annotations

from dataclasses import dataclass

from config.reshaping import Route


@dataclass(frozen=True, slots=True)
class Share:
    """One store's share of a routed table."""

    by: str
    store: str
    values: tuple[str, ...]
    """Values whose rows it takes."""
    others: tuple[str, ...] | None = None
    """When it takes every other value too: the values of all other stores."""
    strict: bool = False
    """Whether a value that is nobody's is refused here."""


def shares_of(route: Route) -> tuple[Share, ...]:
    """One share per store, in the order of the rule."""
    stores = list(dict.fromkeys([*route.to.values(), *([route.otherwise] if route.otherwise else [])]))
    last = route.otherwise or stores[0]
    shares = []
    for store in stores:
        values = tuple(value for value, owner in route.to.items() if owner == store)
        others = tuple(value for value, owner in route.to.items() if owner != store) if store == last else None
        shares.append(Share(route.by, store, values, others, strict=store == last and route.otherwise is None))
    return tuple(shares)

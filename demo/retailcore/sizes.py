"""How many rows of each kind make up RetailCore for a wished total; audit_log takes what rounding leaves."""

from __future__ import annotations

from dataclasses import dataclass

SMALLEST_TOTAL = 2_000


@dataclass(frozen=True, slots=True)
class Sizes:
    """Counts of the entities that others hang on."""

    total: int
    staff: int
    categories: int
    brands: int
    coupons: int
    products: int
    users: int
    sessions: int
    orders: int

    @classmethod
    def of(cls, total: int) -> Sizes:
        """Sizes for `total` rows over all tables; ValueError below SMALLEST_TOTAL."""
        if total < SMALLEST_TOTAL:
            raise ValueError(f"RetailCore needs at least {SMALLEST_TOTAL} rows, not {total}")
        return cls(
            total=total,
            staff=min(400, max(8, total // 5_000)),
            categories=min(400, max(12, total // 5_000)),
            brands=min(250, max(10, total // 5_000)),
            coupons=min(1_000, max(8, total // 2_000)),
            products=max(20, total // 100),
            users=total // 25,
            sessions=total // 20,
            orders=total * 7 // 100,
        )

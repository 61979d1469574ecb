"""Weighted sums of hashes: the sums of a leaf in which one row differs tell which, so that its rows need no reading.

Each row's hash counts as often as its place in the leaf says. Where one row differs, the difference of the two sums is
a multiple of that row's weight and hardly ever of another's. What is guessed so is proven with the row's own hashes;
a leaf that the guess does not explain to the last digit has more than one difference. No I/O.
"""

from __future__ import annotations

from typing import Final

DROPPED_BITS: Final = 8
"""Of a hash of 60 bits: 52 bits times a weight below 1536 stay within a BIGINT of either server."""
BASE: Final = 1024
"""Weight of a leaf's first row; so large that a difference is seldom a multiple of two of a leaf's weights."""
MOST_VALUES: Final = 512
"""Values of the key column in a leaf, at most: weights stay positive for negative values, and below 1536."""


def weighted_sql(row_hash: str, place: str) -> str:
    """What a row adds to its leaf's sum, in the SQL of either server; `place` is that of its value in the leaf."""
    return f"(({row_hash}) >> {DROPPED_BITS}) * ({place} + {BASE})"


def weighted_hash(row_hash: int, place: int) -> int:
    """The same here."""
    return (row_hash >> DROPPED_BITS) * (place + BASE)


def guessed_places(difference: int, first: int, last: int) -> list[int]:
    """Places from `first` to `last` where one row alone could make a difference of two weighted sums."""
    if not difference:
        return []
    return [place for place in range(first, last + 1) if difference % (place + BASE) == 0]

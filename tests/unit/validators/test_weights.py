"""Weighted sums: one differing row is always among the guesses, and others seldom are."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, cast

from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.validators.test_record import plan_of
from transforms.plan import TablePlan
from validators.leaves import Leaves, differing
from validators.localise import Reading, candidates, guessed
from validators.spans import Span
from validators.weights import BASE, MOST_VALUES, weighted_hash

HASHES = st.integers(0, (1 << 60) - 1)


@given(st.integers(-(2**40), 2**40), st.integers(1, MOST_VALUES), HASHES, st.none() | HASHES)
def test_the_one_row_that_differs_is_guessed(value: int, divisor: int, here: int, there: int | None) -> None:
    leaves = Leaves("id", "id", divisor, weighted=True)
    difference = (0 if there is None else leaves.share(value, there)) - leaves.share(value, here)
    guesses = leaves.guesses(leaves.of(value, 0), difference)
    assert value in guesses if difference else guesses == []
    assert {leaves.of(guess, 0) for guess in guesses} <= {leaves.of(value, 0)}


@given(HASHES, st.integers(1 - MOST_VALUES, MOST_VALUES - 1))
def test_what_a_row_adds_fits_a_signed_bigint(row_hash: int, place: int) -> None:
    assert place + BASE > 0
    assert 0 <= weighted_hash(row_hash, place) < 1 << 63


def test_guesses_are_few() -> None:
    leaves = Leaves("id", "id", 10, weighted=True)
    spread = [(number * 0x9E3779B97F4A7C15) % (1 << 60) for number in range(1, 2001)]
    guessed = sum(len(leaves.guesses(5, leaves.share(53, row_hash))) for row_hash in spread)
    assert 2000 <= guessed < 2100


@dataclass(frozen=True)
class Side:
    """Rows of one side by the value of their key: what the conditions ask for is listed in them."""

    plan: TablePlan
    rows: dict[int, int]

    def hashes(self, *conditions: object) -> list[tuple[tuple[bytes], int]]:
        asked = next(text for text in conditions if isinstance(text, str) and " IN (" in text)
        wanted = {int(number) for number in re.findall(r"-?\d+", asked.partition(" IN (")[2].partition(")")[0])}
        return [((str(value).encode(),), row_hash) for value, row_hash in self.rows.items() if value in wanted]

    def read_key(self, read: tuple[bytes]) -> tuple[bytes]:
        return read


ROWS = st.dictionaries(st.integers(-30, 30), st.integers(0, 40), max_size=12).map(
    lambda rows: {value: (number * 64 + value + 30) << 8 for value, number in rows.items()}  # a hash knows its key
)


@given(ROWS, ROWS, st.integers(1, 12))
@example({}, {51: 1030 << 8, 52: 2 << 8}, 20)  # 1030 * 1035 + 2 * 1036 is a multiple of 1034, the weight of 50
def test_a_guess_that_does_not_explain_the_sum_is_dropped(here: dict[int, int], there: dict[int, int], d: int) -> None:
    """Hashes are small here, so that many a difference of several rows is a multiple of some other's weight."""
    plan = plan_of("integer", key=(0,))
    leaves = Leaves("c0", "c0", d, weighted=True)
    digests = []
    for rows in (here, there):
        sums: dict[int, tuple[int, int]] = {}
        for value, row_hash in rows.items():
            number, total = sums.get(leaves.of(value, 0), (0, 0))
            sums[leaves.of(value, 0)] = (number + 1, total + leaves.share(value, row_hash))
        digests.append(sums)
    group = differing(*digests)
    with ThreadPoolExecutor(1) as executor:
        sides = cast(Any, (Side(plan, here), Side(plan, there)))
        keys, rest = guessed(Reading(*sides, leaves, Span(), executor), group, digests[0], digests[1])
    assert set(rest) <= set(group)
    for leaf in set(group) - set(rest):
        # What is explained adds up: it may be more than one row, and never leaves a part of the sum to others.
        named = {int(key) for (key,) in keys if key is not None and leaves.of(int(key), 0) == leaf}
        assert named
        left = digests[1].get(leaf, (0, 0))[1] - digests[0].get(leaf, (0, 0))[1]
        left -= sum(leaves.share(value, there[value]) for value in named if value in there)
        left += sum(leaves.share(value, here[value]) for value in named if value in here)
        assert left == 0


def test_guesses_of_leaves_with_many_rows_are_read_a_few_at_a_time() -> None:
    """Where the column is a part of the key each value has as many rows as its leaf: all at once would be the table."""
    asked: list[int] = []

    class Counting(Side):
        def hashes(self, *conditions: object) -> list[tuple[tuple[bytes], int]]:
            found = super().hashes(*conditions)
            asked.append(len(found))
            return found

    plan = plan_of("integer", key=(0,))
    leaves = Leaves("c0", "c0", 1, weighted=True)
    here, there = ({value: (value << 16) + (side << 8) for value in range(1, 11)} for side in (1, 2))
    digests = [{value: (15_000, leaves.share(value, h)) for value, h in rows.items()} for rows in (here, there)]
    sides = cast(Any, (Counting(plan, here), Counting(plan, there)))
    groups = candidates(*sides, leaves, differing(*digests), digests[0], digests[1], Span())
    assert sorted(int(key or 0) for group in groups for (key,) in group) == list(range(1, 11))
    assert max(asked) == 2

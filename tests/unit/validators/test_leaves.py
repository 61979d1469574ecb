"""Leaves: every key is in one leaf, conditions cover exactly the chosen leaves, digests that differ are named."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.validators.test_record import plan_of
from validators.count_check import tails
from validators.keyless_check import _minus, _present
from validators.leaves import KeyRange, Leaves, batches, cut, differing, merged
from validators.localise import unequal_hashes
from validators.spans import Span
from validators.touched import Touched


@given(st.integers(-(2**63), 2**64 - 1), st.integers(1, 10**6))
def test_a_key_is_in_the_range_of_its_leaf(value: int, divisor: int) -> None:
    leaves = Leaves("id", "id", divisor)
    low, high = leaves.range_of(leaves.of(value, 0))
    assert low <= value <= high
    # As the servers divide: towards zero.
    assert leaves.of(value, 0) == (abs(value) // divisor) * (1 if value >= 0 else -1)


@given(st.sets(st.integers(-30, 30)), st.integers(1, 7))
def test_ranges_cover_the_chosen_leaves_and_no_others(chosen: set[int], divisor: int) -> None:
    leaves = Leaves("id", "id", divisor)
    ranges = merged(leaves.range_of(leaf) for leaf in sorted(chosen))
    covered = {value for low, high in ranges for value in range(low, high + 1)}
    assert covered == {value for value in range(-300, 300) if leaves.of(value, 0) in chosen}


DIGESTS = st.dictionaries(st.integers(0, 5), st.tuples(st.integers(1, 3), st.integers(0, 3)))


@given(DIGESTS, DIGESTS)
def test_a_leaf_differs_when_count_or_sum_differ_or_one_side_lacks_it(
    one: dict[int, tuple[int, int]], other: dict[int, tuple[int, int]]
) -> None:
    assert differing(one, other) == sorted(leaf for leaf in one | other if one.get(leaf) != other.get(leaf))


def test_a_key_that_is_too_coarse_is_not_cut_by() -> None:
    plan = plan_of("integer", "integer", key=(0, 1))
    coarse, fine = KeyRange(0, 1, 3), KeyRange(1, 1, 100_000)
    assert cut(plan, 100_000, [coarse, fine], 100).source_column == "c1"
    assert cut(plan, 100_000, [coarse], 100) == Leaves(None, None, 1024)
    assert cut(plan, 100_000, [KeyRange(0, 1, 10**12)], 100).divisor == 10**9
    assert cut(plan, 0, [], 100) == Leaves(None, None, 1)


@given(st.dictionaries(st.integers(0, 2000), st.integers(0, 300)), st.integers(1, 500))
def test_batches_hold_every_leaf_once_and_stay_small(sizes: dict[int, int], most: int) -> None:
    groups = [list(group) for group in batches(sorted(sizes), sizes, most)]
    assert [leaf for group in groups for leaf in group] == sorted(sizes)
    assert all(sum(sizes[leaf] for leaf in group[:-1]) < most for group in groups)


def test_counts_may_differ_by_a_tail_of_the_changes_only() -> None:
    assert tails(Touched(nets=[(1, 5), (2, -1), (3, 2)])) == {0, 2, 1, 6}
    assert tails(Touched()) == {0}


@given(st.lists(st.dictionaries(st.integers(0, 3), st.sampled_from([-1, 1])), max_size=5), st.integers(0, 5))
def test_what_came_and_went_after_a_reading_is_a_tail(moves: list[dict[int, int]], start: int) -> None:
    difference: Counter[int] = Counter()
    for moved in moves[start:]:
        difference.update(moved)
    rest = _present(difference)
    for moved in reversed(moves[start:]):
        rest = _present(_minus(rest, Counter(moved)))
    assert not rest


def test_an_unsigned_column_is_asked_for_no_negative_number() -> None:
    signed, unsigned = (Leaves("c0", "c0", 10, unsigned=flag) for flag in (False, True))
    assert _asked(signed, Span()) == (
        "(`c0` BETWEEN -9 AND 9 OR `c0` BETWEEN 20 AND 29) AND 1 = 1",
        '("c0" BETWEEN -9 AND 9 OR "c0" BETWEEN 20 AND 29) AND true',
    )
    # The store's column may hold one all the same, and its row is in the leaf.
    assert _asked(unsigned, Span()) == (
        "(`c0` BETWEEN 0 AND 9 OR `c0` BETWEEN 20 AND 29) AND 1 = 1",
        '("c0" BETWEEN -9 AND 9 OR "c0" BETWEEN 20 AND 29) AND true',
    )


def test_ranges_are_cut_to_a_span_of_their_own_column() -> None:
    leaves = Leaves("c0", "c0", 10)
    assert _asked(leaves, Span("c0", 5, 22)) == (
        "(`c0` BETWEEN 5 AND 9 OR `c0` BETWEEN 20 AND 22)",
        '("c0" BETWEEN 5 AND 9 OR "c0" BETWEEN 20 AND 22)',
    )
    assert _asked(leaves, Span("c0", None, 22))[1] == '("c0" BETWEEN -9 AND 9 OR "c0" BETWEEN 20 AND 22)'
    assert _asked(leaves, Span("c1", 5, None))[1] == ('("c0" BETWEEN -9 AND 9 OR "c0" BETWEEN 20 AND 29) AND "c1" >= 5')


def _asked(leaves: Leaves, span: Span) -> tuple[str, str]:
    return leaves.conditions([0, 2], ("", ""), plan_of("integer", "integer", key=(0, 1)), span)


@given(st.lists(st.integers(0, 5)), st.lists(st.integers(0, 5)))
def test_hashes_are_unequal_when_one_side_has_them_more_often(source: list[int], target: list[int]) -> None:
    unequal = unequal_hashes(source, target)
    assert all((source.count(one) != target.count(one)) == (one in unequal) for one in range(6))

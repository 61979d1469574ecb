"""The phases of a domain: over all pairs, never two sides, never stuck, never back over a point of no return."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutover.phases import MAY_SERVE, POINTS_OF_NO_RETURN, STABLE, TRANSITIONS, Phase, Side, moved
from model.errors import CrossfadeError


@pytest.mark.parametrize(("before", "after"), list(product(Phase, Phase)))
def test_every_pair(before: Phase, after: Phase) -> None:
    if before is after or after in TRANSITIONS[before]:
        assert moved(before, after) is after
    else:
        with pytest.raises(CrossfadeError, match=f"from {before} to {after}"):
            moved(before, after)
    changes_side = after in TRANSITIONS[before] and MAY_SERVE[before] is not MAY_SERVE[after]
    assert changes_side == ((before, after) in POINTS_OF_NO_RETURN)


def test_every_phase_is_described() -> None:
    assert set(TRANSITIONS) == set(MAY_SERVE) == set(Phase)


@pytest.mark.parametrize("phase", sorted(set(Phase) - STABLE))
def test_no_crash_leaves_a_domain_stuck(phase: Phase) -> None:
    """From wherever it dies, some path leads to a phase that lasts on the side that serves, without changing sides."""
    reached, frontier = {phase}, [phase]
    while frontier:
        for after in TRANSITIONS[frontier.pop()] - reached:
            if MAY_SERVE[after] is MAY_SERVE[phase]:
                reached.add(after)
                frontier.append(after)
    assert reached & STABLE


@given(st.lists(st.sampled_from(list(Phase)), max_size=60))
def test_a_walk_changes_sides_only_at_points_of_no_return(wishes: list[Phase]) -> None:
    phase, side = Phase.FOLLOWING, Side.SOURCE
    for wish in wishes:
        try:
            after = moved(phase, wish)
        except CrossfadeError:
            continue
        if (phase, after) in POINTS_OF_NO_RETURN:
            side = MAY_SERVE[after]
        phase = after
        assert MAY_SERVE[phase] is side
    if phase is Phase.COMPLETE:
        assert side is Side.STORES

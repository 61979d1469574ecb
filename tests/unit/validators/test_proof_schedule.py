"""The schedule of proofs: whatever the ages, what is due is taken in order of need, and nothing is taken for ever."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from stores.control.verify_proof import ChunkProof, ProofState
from validators.proof_schedule import AGAIN_S, due_in_s, late_share, most_urgent, rest_s

DAY = 86_400.0
PROVEN = ChunkProof("p", 0, {}, 10, ProofState.PROVEN, "", 100.0, 100.0, False, 1, "f:1", "t", 1, 0.5)
NEW = replace(PROVEN, state=ProofState.UNPROVEN, proven_age_s=None, checked_age_s=None, transform="")


def test_a_chunk_is_due_before_its_period_ends() -> None:
    assert due_in_s(PROVEN, DAY, "t") > 0
    assert due_in_s(replace(PROVEN, proven_age_s=0.9 * DAY), DAY, "t") < 0
    assert due_in_s(replace(PROVEN, proven_age_s=0.5 * DAY), DAY, "t") > 0
    assert due_in_s(replace(PROVEN, proven_age_s=0.5 * DAY, changed=True), DAY, "t") < 0
    assert due_in_s(NEW, DAY, "t") == -float("inf")
    assert due_in_s(PROVEN, DAY, "another") < 0, "a proof of another mapping is none"
    assert due_in_s(replace(PROVEN, proven_age_s=-7200.0, checked_age_s=AGAIN_S + 1), DAY, "t") < 0


def test_what_differs_or_was_not_decided_is_looked_at_again_but_not_at_once() -> None:
    for state in (ProofState.DIFFERS, ProofState.UNDECIDED):
        looked = replace(PROVEN, state=state, why="x", checked_age_s=1.0)
        assert 0 < due_in_s(looked, DAY, "t") <= AGAIN_S
        assert due_in_s(replace(looked, checked_age_s=AGAIN_S + 1), DAY, "t") < 0
    late = replace(PROVEN, proven_age_s=2 * DAY, why="the store lags", checked_age_s=1.0)
    assert due_in_s(late, DAY, "t") > 0


@given(st.lists(st.tuples(st.none() | st.floats(0, 3 * DAY), st.booleans()), max_size=8))
def test_the_most_urgent_is_taken(ages: list[tuple[float | None, bool]]) -> None:
    chunks = [
        replace(NEW if age is None else PROVEN, chunk_no=number, proven_age_s=age, checked_age_s=age, changed=changed)
        for number, (age, changed) in enumerate(ages)
    ]
    chunk, soonest = most_urgent(chunks, DAY, {"p": "t"})
    dues = [due_in_s(one, DAY, "t") for one in chunks]
    assert (chunk is not None) == any(due <= 0 for due in dues)
    if chunk is not None:
        assert dues[chunk.chunk_no] == min(dues) and soonest == 0.0
    assert most_urgent(chunks, DAY, {}) == (None, float("inf"))


@given(st.floats(0, 1000), st.floats(0, 1))
def test_rest_shrinks_with_what_is_late(worked: float, late: float) -> None:
    assert 0 <= rest_s(worked, late) <= 30.0
    assert rest_s(worked, 1.0) == 0.0
    assert rest_s(worked, late) <= rest_s(worked, 0.0)


def test_first_proofs_are_in_no_hurry() -> None:
    assert late_share([NEW, NEW], DAY) == 0.0
    assert late_share([NEW, replace(PROVEN, proven_age_s=2 * DAY)], DAY) == 0.5

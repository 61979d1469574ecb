"""Proofs in the control store: what a look at a chunk changes, how chunks sum up, whose clock counts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stores.control import verify_proof, verify_proof_notes
from stores.control.migrations import prepare_control
from stores.control.verify_proof import ProofState, TableProof
from stores.postgres import PostgresConnection
from tests.support.servers import StoreDatabase
from validators.proof_schedule import due_in_s

PLAN = "db.t>main:public.t"


@pytest.fixture
def control(store_db: StoreDatabase) -> Iterator[PostgresConnection]:
    """A control store without any proof."""
    with store_db.connect() as connection:
        assert verify_proof.coverage(connection, "m") == {} == dict.fromkeys(verify_proof.history(connection, "m"))
        prepare_control(connection)
        yield connection


def proof_of(control: PostgresConnection) -> TableProof:
    return verify_proof.coverage(control, "m")[PLAN]


def prove(control: PostgresConnection, chunk_no: int, rows: int, ago_s: float = 1.0) -> None:
    verify_proof_notes.note_chunk(
        control, "m", PLAN, chunk_no, ProofState.PROVEN, began_ago_s=ago_s, rows=rows, seq=5, transform="aa"
    )


def test_chunks_are_proven_one_by_one(control: PostgresConnection) -> None:
    verify_proof_notes.replace_chunks(control, "m", PLAN, [({"high": 9}, 10), ({"low": 10}, 30)])
    start = proof_of(control)
    assert (start.rows, start.rows_proven, start.complete, start.oldest_age_s, start.share) == (40, 0, False, None, 0.0)
    prove(control, 0, 12, ago_s=100)
    half = proof_of(control)
    assert (half.rows, half.rows_proven, half.complete, half.transforms) == (42, 12, False, ("aa",))
    prove(control, 1, 30)
    whole = proof_of(control)
    assert whole.complete and whole.share == 1.0
    assert whole.oldest_age_s is not None and 100 <= whole.oldest_age_s < 160
    # A look that decided nothing leaves the proof; one that found a difference takes it away.
    verify_proof_notes.note_chunk(control, "m", PLAN, 1, ProofState.UNDECIDED, began_ago_s=1, why="the store is late")
    assert proof_of(control).complete
    verify_proof_notes.note_chunk(control, "m", PLAN, 1, ProofState.DIFFERS, began_ago_s=1, why="2 rows differ")
    broken = proof_of(control)
    assert (broken.complete, broken.chunks_differing, broken.rows_proven, broken.why) == (False, 1, 12, "2 rows differ")
    assert verify_proof.coverage(control, "other") == {}
    verify_proof_notes.forget(control, "m", [])
    assert verify_proof.coverage(control, "m") == {}


def test_a_run_proves_every_chunk_but_not_what_was_proven_after_it_began(control: PostgresConnection) -> None:
    whole = {"began_ago_s": 60.0, "rows": 40, "seq": 9, "position": "f:4", "transform": "bb", "canonical": 1}
    verify_proof_notes.note_table(control, "m", PLAN, {}, **whole)  # type: ignore[arg-type]
    assert proof_of(control).complete and proof_of(control).rows_proven == 40
    verify_proof_notes.replace_chunks(control, "m", PLAN, [({"high": 9}, 10), ({"low": 10}, 30)])
    prove(control, 0, 10, ago_s=1)
    verify_proof_notes.note_table(control, "m", PLAN, {}, **whole)  # type: ignore[arg-type]
    assert [chunk.seq for chunk in verify_proof.chunks_of(control, "m", PLAN)] == [5, 9]
    assert proof_of(control).complete


def test_a_run_that_found_a_difference_ends_the_proofs_before_it(control: PostgresConnection) -> None:
    verify_proof_notes.replace_chunks(control, "m", PLAN, [({"high": 9}, 10), ({"low": 10}, 30)])
    prove(control, 0, 10, ago_s=100)
    prove(control, 1, 30, ago_s=1)
    verify_proof_notes.doubt_table(control, "m", PLAN, "run 7 of verify found 1 rows that differ", began_ago_s=60.0)
    old, new = verify_proof.chunks_of(control, "m", PLAN)
    assert (old.state, old.proven, old.checked_age_s) == (ProofState.UNDECIDED, False, None)
    assert new.proven
    assert proof_of(control).why.startswith("run 7")
    assert due_in_s(old, 1000.0, "aa") == float("-inf")


def test_a_proof_from_the_future_proves_nothing(control: PostgresConnection) -> None:
    verify_proof_notes.replace_chunks(control, "m", PLAN, [({}, 10)])
    prove(control, 0, 10, ago_s=-3600)
    ahead = proof_of(control)
    assert (ahead.complete, ahead.rows_proven) == (False, 0)


def test_changes_are_noted_until_the_next_proof(control: PostgresConnection) -> None:
    verify_proof_notes.replace_chunks(control, "m", PLAN, [({"high": 9}, 10), ({"low": 10}, 30)])
    for chunk_no in (0, 1):
        prove(control, chunk_no, 10, ago_s=5)
    verify_proof_notes.note_changes(control, "m", PLAN, [1])
    assert [chunk.changed for chunk in verify_proof.chunks_of(control, "m")] == [False, True]
    prove(control, 1, 10, ago_s=0)
    assert not any(chunk.changed for chunk in verify_proof.chunks_of(control, "m"))


def test_coverage_over_time(control: PostgresConnection) -> None:
    verify_proof_notes.replace_chunks(control, "m", PLAN, [({"high": 9}, 10), ({"low": 10}, 30)])
    for chunk_no in (0, 1):
        prove(control, chunk_no, 20)
        verify_proof_notes.note_coverage(control, "m", verify_proof.coverage(control, "m"))
    moments = verify_proof.history(control, "m")
    assert [(moment.rows, moment.rows_proven) for moment in moments] == [(50, 20), (40, 40)]
    assert verify_proof.history(control, "m", since_s=0) == ()

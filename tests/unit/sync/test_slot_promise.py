"""When a slot has a gap: by positions, by cluster, and by where a timeline was left."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.wal import WalOrigin
from sync.mysql.reverse_tables import Progress
from sync.postgres.timelines import ended
from sync.slot_promise import SlotPromise

LSNS = st.integers(1, 1 << 40)


def promise(
    confirmed: int | None, upto: int, *, promised: WalOrigin | None, now: WalOrigin, left_at: int | None = None
) -> SlotPromise:
    """A slot at `confirmed`, the source at `upto`."""
    return SlotPromise("slot", "main", confirmed, Progress("shop", "main", upto, 1), promised, now, left_at)


@given(LSNS, LSNS)
def test_a_slot_ahead_of_the_source_has_a_gap(confirmed: int, upto: int) -> None:
    here = WalOrigin(7, 1)
    assert bool(promise(confirmed, upto, promised=here, now=here).gap) == (confirmed > upto)
    assert not promise(confirmed, upto, promised=None, now=here).gap
    assert not promise(None, upto, promised=here, now=here).gap


@given(LSNS, LSNS, LSNS)
def test_behind_a_failover_a_kept_slot_is_trusted_up_to_its_end(confirmed: int, upto: int, left_at: int) -> None:
    found = promise(confirmed, upto, promised=WalOrigin(7, 1), now=WalOrigin(7, 2), left_at=left_at)
    assert bool(found.gap) == (upto > left_at or confirmed > upto)
    # One that was made on the new timeline begins behind the end of the old one, wherever the source is.
    assert promise(left_at + 1, upto, promised=found.promised, now=found.now, left_at=left_at).gap


@pytest.mark.parametrize(
    ("now", "left_at", "told"),
    [
        (WalOrigin(8, 1), None, "another cluster"),
        (WalOrigin(7, 3), None, "not in its history"),
        (WalOrigin(7, 3), 99, "the failover lost transactions"),
    ],
)
def test_what_cannot_be_compared_is_a_gap(now: WalOrigin, left_at: int | None, told: str) -> None:
    assert told in promise(5, 100, promised=WalOrigin(7, 2), now=now, left_at=left_at).gap


def test_a_history_file_is_understood() -> None:
    text = "1\t0/3000148\tno recovery target specified\n\n# a comment\n2\t1/A0\tbefore 2026-01-01\n"
    assert ended(text) == {1: 0x3000148, 2: 0x1000000A0}

"""Phases: transitions, release of held tables, what the relay must keep, and the registry between threads."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import CrossfadeError
from sync.table_phase import ALLOWED, Phase, TablePhases, TableState, moved, needed_from, released


@given(st.sampled_from(list(Phase)), st.sampled_from(list(Phase)))
def test_only_allowed_transitions_are_made(before: Phase, after: Phase) -> None:
    state = TableState("p", before)
    if after in ALLOWED[before]:
        assert moved(state, after).phase is after
    else:
        with pytest.raises(CrossfadeError, match="cannot go from"):
            moved(state, after)


def test_every_phase_can_be_held_and_started_over() -> None:
    for phase in Phase:
        if phase is not Phase.HELD:
            held = moved(TableState("p", phase), Phase.HELD, reason="why")
            assert held.resume is phase
            back = released(held)
            assert back.phase is (Phase.REPLAYING if phase in (Phase.CONVERGING, Phase.STREAMING) else phase)
            assert back.reason is None and back.resume is None


def test_the_relay_keeps_what_somebody_will_ask_for() -> None:
    assert needed_from(50, []) == 50
    assert needed_from(50, [TableState("p", Phase.PENDING)]) == 50
    assert needed_from(50, [TableState("p", Phase.COPYING, gate_seq=10)]) == 10
    assert needed_from(50, [TableState("p", Phase.REPLAYING, gate_seq=10, applied_seq=20)]) == 20
    assert needed_from(50, [TableState("p", Phase.STREAMING, gate_seq=10, applied_seq=20)]) == 50
    assert needed_from(50, [TableState("p", Phase.HELD, applied_seq=33, resume=Phase.STREAMING)]) == 33
    assert needed_from(50, [TableState("p", Phase.HELD, resume=Phase.PENDING)]) == 50
    assert needed_from(50, [TableState("p", Phase.COPIED, gate_seq=80)]) == 50


def test_waiting_for_a_phase() -> None:
    phases = TablePhases({"p": TableState("p", Phase.COPYING)})
    stop = threading.Event()
    version = phases.version
    thread = threading.Timer(0.05, lambda: phases.set(TableState("p", Phase.COPIED)))
    thread.start()
    assert phases.wait(lambda states: states["p"].phase is Phase.COPIED, stop, 10)
    assert phases.version > version
    assert not phases.wait(lambda states: False, stop, 0)
    stop.set()
    assert not phases.wait(lambda states: False, stop)
    assert phases.counts() == {"copied": 1}
    assert phases.get("other").phase is Phase.PENDING


def test_a_refresh_does_not_lose_what_is_set_meanwhile() -> None:
    phases = TablePhases()
    reading, proceed = threading.Event(), threading.Event()

    def read() -> dict[str, TableState]:
        reading.set()
        proceed.wait(10)
        return {"p": TableState("p", Phase.COPYING)}

    refresher = threading.Thread(target=phases.refresh, args=(read,))
    refresher.start()
    reading.wait(10)
    setter = threading.Thread(target=phases.set, args=(TableState("p", Phase.COPIED),))
    setter.start()
    proceed.set()
    refresher.join(10)
    setter.join(10)
    assert phases.get("p").phase is Phase.COPIED

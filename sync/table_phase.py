"""Phases of a table plan: the transition table, what the applier does in each, and the registry that threads share.

The registry is memory; `stores.control.table_states` is the truth. Write the row first, commit, then `set` here.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from model.errors import CrossfadeError
from stores.control.table_states import Phase, TableState

__all__ = ["ALLOWED", "MAIN", "Phase", "TablePhases", "TableState", "moved", "needed_from", "released"]

ALLOWED: Final[Mapping[Phase, frozenset[Phase]]] = MappingProxyType(
    {
        Phase.PENDING: frozenset({Phase.COPYING, Phase.HELD}),
        # Back to PENDING: the copy is done anew (a definition changed under it).
        Phase.COPYING: frozenset({Phase.COPIED, Phase.PENDING, Phase.HELD}),
        Phase.COPIED: frozenset({Phase.REPLAYING, Phase.PENDING, Phase.HELD}),
        Phase.REPLAYING: frozenset({Phase.CONVERGING, Phase.PENDING, Phase.HELD}),
        Phase.CONVERGING: frozenset({Phase.STREAMING, Phase.PENDING, Phase.HELD}),
        Phase.STREAMING: frozenset({Phase.PENDING, Phase.HELD}),
        Phase.HELD: frozenset({Phase.PENDING, Phase.COPYING, Phase.COPIED, Phase.REPLAYING}),
    }
)

MAIN: Final = frozenset({Phase.CONVERGING, Phase.STREAMING})
"""Phases in which a table's changes are applied by the main stream."""


def moved(state: TableState, phase: Phase, **changes: Any) -> TableState:
    """The state after a transition. Raises CrossfadeError when the transition is not allowed."""
    if phase not in ALLOWED[state.phase]:
        raise CrossfadeError(
            f"a table cannot go from {state.phase} to {phase}",
            hint="This is a bug; report it with the table's row of crossfade.table_state.",
            table=state.plan_id,
        )
    if phase is Phase.HELD:
        changes.setdefault("resume", state.phase)
    elif state.phase is Phase.HELD:
        changes.setdefault("resume", None)
        changes.setdefault("reason", None)
    return dataclasses.replace(state, phase=phase, **changes)


def released(state: TableState) -> TableState:
    """A held table's state after release: one that was already being applied replays from where it stopped."""
    before = state.resume or Phase.PENDING
    return moved(state, Phase.REPLAYING if before in MAIN else before)


def needed_from(checkpoint_seq: int, states: Iterable[TableState]) -> int:
    """The relay may drop transactions with a number of at most this: nobody will ask for them again."""
    low = checkpoint_seq
    for state in states:
        applied = state.phase in MAIN or state.phase is Phase.PENDING or state.resume is Phase.PENDING
        if not applied:
            mark = state.applied_seq if state.applied_seq is not None else state.gate_seq
            low = min(low, mark if mark is not None else checkpoint_seq)
    return low


class TablePhases:
    """Thread-safe states of one store's table plans: the copy and the applier tell each other of transitions."""

    def __init__(self, states: Mapping[str, TableState] | None = None) -> None:
        self._states: dict[str, TableState] = dict(states or {})
        self._changed = threading.Condition()
        self._version = 0
        self._counts: Counter[str] = Counter()
        self._counted = -1

    @property
    def version(self) -> int:
        """Grows with every change; cheap way to see whether anything happened."""
        return self._version

    def load(self, states: Mapping[str, TableState]) -> None:
        """Replace everything by what the store says (after every connect)."""
        with self._changed:
            self._states = dict(states)
            self._version += 1
            self._changed.notify_all()

    def refresh(self, read: Callable[[], Mapping[str, TableState]]) -> None:
        """Like `load`, with states that `read` fetches meanwhile: nobody's `set` can fall in between and be lost."""
        with self._changed:
            self._states = dict(read())
            self._version += 1
            self._changed.notify_all()

    def get(self, plan_id: str) -> TableState:
        """The state of a plan; PENDING when it is not known."""
        with self._changed:
            return self._states.get(plan_id) or TableState(plan_id)

    def set(self, state: TableState) -> None:
        """Publish a state that is committed in the store."""
        with self._changed:
            self._states[state.plan_id] = state
            self._version += 1
            self._changed.notify_all()

    def all(self) -> dict[str, TableState]:
        """A copy of every state."""
        with self._changed:
            return dict(self._states)

    def counts(self) -> dict[str, int]:
        """Phase → number of plans, for the status; counted anew when a state has changed."""
        with self._changed:
            if self._counted != self._version:
                self._counts = Counter(str(state.phase) for state in self._states.values())
                self._counted = self._version
            return dict(self._counts)

    def wait(
        self, test: Callable[[Mapping[str, TableState]], bool], stop: threading.Event, timeout_s: float | None = None
    ) -> bool:
        """Wait until `test(states)` holds; False when `stop` was set or the time is over."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with self._changed:
            while not test(MappingProxyType(self._states)):
                left = None if deadline is None else deadline - time.monotonic()
                if stop.is_set() or (left is not None and left <= 0):
                    return False
                # Wakes now and then to see `stop`, which cannot notify this condition.
                self._changed.wait(0.5 if left is None else min(left, 0.5))
            return True

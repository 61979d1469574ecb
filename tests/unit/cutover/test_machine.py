"""The machine over its real parts' rules, with crashes anywhere: phase in a control store, gate row in the source.

A model of both rows as `SourceGate` and `Driver` change them; daemons die between any two effects, freeze and wake up
later, and the gate's time runs out by itself. Never may both sides take a write, and a rest always comes.
"""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cutover.phases import MAY_SERVE, STABLE, Phase, Side, moved


@dataclass
class Gate:
    """The source's gate row; `expired` stands for the clock."""

    epoch: int = 0
    closed: bool = False
    final: bool = False
    expired: bool = False

    @property
    def refuses(self) -> bool:
        return self.closed and (self.final or not self.expired)

    def close(self, was: int, epoch: int) -> bool:
        if self.epoch == was and not self.final:
            self.epoch, self.closed, self.expired = epoch, True, False
        return self.epoch == epoch and self.closed

    def extend_for_good(self, epoch: int) -> bool:
        if self.epoch == epoch and self.closed and not self.expired:
            self.final = True
        return self.final and self.epoch == epoch

    def abandon(self, epoch: int, later: int) -> bool:
        if self.epoch <= epoch and not (self.epoch == epoch and self.final):
            self.epoch, self.closed, self.final = later, False, False
        return self.epoch == later and not self.closed

    def reopen(self, was: int, epoch: int) -> bool:
        if self.epoch == was and self.final:
            self.epoch, self.closed, self.final = epoch, False, False
        return self.epoch == epoch and not self.closed

    def renumber(self, was: int, epoch: int) -> None:
        if self.epoch == was and self.final:
            self.epoch = epoch


class Machine(RuleBasedStateMachine):
    """Rules are single effects, in the order of the steps; `die` may come between any two."""

    def __init__(self) -> None:
        super().__init__()
        self.phase = Phase.PREPARED
        self.epoch = 0
        self.gate = Gate()
        self.store_open = False
        self.daemon = 1
        self.was = 0
        self.at: str = "idle"
        """Where the living daemon is; "" when none lives."""
        self.frozen: list[tuple[int, str, int, int]] = []

    def _move(self, phase: Phase, epoch: int | None = None) -> None:
        self.phase = moved(self.phase, phase)
        self.epoch = self.epoch if epoch is None else epoch

    # -- a cutover

    @precondition(lambda self: self.at == "idle" and self.phase is Phase.PREPARED)
    @rule()
    def begin_cutover(self) -> None:
        self.was = self.gate.epoch
        self._move(Phase.CUTTING_OVER, max(self.epoch, self.was) + 1)
        self.at = "close"

    @precondition(lambda self: self.at == "close")
    @rule()
    def close_source(self) -> None:
        self.at = "no_return" if self.gate.close(self.was, self.epoch) else "settle"

    @precondition(lambda self: self.at == "no_return")
    @rule()
    def no_return(self) -> None:
        self.gate.extend_for_good(self.epoch)
        self.at = "settle"

    @precondition(lambda self: self.at == "open_stores")
    @rule()
    def open_stores(self) -> None:
        self.store_open = True
        self._move(Phase.LIVE)
        self.at = "idle"

    # -- a rollback

    @precondition(lambda self: self.at == "idle" and self.phase is Phase.LIVE)
    @rule()
    def begin_rollback(self) -> None:
        self.was = self.gate.epoch
        self._move(Phase.ROLLING_BACK, max(self.epoch, self.was) + 1)
        self.at = "close_stores"

    @precondition(lambda self: self.at == "close_stores")
    @rule()
    def close_stores(self) -> None:
        self.store_open = False
        self.at = "reopen"

    @precondition(lambda self: self.at == "reopen")
    @rule()
    def reopen_source(self) -> None:
        self.gate.reopen(self.was, self.epoch)
        self.at = "settle"

    # -- whoever comes to a domain between two phases

    @precondition(lambda self: self.at == "settle")
    @rule()
    def settle(self) -> None:
        if self.phase in (Phase.CUTTING_OVER, Phase.ABORTING):
            if self.gate.abandon(self.epoch, self.epoch + 1):
                if self.phase is Phase.CUTTING_OVER:
                    self._move(Phase.ABORTING)
                self._move(Phase.PREPARED, self.epoch + 1)
                self.at = "idle"
            else:
                self._move(Phase.SWITCHING)
                self.at = "open_stores"
        elif self.phase is Phase.SWITCHING:
            self.at = "open_stores"
        elif self.phase in (Phase.ROLLING_BACK, Phase.RESTORING):
            if not (self.gate.epoch == self.epoch and not self.gate.closed) and self.gate.epoch <= self.epoch:
                self.gate.renumber(self.gate.epoch, self.epoch + 1)
            if self.gate.epoch == self.epoch and not self.gate.closed:
                self._move(Phase.RETURNING)
            else:
                if self.phase is Phase.ROLLING_BACK:
                    self._move(Phase.RESTORING)
                self.store_open = True
                self._move(Phase.LIVE, self.epoch + 1)
                self.at = "idle"
        elif self.phase is Phase.RETURNING:
            self._move(Phase.PREPARED)
            self.at = "idle"
        else:
            self.at = "idle"

    # -- accidents

    @precondition(lambda self: bool(self.at))
    @rule(freezes=st.booleans())
    def die(self, freezes: bool) -> None:
        if freezes:
            self.frozen.append((self.daemon, self.at, self.was, self.epoch))
        self.at = ""

    @precondition(lambda self: not self.at)
    @rule()
    def next_daemon(self) -> None:
        self.daemon += 1
        self.at = "settle"

    @rule()
    def time_runs_out(self) -> None:
        self.gate.expired = True

    @precondition(lambda self: bool(self.frozen))
    @rule()
    def a_frozen_daemon_wakes(self) -> None:
        """It does the one effect it was about to do; epochs keep it from the source's row, fences from the rest."""
        daemon, at, was, epoch = self.frozen.pop()
        current = daemon == self.daemon
        if at == "close":
            self.gate.close(was, epoch)
        elif at == "no_return":
            self.gate.extend_for_good(epoch)
        elif at == "reopen":
            self.gate.reopen(was, epoch)
        elif at == "open_stores" and current and self.phase is Phase.SWITCHING:
            self.store_open = True
        elif at == "close_stores" and current and self.phase is Phase.ROLLING_BACK:
            self.store_open = False

    # -- what must hold

    @invariant()
    def never_two_sides(self) -> None:
        assert not (self.store_open and not self.gate.refuses)

    @invariant()
    def only_the_side_of_the_phase_serves(self) -> None:
        if self.at == "idle" and self.phase in STABLE:
            assert self.store_open == (MAY_SERVE[self.phase] is Side.STORES)

    def teardown(self) -> None:
        """However it was left, the next daemon brings it to a rest on a side that serves."""
        self.at = self.at or "settle"
        for _ in range(12):
            if self.at == "idle":
                break
            steps = {
                "close": self.close_source, "no_return": self.no_return, "settle": self.settle,
                "open_stores": self.open_stores, "close_stores": self.close_stores, "reopen": self.reopen_source,
            }  # fmt: skip
            steps[self.at]()
            self.never_two_sides()
        assert self.at == "idle" and self.phase in STABLE
        if self.phase is Phase.LIVE:
            assert self.store_open and self.gate.final
        else:
            assert not self.store_open and not self.gate.final


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=400, stateful_step_count=60, deadline=None)

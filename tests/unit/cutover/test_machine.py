"""A model of the machine, explored whole: phase in the control store, gate row in the source, gate of a store.

Both rows change as `SourceGate` and `Driver` change them; daemons die between any two effects, freeze and wake up
later, and the gate's time runs out by itself. Every state within the bounds is visited: never may both sides take a
write, and from each a rest is reached.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

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


EPOCHS, DAEMONS, FROZEN = 7, 3, 1
"""Bounds of the exploration: two cutovers and two rollbacks, some of them aborted."""


@dataclass
class World:
    """Everything there is. Its effects are single steps; a daemon may die between any two."""

    phase: Phase = Phase.PREPARED
    epoch: int = 0
    gate: Gate = field(default_factory=Gate)
    store_open: bool = False
    daemon: int = 1
    was: int = 0
    at: str = "idle"
    """Where the living daemon is; "" when none lives."""
    frozen: list[tuple[int, str, int, int]] = field(default_factory=list)

    @property
    def key(self) -> str:
        """What tells two worlds apart."""
        return repr(dataclasses.astuple(self))

    @property
    def possible(self) -> tuple[str, ...]:
        """Names of the effects that can come next."""
        found = ["time_runs_out"] if not self.gate.expired else []
        if self.at == "idle":
            found += {Phase.PREPARED: ["begin_cutover"], Phase.LIVE: ["begin_rollback"]}[self.phase]
        elif self.at:
            found.append(self.at)
        if self.at:
            found += ["die", "freeze"] if len(self.frozen) < FROZEN else ["die"]
        elif self.daemon < DAEMONS:
            found.append("next_daemon")
        if self.frozen:
            found.append("a_frozen_daemon_wakes")
        return tuple(found)

    def _move(self, phase: Phase, epoch: int | None = None) -> None:
        self.phase = moved(self.phase, phase)
        self.epoch = self.epoch if epoch is None else epoch

    # -- a cutover

    def begin_cutover(self) -> None:
        self.was = self.gate.epoch
        self._move(Phase.CUTTING_OVER, max(self.epoch, self.was) + 1)
        self.at = "close"

    def close(self) -> None:
        self.at = "no_return" if self.gate.close(self.was, self.epoch) else "settle"

    def no_return(self) -> None:
        self.gate.extend_for_good(self.epoch)
        self.at = "settle"

    def open_stores(self) -> None:
        self.store_open = True
        self._move(Phase.LIVE)
        self.at = "idle"

    # -- a rollback

    def begin_rollback(self) -> None:
        self.was = self.gate.epoch
        self._move(Phase.ROLLING_BACK, max(self.epoch, self.was) + 1)
        self.at = "close_stores"

    def close_stores(self) -> None:
        self.store_open = False
        self.at = "reopen"

    def reopen(self) -> None:
        self.gate.reopen(self.was, self.epoch)
        self.at = "settle"

    # -- whoever comes to a domain between two phases

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

    def die(self) -> None:
        self.at = ""

    def freeze(self) -> None:
        self.frozen.append((self.daemon, self.at, self.was, self.epoch))
        self.at = ""

    def next_daemon(self) -> None:
        self.daemon += 1
        self.at = "settle"

    def time_runs_out(self) -> None:
        self.gate.expired = True

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

    def check(self) -> None:
        """Never two sides; at rest, the side of the phase."""
        assert not (self.store_open and not self.gate.refuses), self
        if self.at == "idle":
            assert self.phase in STABLE, self
            assert self.store_open == (MAY_SERVE[self.phase] is Side.STORES), self
            assert self.gate.final == self.store_open, self
            assert self.gate.epoch == self.epoch, self


def _next(world: World) -> Iterator[World]:
    for name in world.possible:
        after = copy.deepcopy(world)
        getattr(after, name)()
        if after.epoch <= EPOCHS:
            yield after


def _rests(world: World) -> None:
    """Left alone with a daemon that lives, it comes to a rest."""
    world = copy.deepcopy(world)
    world.at = world.at or "settle"
    for _ in range(12):
        if world.at == "idle":
            return
        getattr(world, world.at)()
        world.check()
    raise AssertionError(f"no rest: {world}")


def _explore() -> int:
    frontier, seen = [World()], {World().key}
    while frontier:
        world = frontier.pop()
        world.check()
        _rests(world)
        for after in _next(world):
            if after.key not in seen:
                seen.add(after.key)
                frontier.append(after)
    return len(seen)


def test_every_state_is_safe_and_leads_to_a_rest() -> None:
    assert _explore() > 1_000


def test_the_model_notices_when_undoing_a_rollback_keeps_the_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then a frozen daemon could open the source behind the next one's back."""
    monkeypatch.setattr(Gate, "renumber", lambda self, was, epoch: None)
    with pytest.raises(AssertionError):
        _explore()


def test_the_model_notices_when_an_expired_gate_is_made_final(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(self: Gate, epoch: int) -> bool:
        self.final = True
        return True

    monkeypatch.setattr(Gate, "extend_for_good", careless)
    with pytest.raises(AssertionError):
        _explore()

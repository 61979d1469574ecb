"""One report of how a migration is, made from the parts' own snapshots. Pure values; the same for text, JSON and HTTP.

A state word never stands alone: it comes with the reason, since when, and what to do next.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from model.errors import CrossfadeError
from stores.control.table_states import Phase


class State(StrEnum):
    """What the migration as a whole does."""

    STARTING = "STARTING"
    COPYING = "COPYING"
    CATCHING_UP = "CATCHING_UP"
    SYNCING = "SYNCING"
    PAUSED = "PAUSED"
    HALTED = "HALTED"
    STOPPED = "STOPPED"


class Health(StrEnum):
    """Whether somebody should look."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    FAILED = "failed"


FAILURES = frozenset({"READER_FAILED", "STORE_HALTED", "COPY_FAILED"})
"""Codes of reasons that need somebody; the others pass by themselves or were asked for."""
SYNCING_LAG_S = 10.0
"""With more lag than this a fully copied migration is catching up, not syncing."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why the health is not perfect: a stable code, what it is about, what happened, what to type."""

    code: str
    subject: str
    message: str
    next: str = ""

    @staticmethod
    def of(code: str, subject: str, error: CrossfadeError) -> Reason:
        """The reason that an error gives."""
        return Reason(code, subject, str(error), error.hint)


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """The reader. Ages in seconds; None when nothing was ever read."""

    connected: bool
    position: str
    seq: int
    last_event_age_s: float | None
    transactions_per_s: float
    relay_bytes: int
    relay_budget_bytes: int


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """One store's applier. `lag_s` counts from the source's commit time to now, 0 when nothing is waiting."""

    name: str
    state: str
    seq: int
    position: str
    lag_s: float | None
    waiting_transactions: int
    rows_applied: int
    rows_per_s: float


@dataclass(frozen=True, slots=True)
class TableStatus:
    """One table plan in one store."""

    plan: str
    store: str
    phase: Phase
    rows_copied: int
    reason: str | None = None
    """Why it is held; of a converging one, what it waits for."""
    parked: int = 0
    """Changes in quarantine."""


@dataclass(frozen=True, slots=True)
class CopyStatus:
    """Progress of the first copy. `basis` says where the expected number comes from; times are seconds from now."""

    rows_done: int
    rows_expected: int
    basis: str
    percent: float
    rows_per_s: float
    eta_low_s: float | None
    eta_high_s: float | None


@dataclass(frozen=True, slots=True)
class StatusReport:
    """Everything that `crossfade status` shows."""

    migration: str
    state: State
    health: Health
    since: datetime
    reasons: tuple[Reason, ...]
    next_steps: tuple[str, ...]
    source: SourceStatus | None
    stores: tuple[StoreStatus, ...]
    tables: tuple[TableStatus, ...]
    copy: CopyStatus | None
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def phases(self) -> dict[str, int]:
        """Phase → number of table plans."""
        return dict(Counter(str(table.phase) for table in self.tables))

    def document(self) -> dict[str, Any]:
        """The JSON form; every value is a JSON value."""
        raw = dataclasses.asdict(self)
        raw["since"], raw["at"] = _stamp(self.since), _stamp(self.at)
        raw["phases"] = self.phases()
        return raw


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def judge(
    tables: Sequence[TableStatus], stores: Sequence[StoreStatus], reasons: Sequence[Reason]
) -> tuple[State, Health]:
    """State and health that follow from the parts."""
    codes = {reason.code for reason in reasons}
    health = Health.HEALTHY
    if codes:
        health = Health.FAILED if codes & FAILURES else Health.DEGRADED
    if "READER_FAILED" in codes or (stores and all(store.state == "halted" for store in stores)):
        return State.HALTED, Health.FAILED
    if stores and all(store.state == "paused" for store in stores):
        return State.PAUSED, health
    if any(table.phase in (Phase.PENDING, Phase.COPYING) for table in tables):
        return State.COPYING, health
    converging = any(table.phase in (Phase.COPIED, Phase.REPLAYING, Phase.CONVERGING) for table in tables)
    if converging or any(store.lag_s is None or store.lag_s > SYNCING_LAG_S for store in stores):
        return State.CATCHING_UP, health
    return State.SYNCING, health

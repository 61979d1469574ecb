"""A reverse stream from outside: a frozen picture of it, for status, metrics and rollback readiness."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ReverseMode(StrEnum):
    """What a reverse stream is doing."""

    STARTING = "starting"
    ARMED = "armed"
    """Before the cutover: it follows, answers round trips, and must find nothing to send back."""
    STREAMING = "streaming"
    RETRYING = "retrying"
    STOPPED = "stopped"
    HALTED = "halted"
    """An error that trying again cannot mend; nothing was skipped and nothing is confirmed."""


@dataclass(frozen=True, slots=True)
class ReverseState:
    """A reverse stream now."""

    domain: str
    store: str
    mode: ReverseMode = ReverseMode.STARTING
    lsn: int = 0
    """Everything of the store up to here is in the source."""
    confirmed_lsn: int = 0
    """The store may forget what is before."""
    behind_bytes: int = 0
    """WAL that the store has told of and that is not confirmed yet."""
    lag_s: float | None = None
    """Age of the oldest commit that is not in the source yet; 0 when there is none, None when it is not known."""
    transactions: int = 0
    """Transactions of the store that are in the source, since the first cutover."""
    rows: int = 0
    skipped: int = 0
    """Transactions of our own forward appliers that were not sent back, since the start."""
    conflicts: int = 0
    retries: int = 0
    error: str | None = None
    hint: str | None = None
    notes: tuple[str, ...] = ()
    """Columns that only the store has."""

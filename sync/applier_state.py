"""What an applier says of itself: values for the status page, the CLI and the metrics. No logic of applying."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from model.position import Position


class Mode(StrEnum):
    """What an applier is doing."""

    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    RETRYING = "retrying"
    """A transient error; it goes on by itself."""
    HALTED = "halted"
    """An error that needs somebody; nothing is applied until the next start."""
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ApplierState:
    """An applier at one moment."""

    store: str
    mode: Mode = Mode.STARTING
    seq: int = 0
    position: Position | None = None
    lag_s: float | None = None
    """Age of the oldest source commit that is in the relay but not in the store; 0 when there is none."""
    behind: int = 0
    """Number of those transactions."""
    applied_rows: int = 0
    """Since the stream began, from the checkpoint."""
    applied_transactions: int = 0
    tables: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """Plan id → changes applied since the process started."""
    phases: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    parked: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """Plan id → changes in quarantine."""
    error: str | None = None
    """The last error; with RUNNING it has been overcome."""
    hint: str | None = None
    retries: int = 0

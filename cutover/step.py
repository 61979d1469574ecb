"""What a step is, and what a run of steps carries from one to the next.

`do` may be called again from its beginning after any failure, also by another daemon; `undo` likewise. Neither decides
whether to go on: that is the runner's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from cutover.final_check import FinalCheck
from cutover.site import Site
from model.position import Position


@dataclass(slots=True)
class Run:
    """One attempt. What a step after the point of no return needs is in the domain's row too (`boundary`)."""

    epoch: int
    was: int
    """Epoch of the gate row before."""
    stop: threading.Event
    check: FinalCheck | None = None
    since: dict[str, int] = field(default_factory=dict)
    """Store → sequence number at the preparation: rows changed after it are compared."""
    marker: Position | None = None
    marked: int | None = None
    """Number of the marker row there."""
    boundary: dict[str, int] = field(default_factory=dict)
    closed_at: float | None = None
    """time.monotonic() when writers began to be refused."""
    opened_at: float | None = None
    in_doubt: bool = False
    """Whether a compare-and-set that opens the source may still wait in the server, with nobody to hear the answer."""
    sent_before: int | None = None
    """Rows that the reverse streams had written when the stores began to serve; None: not known."""
    left_behind: dict[str, Any] = field(default_factory=dict)
    """What a rollback did not take along, for whoever asked for it."""

    @property
    def write_stop_s(self) -> float | None:
        """From the first refused write to the first that could be let in again."""
        if self.closed_at is None:
            return None
        return (self.opened_at if self.opened_at is not None else time.monotonic()) - self.closed_at


class Step:
    """One effect. `name` is what the journal and the operator know it by."""

    name: ClassVar[str]
    title: ClassVar[str]

    def do(self, site: Site, run: Run) -> Mapping[str, Any]:
        """Bring it about and say what was seen. Raises CrossfadeError."""
        raise TypeError(f"{type(self).__name__} does nothing")

    def undo(self, site: Site, run: Run) -> None:
        """Take it back, as far as it was brought about; most steps leave nothing behind."""

"""What a cutover needs to know of the running appliers, and to ask of them. The daemon provides it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from model.position import BinlogCoordinate, Position
from model.tables import TableId


class Followers(Protocol):
    """The appliers of all stores."""

    def position_of(self, store: str) -> Position | None:
        """Position of the store's checkpoint as last committed."""

    def seq_of(self, store: str) -> int:
        """Its sequence number."""

    def fence_of(self, store: str) -> int:
        """Our fence in the store."""

    def flush(self) -> None:
        """Let every applier move its checkpoint to what it has read."""

    def streams(self, plan_id: str) -> bool:
        """Whether a table plan is exact (STREAMING)."""

    def keep_after(self, seq: int | None) -> None:
        """Keep what the relay holds after `seq`, until called with None."""

    def watch(self, domain: str, tables: Iterable[TableId], until: BinlogCoordinate | None = None) -> None:
        """Write down instead of applying what the source commits to these tables up to `until` (None: from now on)."""

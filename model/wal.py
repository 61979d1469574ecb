"""Which write-ahead log a position of PostgreSQL is one of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WalOrigin:
    """A cluster, and how often one of its standbys has taken over: positions of two timelines part where they did."""

    system_identifier: int
    timeline: int

"""How long changes are gathered into one of a store's transactions while more of them wait.

What a store asks per transaction and per table is the same for few rows as for many: a group that took long to write
is followed by one that may gather longer, so that the asking is a known share of the time. Who is not behind never
waits for this: a group is written as soon as nothing else is there.
"""

from __future__ import annotations

from typing import Final

SHORTEST_S: Final = 0.25
LONGEST_S: Final = 3.0
GATHERING: Final = 3
"""Times of the last writing that the next group may gather."""


class GroupPace:
    """The age at which the next group is written though more transactions wait."""

    def __init__(self) -> None:
        self.age_s = SHORTEST_S

    def wrote(self, seconds: float) -> None:
        """A group was written and committed in so many seconds."""
        self.age_s = min(LONGEST_S, max(SHORTEST_S, GATHERING * seconds))

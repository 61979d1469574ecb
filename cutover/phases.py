"""Where a domain can be between source and stores, and the only ways from one to another. Data; no I/O.

Two invariants hold over the table and are tested over all of it: no phase lets applications write on both sides, and
every phase that a crash can leave behind has an edge forward or back to one that can last.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from model.errors import CrossfadeError


class Phase(StrEnum):
    """A domain's phase."""

    FOLLOWING = "following"
    """The source serves; nothing of the cutover is installed."""
    PREPARED = "prepared"
    """The source serves; both gates are installed, the stores are closed, the reverse stream is armed."""
    CUTTING_OVER = "cutting_over"
    """The source is being closed, with an end; nobody or the source serves."""
    ABORTING = "aborting"
    """The source is being opened again."""
    SWITCHING = "switching"
    """Past the point of no return: the source is closed for good, the stores are being opened."""
    LIVE = "live"
    """The stores serve; the reverse stream feeds the source."""
    ROLLING_BACK = "rolling_back"
    """The stores are being closed; nobody or the stores serve."""
    RESTORING = "restoring"
    """The stores are being opened again."""
    RETURNING = "returning"
    """Past the point of no return of a rollback: the source is open, the stores are closed."""
    COMPLETE = "complete"
    """The stores serve for ever; there is no way back."""


class Side(StrEnum):
    """Who applications are told to write to."""

    SOURCE = "source"
    STORES = "stores"


TRANSITIONS: Final[dict[Phase, frozenset[Phase]]] = {
    Phase.FOLLOWING: frozenset({Phase.PREPARED}),
    Phase.PREPARED: frozenset({Phase.CUTTING_OVER, Phase.FOLLOWING}),
    Phase.CUTTING_OVER: frozenset({Phase.SWITCHING, Phase.ABORTING}),
    Phase.ABORTING: frozenset({Phase.PREPARED, Phase.SWITCHING}),
    Phase.SWITCHING: frozenset({Phase.LIVE}),
    Phase.LIVE: frozenset({Phase.ROLLING_BACK, Phase.COMPLETE}),
    Phase.ROLLING_BACK: frozenset({Phase.RETURNING, Phase.RESTORING}),
    Phase.RESTORING: frozenset({Phase.LIVE, Phase.RETURNING}),
    Phase.RETURNING: frozenset({Phase.PREPARED}),
    Phase.COMPLETE: frozenset(),
}
"""From each phase, where it may go."""

STABLE: Final = frozenset({Phase.FOLLOWING, Phase.PREPARED, Phase.LIVE, Phase.COMPLETE})
"""Phases that last; every other is finished or undone by the next daemon."""

MAY_SERVE: Final[dict[Phase, Side]] = {
    Phase.FOLLOWING: Side.SOURCE,
    Phase.PREPARED: Side.SOURCE,
    Phase.CUTTING_OVER: Side.SOURCE,
    Phase.ABORTING: Side.SOURCE,
    Phase.SWITCHING: Side.STORES,
    Phase.LIVE: Side.STORES,
    Phase.ROLLING_BACK: Side.STORES,
    Phase.RESTORING: Side.STORES,
    Phase.RETURNING: Side.SOURCE,
    Phase.COMPLETE: Side.STORES,
}
"""The only side that may accept an application's write in each phase, if any does."""

POINTS_OF_NO_RETURN: Final = frozenset(
    {
        (Phase.CUTTING_OVER, Phase.SWITCHING),
        (Phase.ABORTING, Phase.SWITCHING),
        (Phase.ROLLING_BACK, Phase.RETURNING),
        (Phase.RESTORING, Phase.RETURNING),
    }
)
"""Transitions that change sides: only after the compare-and-set on the source's gate row was seen to have succeeded."""


def moved(before: Phase, after: Phase) -> Phase:
    """`after`, when the table has that transition; staying is allowed. Raises CrossfadeError."""
    if after is not before and after not in TRANSITIONS[before]:
        raise CrossfadeError(f"a domain cannot go from {before} to {after}")
    return after

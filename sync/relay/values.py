"""What the relay says of its contents: the end of a transaction, and how far it durably reaches. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from model.gtid import GtidSet, MariadbGtidSet
from model.position import BinlogCoordinate, Flavour, Position

AnyGtidSet = GtidSet | MariadbGtidSet


@dataclass(frozen=True, slots=True)
class TransactionEnd:
    """The last fact of a transaction, written after its events."""

    seq: int
    gtid: str
    """"" when the source gave none."""
    coordinate: BinlogCoordinate
    """End of its last event."""
    commit_time_us: int
    """Microseconds since the epoch; whole seconds where the source gives no better."""
    rolled_back: bool = False
    """The group ends in ROLLBACK: only changes of non-transactional tables in it took place."""


@dataclass(frozen=True, slots=True)
class RelayTail:
    """How far the relay reaches: the last complete transaction, and the coordinate up to which nothing is missing.

    The coordinate can be beyond the end of transaction `seq`: what lies between carries no data.
    """

    seq: int
    position: Position


def parse_gtids(flavour: Flavour, text: str | None) -> AnyGtidSet | None:
    """A GTID set of the flavour; None stays None (the source has no GTIDs). Raises ValueError."""
    if text is None:
        return None
    return MariadbGtidSet.parse(text) if flavour is Flavour.MARIADB else GtidSet.parse(text)

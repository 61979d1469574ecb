"""Whether a replication slot still holds everything that the source has not got.

A slot keeps what was committed after its confirmed position, and tells nobody who made it or moved it. So nothing is
confirmed to it that the source's progress row does not say already: a slot that is ahead of that row is not the one
that was left there, or the row is not the one that was. Positions are compared within one history of the store's log;
behind a failover they count only up to where the old timeline ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from model.errors import ApplyError
from model.wal import WalOrigin
from stores.errors import translated
from stores.mysql import MysqlConnection
from stores.postgres import PostgresConnection
from sync.mysql import reverse_tables
from sync.mysql.reverse_tables import Progress
from sync.postgres import slots
from sync.postgres.pgoutput import Lsn, lsn_text
from sync.postgres.timelines import left_at


class SlotGap(ApplyError):
    """A slot begins later than what the source has: what was committed between comes by no slot."""


@dataclass(frozen=True, slots=True)
class SlotPromise:
    """What the source has in writing of one store's slot, and the slot as its store shows it."""

    slot: str
    store: str
    confirmed: Lsn | None
    """None: there is no slot."""
    progress: Progress | None
    promised: WalOrigin | None
    """Whose position the progress is; None: nothing was promised yet."""
    now: WalOrigin
    left_at: Lsn | None = None
    """Where the store left the promised timeline; None while it has not, or when that cannot be told."""

    @property
    def gap(self) -> str:
        """Why the slot cannot have everything that the source lacks; "" when it has, or is not there at all."""
        if self.confirmed is None or self.progress is None or self.promised is None:
            return ""
        place = f"slot {self.slot} of store {self.store}"
        upto = self.progress.lsn
        if self.now.system_identifier != self.promised.system_identifier:
            return (
                f"{place} is one of another cluster (system identifier {self.now.system_identifier}, it was "
                f"{self.promised.system_identifier}); where it begins cannot be compared with what the source has"
            )
        if self.now.timeline != self.promised.timeline:
            change = f"store {self.store} went from timeline {self.promised.timeline} to {self.now.timeline}"
            if self.left_at is None:
                return f"{change}, and where is not in its history: whether {place} was kept cannot be told"
            if upto > self.left_at:
                return (
                    f"{change} at {lsn_text(self.left_at)}, but what the source has goes up to {lsn_text(upto)}: "
                    "the failover lost transactions, and later ones have their positions"
                )
        if self.confirmed > upto:
            return (
                f"{place} begins at {lsn_text(self.confirmed)}, but the source has everything only up to "
                f"{lsn_text(upto)}: somebody dropped it and made it anew, or moved it on; or the source was set back. "
                "What the store committed between the two comes by no slot"
            )
        return ""


def what_next(domain: str, *, armed: bool) -> str:
    """What to type about a gap; `armed`: nothing was to go back yet."""
    if armed:
        return (
            "Look who did it. Nothing was to go back yet, but a write in the store may have passed unseen: crossfade "
            f"cutover cancel {domain} --remove, crossfade verify, crossfade cutover rehearse {domain}"
        )
    return (
        "Look who did it. What only the store has is found by comparing both sides: crossfade rollback run "
        f"{domain} --confirm {domain} --accept-divergence {domain}"
    )


def read(
    source: MysqlConnection[Any],
    connection: PostgresConnection,
    dsn: SecretStr,
    slot: str,
    domain: str,
    store: str,
    database: str = reverse_tables.DATABASE,
) -> SlotPromise:
    """The promise and the slot now. `connection`, `dsn`: to the store. Raises Unreachable, AccessDenied.

    What is confirmed is read first: the rest only moves on, so a stream at work is never taken for a gap.
    """
    with translated(f"store {store}"):
        status = slots.slot_status(connection, slot)
    progress = reverse_tables.read(source, domain, store, database)
    promised = reverse_tables.origin(source, domain, store, database)
    with translated(f"store {store}"):
        now = slots.wal_origin(connection)
    left = None
    if promised is not None and promised.timeline != now.timeline:
        left = left_at(dsn, promised.timeline, now.timeline)
    confirmed = None if status is None or status.lost else status.confirmed
    return SlotPromise(slot, store, confirmed, progress, promised, now, left)

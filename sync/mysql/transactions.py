"""Where source transactions begin and end in the stream of events: a small state machine over headers and bodies.

Knows nothing of rows, sockets or the relay. Statements are looked at only as far as they open or close a group.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from model.errors import UnknownEvent
from sync.mysql.event_types import EventType
from sync.mysql.events import EventHeader, GtidEvent, parse_gtid, parse_query
from sync.mysql.payload import expand_mariadb

GTID_EVENTS: Final = frozenset(
    {EventType.GTID, EventType.ANONYMOUS_GTID, EventType.GTID_TAGGED, EventType.MARIADB_GTID}
)
_DUMMY: Final = re.compile(r"# Dummy ev(?:ent replacing event type (\d+))?")
_HARMLESS_DUMMIES: Final = frozenset({EventType.MARIADB_ANNOTATE_ROWS, EventType.MARIADB_BINLOG_CHECKPOINT})
_ROLLBACK: Final = re.compile(r"ROLLBACK(\s+WORK)?\s*;?\s*$", re.IGNORECASE)
_COMMIT: Final = re.compile(r"COMMIT(\s+WORK)?\s*;?\s*$", re.IGNORECASE)
_BEGIN: Final = re.compile(r"(BEGIN(\s+WORK)?|START\s+TRANSACTION)\s*;?\s*$", re.IGNORECASE)
_XA: Final = re.compile(r"XA\s+(\w+)", re.IGNORECASE)
_XID: Final = re.compile(r"XA\s+\w+\s+X'([0-9a-f]*)'\s*,\s*X'([0-9a-f]*)'\s*,\s*(\d+)", re.IGNORECASE)
"""As both servers write it into the binlog, whatever the application wrote."""
_SAVEPOINT: Final = re.compile(r"(SAVEPOINT|RELEASE\s+SAVEPOINT|ROLLBACK\s+(WORK\s+)?TO)\b", re.IGNORECASE)


class Boundary(StrEnum):
    """What an event is to the transaction it stands in."""

    INSIDE = "inside"
    """It belongs to the open transaction (and may have opened it)."""
    END = "end"
    """It is the last event of its transaction."""
    NEXT = "next"
    """The transaction before it ended without saying so; it opens the next one."""
    DUMMY = "dummy"
    """MariaDB put it in the place of an event that carries no data."""


@dataclass(frozen=True, slots=True)
class XaVerdict:
    """What became of a prepared XA transaction."""

    xid: str
    committed: bool


def xid_of(format_id: int, global_part: bytes, branch: bytes) -> str:
    """One spelling of an XA transaction's name."""
    return f"{global_part.hex()},{branch.hex()},{format_id}"


def xa_verdict(text: str) -> XaVerdict | None:
    """The verdict that a statement of the binlog gives, None when it gives none."""
    head = text[:1000].lstrip()
    verb, name = _XA.match(head), _XID.match(head)
    if verb is None or name is None or verb[1].upper() not in ("COMMIT", "ROLLBACK"):
        return None
    xid = xid_of(int(name[3]), bytes.fromhex(name[1]), bytes.fromhex(name[2]))
    return XaVerdict(xid, verb[1].upper() == "COMMIT")


class TransactionTracker:
    """Follows one stream; `reset` at every reconnect."""

    def __init__(self) -> None:
        self.gtid: GtidEvent | None = None
        self.open = False
        self.rolled_back = False
        self.preparing = False
        """The open transaction is one of XA that ends in XA PREPARE (or is committed in one phase)."""
        self.verdict: XaVerdict | None = None
        """What the open transaction says of one that was prepared before."""
        self._grouped = False
        self._events = 0

    def reset(self) -> None:
        """Forget the open transaction."""
        self.gtid = None
        self.open = self.rolled_back = self.preparing = self._grouped = False
        self.verdict = None
        self._events = 0

    @property
    def takes_rows(self) -> bool:
        """Whether row events that follow stand inside the open transaction and count with it."""
        return self.open and not self.preparing

    def inside(self, count: int) -> None:
        """So many row events and table maps follow, which need no look."""
        self._events += count

    def feed(self, header: EventHeader, body: bytes) -> Boundary:
        """Judge a transactional event; after END the caller reads `gtid` and `rolled_back`, then calls `reset`."""
        kind = header.type
        if kind in GTID_EVENTS:
            implicit = self.open and self._events > 1
            following = parse_gtid(kind, header.server_id, body)
            if implicit:
                return Boundary.NEXT
            self._start(following)
            return Boundary.INSIDE
        self.open = True
        self._events += 1
        if kind in (EventType.XID, EventType.XA_PREPARE, EventType.TRANSACTION_PAYLOAD):
            return Boundary.END
        if kind == EventType.QUERY:
            if body.endswith(b"\0BEGIN"):
                self._grouped = True
                return Boundary.INSIDE
            return self._query(parse_query(body).text)
        if kind == EventType.MARIADB_QUERY_COMPRESSED:
            return self._query(parse_query(expand_mariadb(header, body)[1]).text)
        if kind == EventType.EXECUTE_LOAD_QUERY and not self._grouped:
            return Boundary.END
        return Boundary.INSIDE

    def _start(self, gtid: GtidEvent) -> None:
        self.reset()
        self.gtid = gtid
        self.open = True
        self._events = 1
        # MariaDB writes no BEGIN: a group that is not standalone is open from its GTID on.
        self._grouped = gtid.standalone is False
        self.preparing = gtid.prepared_xa

    def _query(self, text: str) -> Boundary:
        head = text[:200].lstrip()
        if _COMMIT.match(head):
            return Boundary.END
        if _ROLLBACK.match(head):
            self.rolled_back = True
            return Boundary.END
        if _BEGIN.match(head):
            self._grouped = True
            return Boundary.INSIDE
        if verb := _XA.match(head):
            if verb[1].upper() in ("COMMIT", "ROLLBACK"):
                self.verdict = xa_verdict(text)
                return Boundary.END
            self._grouped = True
            self.preparing = self.preparing or verb[1].upper() in ("START", "BEGIN")
            return Boundary.INSIDE
        if dummy := _DUMMY.match(head):
            if dummy[1] is None or int(dummy[1]) in _HARMLESS_DUMMIES:
                self._events -= 1
                self.open = self.gtid is not None or self._events > 0
                return Boundary.DUMMY
            raise UnknownEvent("the source replaced an event that it thinks crossfade cannot read", event_type=dummy[1])
        if self._grouped or _SAVEPOINT.match(head):
            return Boundary.INSIDE
        return Boundary.END

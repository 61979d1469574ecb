"""The register of reports: each entry's link is a digest over the entry before it, so that none can be slipped in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from psycopg.types.json import Jsonb

from stores.postgres import PostgresConnection

ORIGIN: Final = "0" * 64
"""What the first report of a migration is chained to."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One report in the register."""

    name: str
    number: int
    made_at: datetime
    actor: str
    outcome: str
    digests: Mapping[str, str]
    previous: str
    link: str = ""
    files: Mapping[str, str] | None = None
    """Format → path."""
    slot: datetime | None = None
    delivery: Mapping[str, Any] | None = None

    def linked(self) -> str:
        """The link that this entry has: SHA-256 over the one before and all that the entry says of the report."""
        moment = self.made_at.astimezone(UTC).isoformat(timespec="microseconds")
        digests = json.dumps(dict(self.digests), sort_keys=True)
        parts = (self.previous, self.name, str(self.number), moment, self.actor, self.outcome, digests)
        return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


_COLUMNS = b"name, number, made_at, actor, outcome, digests, previous, link, files, slot, delivery"


def hold_head(connection: PostgresConnection, name: str) -> tuple[int, str]:
    """Number and link of the last report (0 and ORIGIN before the first); nobody else adds one until the commit."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('crossfade report ' || %s, 0))", (name,))
    row = connection.execute(
        "SELECT number, link FROM crossfade.report WHERE name = %s ORDER BY number DESC LIMIT 1", (name,)
    ).fetchone()
    return (int(row[0]), str(row[1])) if row else (0, ORIGIN)


def add(connection: PostgresConnection, entry: Entry, document: Mapping[str, Any]) -> None:
    """Enter a report. In the transaction that has called `hold_head`."""
    connection.execute(
        "INSERT INTO crossfade.report (name, number, made_at, actor, outcome, digests, previous, link, files, slot, "
        "document) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            entry.name,
            entry.number,
            entry.made_at,
            entry.actor,
            entry.outcome,
            Jsonb(dict(entry.digests)),
            entry.previous,
            entry.link,
            Jsonb(dict(entry.files or {})),
            entry.slot,
            Jsonb(dict(document)),
        ),
    )


def every(connection: PostgresConnection, name: str) -> tuple[Entry, ...]:
    """The whole register, oldest first; () when there is none."""
    row = connection.execute("SELECT to_regclass('crossfade.report') IS NOT NULL").fetchone()
    if not row or not row[0]:
        return ()
    rows = connection.execute(
        b"SELECT " + _COLUMNS + b" FROM crossfade.report WHERE name = %s ORDER BY number", (name,)
    ).fetchall()
    return tuple(Entry(*row) for row in rows)


def document_of(connection: PostgresConnection, name: str, number: int | None = None) -> Mapping[str, Any] | None:
    """The content of a report, of the last without a number; None when it is not (or no longer) there."""
    row = connection.execute(
        "SELECT document FROM crossfade.report WHERE name = %s AND (%s::bigint IS NULL OR number = %s) "
        "AND document IS NOT NULL ORDER BY number DESC LIMIT 1",
        (name, number, number),
    ).fetchone()
    return dict(row[0]) if row else None


def last_slot(connection: PostgresConnection, name: str) -> datetime | None:
    """The last moment of the schedule that a report was made for."""
    row = connection.execute("SELECT max(slot) FROM crossfade.report WHERE name = %s", (name,)).fetchone()
    return row[0] if row else None


def delivered(connection: PostgresConnection, name: str, number: int, outcome: Mapping[str, Any]) -> None:
    """Note what became of the delivery."""
    connection.execute(
        "UPDATE crossfade.report SET delivery = %s WHERE name = %s AND number = %s",
        (Jsonb(dict(outcome)), name, number),
    )


def expire(connection: PostgresConnection, name: str, keep_days: float) -> tuple[Entry, ...]:
    """Forget the content of reports older than that and give their entries; the chain stays."""
    rows = connection.execute(
        b"UPDATE crossfade.report SET document = NULL WHERE name = %s AND document IS NOT NULL "
        b"AND made_at < clock_timestamp() - make_interval(secs => %s) RETURNING " + _COLUMNS,
        (name, keep_days * 86_400.0),
    ).fetchall()
    return tuple(Entry(*row) for row in rows)


def broken_at(chain: Iterable[Entry]) -> Entry | None:
    """The first entry that does not follow from the one before; None when the chain holds."""
    before, number = ORIGIN, 0
    for entry in chain:
        if entry.previous != before or entry.linked() != entry.link or entry.number != number + 1:
            return entry
        before, number = entry.link, entry.number
    return None

"""The journal of cutovers and rollbacks: an entry before and after every step, chained by digests.

The digest of an entry is SHA-256 over the digest before it (of the same domain) and its own text, so a changed,
missing or inserted entry breaks the chain; anybody can compute it again from the entries alone.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from stores.postgres import PostgresConnection

ORIGIN: Final = "0" * 64
"""What the first entry of a domain is chained to."""


class Kind(StrEnum):
    """What an entry says of its step."""

    INTENT = "intent"
    """About to be done, maybe in part already."""
    OBSERVED = "observed"
    """Done; the facts are what was seen."""
    FAILED = "failed"
    UNDONE = "undone"
    PHASE = "phase"
    """The domain moved; `step` is the new phase."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry; `at_us` in epoch microseconds of the daemon's clock."""

    domain: str
    epoch: int
    step: str
    kind: Kind
    facts: str
    actor: str
    fence: int
    at_us: int
    digest: str = ""

    def chained(self, before: str) -> str:
        """The digest that this entry has after one with digest `before`."""
        text = "\x1f".join(
            (before, self.domain, str(self.epoch), self.step, str(self.kind), self.facts, self.actor,
             str(self.fence), str(self.at_us))
        )  # fmt: skip
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def values(self) -> Mapping[str, Any]:
        """The facts."""
        return dict(json.loads(self.facts))


def append(
    connection: PostgresConnection,
    name: str,
    domain: str,
    epoch: int,
    step: str,
    kind: Kind,
    facts: Mapping[str, Any],
    *,
    actor: str,
    fence: int,
    before: str | None = None,
) -> Entry:
    """Add an entry at the end of the domain's chain. In a transaction that holds the daemon's row.

    `before`: the digest at the chain's end, for whoever has just written it; None: it is read.
    """
    if before is None:
        row = connection.execute(
            "SELECT digest FROM crossfade.cutover_journal WHERE name = %s AND domain = %s ORDER BY id DESC LIMIT 1",
            (name, domain),
        ).fetchone()
        before = str(row[0]) if row else ORIGIN
    text = json.dumps(dict(facts), sort_keys=True, ensure_ascii=False, default=str)
    bare = Entry(domain, epoch, step, kind, text, actor, fence, time.time_ns() // 1000)
    digest = bare.chained(before)
    connection.execute(
        "INSERT INTO crossfade.cutover_journal (name, domain, epoch, step, kind, facts, actor, fence, at_us, digest) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (name, domain, epoch, step, str(kind), text, actor, fence, bare.at_us, digest),
    )
    return Entry(domain, epoch, step, kind, text, actor, fence, bare.at_us, digest)


def entries(connection: PostgresConnection, name: str, domain: str, epoch: int | None = None) -> tuple[Entry, ...]:
    """A domain's entries in order; of one epoch or all."""
    rows = connection.execute(
        "SELECT domain, epoch, step, kind, facts, actor, fence, at_us, digest FROM crossfade.cutover_journal "
        "WHERE name = %s AND domain = %s AND (%s::bigint IS NULL OR epoch = %s) ORDER BY id",
        (name, domain, epoch, epoch),
    ).fetchall()
    return tuple(Entry(row[0], row[1], row[2], Kind(row[3]), *row[4:]) for row in rows)


def newer(connection: PostgresConnection, name: str, domain: str, seen: int) -> tuple[tuple[Entry, ...], int]:
    """A domain's entries after the one numbered `seen`, and the number of the last; 0: from the first."""
    rows = connection.execute(
        "SELECT domain, epoch, step, kind, facts, actor, fence, at_us, digest, id FROM crossfade.cutover_journal "
        "WHERE name = %s AND domain = %s AND id > %s ORDER BY id",
        (name, domain, seen),
    ).fetchall()
    found = tuple(Entry(row[0], row[1], row[2], Kind(row[3]), *row[4:9]) for row in rows)
    return found, int(rows[-1][9]) if rows else seen


def last_of(connection: PostgresConnection, name: str, domain: str, step: str, kind: Kind) -> Entry | None:
    """The newest entry of a step of one kind, None when there is none."""
    row = connection.execute(
        "SELECT domain, epoch, step, kind, facts, actor, fence, at_us, digest FROM crossfade.cutover_journal "
        "WHERE name = %s AND domain = %s AND step = %s AND kind = %s ORDER BY id DESC LIMIT 1",
        (name, domain, step, str(kind)),
    ).fetchone()
    return Entry(row[0], row[1], row[2], Kind(row[3]), *row[4:]) if row else None


def broken_at(chain: Iterable[Entry], before: str = ORIGIN) -> Entry | None:
    """The first entry whose digest does not follow from the one before; None when the chain holds."""
    for entry in chain:
        if entry.chained(before) != entry.digest:
            return entry
        before = entry.digest
    return None

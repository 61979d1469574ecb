"""What applications are told about a domain: where they write, where they read, and a number that rises with it.

Who takes writes is `domain_state.side`; this table adds what readers are told. `epoch` is that of the last change of
sides, so it rises exactly when writers have to go elsewhere; `revision` rises with every change, also of the phase.
Every change is announced on channel `crossfade_route` when its transaction commits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from stores.postgres import PostgresConnection

CHANNEL: Final = "crossfade_route"
"""NOTIFY channel; the payload is `migration/domain`."""


@dataclass(frozen=True, slots=True)
class Route:
    """One domain as applications see it; `changed_s` in epoch seconds of the control store's clock."""

    domain: str
    phase: str
    side: str
    epoch: int
    reads: str
    canary_percent: int
    revision: int
    reason: str = ""
    changed_s: float = 0.0


_SELECT = b"""
    SELECT d.domain, d.phase, d.side, coalesce(r.epoch, 0), coalesce(r.reads, d.side), coalesce(r.canary_percent, 0),
           coalesce(r.revision, 0), coalesce(r.reason, ''),
           extract(epoch from coalesce(r.changed_at, d.since))::float8
      FROM crossfade.domain_state d LEFT JOIN crossfade.route r USING (name, domain) WHERE d.name = %s
"""


def read(connection: PostgresConnection, name: str, domain: str) -> Route | None:
    """One domain's route, None when the domain was never touched."""
    row = connection.execute(_SELECT + b" AND d.domain = %s", (name, domain)).fetchone()
    return Route(*row) if row else None


def every(connection: PostgresConnection, name: str) -> dict[str, Route]:
    """Domain → its route, for all domains that were ever touched."""
    rows = connection.execute(_SELECT + b" ORDER BY d.domain", (name,)).fetchall()
    return {row[0]: Route(*row) for row in rows}


def follow(connection: PostgresConnection, name: str, domain: str, flipped_to: str | None, epoch: int) -> None:
    """Announce that the domain moved, in the transaction that moves it.

    `flipped_to` is the side that takes the writes from now on when that changed: readers go there too.
    """
    connection.execute(
        "INSERT INTO crossfade.route AS r (name, domain, epoch, reads, revision) "
        "VALUES (%(name)s, %(domain)s, CASE WHEN %(side)s::text IS NULL THEN 0 ELSE %(epoch)s::bigint END, "
        "coalesce(%(side)s::text, 'source'), 1) "
        "ON CONFLICT (name, domain) DO UPDATE SET revision = r.revision + 1, changed_at = clock_timestamp(), "
        "epoch = CASE WHEN %(side)s::text IS NULL THEN r.epoch ELSE %(epoch)s::bigint END, "
        "canary_percent = CASE WHEN %(side)s::text IS NULL THEN r.canary_percent ELSE 0 END, "
        "reason = CASE WHEN %(side)s::text IS NULL THEN r.reason ELSE '' END, "
        "reads = coalesce(%(side)s::text, r.reads)",
        {"name": name, "domain": domain, "side": flipped_to, "epoch": epoch},
    )
    _announce(connection, name, domain)


def choose(
    connection: PostgresConnection, name: str, domain: str, *, reads: str, canary_percent: int, reason: str
) -> None:
    """Set where readers go. In a transaction that holds the domain's row."""
    connection.execute(
        "INSERT INTO crossfade.route AS r (name, domain, reads, canary_percent, reason, revision) "
        "VALUES (%s, %s, %s, %s, %s, 1) ON CONFLICT (name, domain) DO UPDATE SET reads = excluded.reads, "
        "canary_percent = excluded.canary_percent, reason = excluded.reason, revision = r.revision + 1, "
        "changed_at = clock_timestamp()",
        (name, domain, reads, canary_percent, reason),
    )
    _announce(connection, name, domain)


def _announce(connection: PostgresConnection, name: str, domain: str) -> None:
    connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, f"{name}/{domain}"))

"""Where each domain is between source and stores, in the control store: phase, epoch, side, and the last outcome.

Plain reads and writes; which transitions are allowed is `cutover/phases.py`'s knowledge. Every write is a
compare-and-set on phase and epoch under the daemon's fence, so that a displaced daemon changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from psycopg.types.json import Jsonb

from model.errors import Fenced
from stores.control import routes
from stores.postgres import PostgresConnection


@dataclass(frozen=True, slots=True)
class DomainState:
    """One domain. `boundary`: store → LSN as a number from which the reverse stream sends back."""

    name: str
    domain: str
    phase: str
    epoch: int = 0
    side: str = "source"
    boundary: Mapping[str, int] = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""
    since_s: float = 0.0


_COLUMNS = b"name, domain, phase, epoch, side, boundary, result, problem, extract(epoch from since)::float8"


def read(connection: PostgresConnection, name: str, domain: str) -> DomainState | None:
    """One domain, None when it was never touched."""
    row = connection.execute(
        b"SELECT " + _COLUMNS + b" FROM crossfade.domain_state WHERE name = %s AND domain = %s", (name, domain)
    ).fetchone()
    return DomainState(*row) if row else None


def every(connection: PostgresConnection, name: str) -> tuple[DomainState, ...]:
    """All domains of a migration."""
    rows = connection.execute(
        b"SELECT " + _COLUMNS + b" FROM crossfade.domain_state WHERE name = %s ORDER BY domain", (name,)
    ).fetchall()
    return tuple(DomainState(*row) for row in rows)


def ensure(connection: PostgresConnection, name: str, domain: str, phase: str) -> DomainState:
    """The domain, entered with `phase` if it is new."""
    connection.execute(
        "INSERT INTO crossfade.domain_state (name, domain, phase) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        (name, domain, phase),
    )
    found = read(connection, name, domain)
    assert found is not None
    return found


def hold(connection: PostgresConnection, name: str, domain: str) -> DomainState | None:
    """The domain, which does not move until this transaction ends."""
    row = connection.execute(
        b"SELECT " + _COLUMNS + b" FROM crossfade.domain_state WHERE name = %s AND domain = %s FOR SHARE",
        (name, domain),
    ).fetchone()
    return DomainState(*row) if row else None


def hold_daemon(connection: PostgresConnection, name: str, fence: int) -> None:
    """Make sure that this daemon is not displaced until the transaction ends. Raises Fenced."""
    row = connection.execute("SELECT fence FROM crossfade.daemon WHERE name = %s FOR SHARE", (name,)).fetchone()
    if row is None or row[0] != fence:
        raise Fenced(daemon=name, ours=fence, theirs=row[0] if row else None)


def move(connection: PostgresConnection, before: DomainState, after: DomainState) -> None:
    """Compare-and-set on phase and epoch; applications are told. Raises Fenced.

    In the transaction that has called `hold_daemon`.
    """
    done = connection.execute(
        "UPDATE crossfade.domain_state SET phase = %s, epoch = %s, side = %s, boundary = %s, problem = %s, "
        "since = CASE WHEN phase = %s THEN since ELSE clock_timestamp() END "
        "WHERE name = %s AND domain = %s AND phase = %s AND epoch = %s",
        (
            after.phase,
            after.epoch,
            after.side,
            Jsonb(dict(after.boundary)),
            after.problem,
            after.phase,
            before.name,
            before.domain,
            before.phase,
            before.epoch,
        ),
    )
    if done.rowcount != 1:
        raise Fenced("the domain was moved by somebody else", domain=before.domain, epoch=before.epoch)
    flipped_to = after.side if after.side != before.side else None
    routes.follow(connection, before.name, before.domain, flipped_to, after.epoch)


def finish(connection: PostgresConnection, name: str, domain: str, result: Mapping[str, Any]) -> None:
    """Leave the outcome of a request for whoever asked."""
    connection.execute(
        "UPDATE crossfade.domain_state SET result = %s WHERE name = %s AND domain = %s",
        (Jsonb(dict(result)), name, domain),
    )


def complain(connection: PostgresConnection, name: str, domain: str, problem: str) -> None:
    """Say what keeps the domain from going on; "" when nothing does."""
    connection.execute(
        "UPDATE crossfade.domain_state SET problem = %s WHERE name = %s AND domain = %s AND problem <> %s",
        (problem, name, domain, problem),
    )

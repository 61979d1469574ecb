"""The history of a migration: what happened when, for people. Never read to decide anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from stores.postgres import PostgresConnection


@dataclass(frozen=True, slots=True)
class HistoryEvent:
    """One entry; `at_s` in epoch seconds of the control store's clock."""

    id: int
    kind: str
    message: str
    facts: Mapping[str, Any]
    at_s: float


def record(connection: PostgresConnection, name: str, kind: str, message: str, **facts: Any) -> None:
    """Add an entry for the migration `name`. Facts must be JSON values and hold no secret."""
    connection.execute(
        "INSERT INTO crossfade.event (name, kind, message, facts) VALUES (%s, %s, %s, %s)",
        (name, kind, message, Jsonb(facts)),
    )


def latest(connection: PostgresConnection, name: str, limit: int = 100, after: int = 0) -> tuple[HistoryEvent, ...]:
    """The last entries with an id above `after`, oldest first."""
    rows = connection.execute(
        "SELECT id, kind, message, facts, extract(epoch from at)::float8 FROM crossfade.event "
        "WHERE name = %s AND id > %s ORDER BY id DESC LIMIT %s",
        (name, after, limit),
    ).fetchall()
    return tuple(HistoryEvent(*row) for row in reversed(rows))

"""Whether a store keeps what it computes by itself: read models and looked-up columns, each with one word of state."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from stores.postgres import PostgresConnection
from sync.postgres import lookups, read_models
from transforms.lookup import Lookup
from validators.computed_verdict import Computed, computed_id


class Kept(StrEnum):
    """States of a computed table or column."""

    CURRENT = "current"
    STALE = "stale"
    """Its SQL has failed: it holds what it held before, until it is rebuilt."""
    NOT_CREATED = "not created"
    """It is made when all tables of its store stream."""


@dataclass(frozen=True, slots=True)
class ComputedState:
    """One of them now."""

    plan: str
    """The plan id of its verdicts and proofs."""
    name: str
    """By which `crossfade readmodel rebuild` takes it."""
    store: str
    state: Kept
    since: str = ""
    """Of a stale one: since when (UTC), and the error."""
    error: str = ""

    @property
    def next(self) -> str:
        """What mends it."""
        return "" if self.state is Kept.CURRENT else f"crossfade readmodel rebuild {self.name}"

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "plan": self.plan, "name": self.name, "store": self.store, "state": str(self.state), "since": self.since,
            "error": self.error, "next": self.next,
        }  # fmt: skip


def state_of(connection: PostgresConnection, one: Computed) -> ComputedState:
    """Ask its store. Raises what the store raises."""
    if isinstance(one, Lookup):
        there, since, error = lookups.kept(connection, one), "", ""
    else:
        there, since, error = read_models.state(connection, one)
    state = Kept.STALE if since else Kept.CURRENT if there else Kept.NOT_CREATED
    return ComputedState(computed_id(one), one.name, one.store, state, since, error)

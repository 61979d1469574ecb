"""Statements of the source that tables are held for, and what an operator decided about each.

Plain reads and writes in the store; written with the table's state in one transaction. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from stores.control.ddl_log import shown
from stores.postgres import PostgresConnection


class Decision(StrEnum):
    """What was decided about a statement."""

    APPROVED = "approved"
    """The store does the same."""
    REJECTED = "rejected"
    """The store keeps what it has."""


@dataclass(frozen=True, slots=True)
class HeldDdl:
    """A table plan that is held for the statement of transaction `seq`."""

    plan_id: str
    seq: int
    statement: str
    store_statement: str = ""
    """What would run in the store on approval; "" when no statement can do it."""
    why: str = ""
    decision: Decision | None = None


def hold(connection: PostgresConnection, stream: str, held: HeldDdl) -> None:
    """Enter it, undecided; a decision that could not be carried out is void."""
    connection.execute(
        "INSERT INTO crossfade.held_ddl AS old (stream, plan_id, seq, source_statement, store_statement, why) "
        "VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (stream, plan_id, seq) DO UPDATE SET "
        "store_statement = excluded.store_statement, why = excluded.why, decision = NULL",
        (stream, held.plan_id, held.seq, shown(held.statement), held.store_statement, held.why),
    )


def load(connection: PostgresConnection, stream: str, plan_ids: Iterable[str] | None = None) -> list[HeldDdl]:
    """Everything that is or was held, oldest first; of some plans or of all."""
    rows = connection.execute(
        "SELECT plan_id, seq, source_statement, store_statement, why, decision FROM crossfade.held_ddl "
        "WHERE stream = %s AND (%s::text[] IS NULL OR plan_id = ANY(%s)) ORDER BY seq, plan_id",
        (stream, *[None if plan_ids is None else list(plan_ids)] * 2),
    ).fetchall()
    return [
        HeldDdl(plan_id, seq, statement, store_statement, why, Decision(decision) if decision else None)
        for plan_id, seq, statement, store_statement, why, decision in rows
    ]


def decide(connection: PostgresConnection, stream: str, held: HeldDdl, decision: Decision, actor: str) -> None:
    """Write down a decision."""
    connection.execute(
        "UPDATE crossfade.held_ddl SET decision = %s, actor = %s WHERE stream = %s AND plan_id = %s AND seq = %s",
        (str(decision), actor, stream, held.plan_id, held.seq),
    )

"""Puts rows that a copy cannot load into the store's quarantine, in the transaction of their chunk."""

from __future__ import annotations

from model.rows import Op, RowChange
from stores.control import quarantine
from stores.postgres import PostgresConnection
from sync.parked_rows import row_key, storable, to_payload
from sync.postgres.copy import Refusal
from transforms.plan import TablePlan


def park_refusal(connection: PostgresConnection, stream: str, plan: TablePlan, refusal: Refusal, seq: int) -> None:
    """Park one row with key, reason and the whole source row; `seq` is S of the copy."""
    quarantine.park(
        connection,
        stream,
        plan.id,
        key=row_key(plan, refusal.source),
        seq=seq,
        op=Op.INSERT,
        payload=to_payload(plan, RowChange(Op.INSERT, plan.source.id, None, refusal.source)),
        error=storable(f"{refusal.error}"),
    )

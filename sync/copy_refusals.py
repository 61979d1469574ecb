"""Puts rows that a copy cannot load into the store's quarantine, in the transaction of their chunk."""

from __future__ import annotations

import json

from model.errors import ValueRefused
from model.rows import Field, Op
from stores.control import quarantine
from stores.postgres import PostgresConnection
from sync.postgres.copy import Refusal
from transforms.plan import TablePlan


def park_refusal(connection: PostgresConnection, stream: str, plan: TablePlan, refusal: Refusal, seq: int) -> None:
    """Park one row with key, reason and the whole source row; `seq` is S of the copy."""
    quarantine.park(
        connection,
        stream,
        plan.id,
        key=key_of(plan, refusal),
        seq=seq,
        op=Op.INSERT,
        payload=payload_of(plan, refusal),
        error=_storable(f"{refusal.error}"),
    )


def key_of(plan: TablePlan, refusal: Refusal) -> tuple[str | None, ...]:
    """Text forms of the target key; of the source's value where the key itself is refused."""
    found = []
    for index in plan.key:
        column = plan.columns[index]
        try:
            value = column.value(refusal.source)
        except ValueRefused:
            value = refusal.source[column.source] if column.source is not None else None
        found.append(None if (text := _text(value)) is None else _storable(text))
    return tuple(found)


def payload_of(plan: TablePlan, refusal: Refusal) -> bytes:
    """The source row as a JSON object: column → text form or null."""
    names = [column.name for column in plan.source.columns]
    row = {name: _text(value) for name, value in zip(names, refusal.source, strict=True)}
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode()


def _text(value: Field) -> str | None:
    # Text forms are UTF-8; a field that its character set cannot decode was given as \x… by the reader.
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else None


def _storable(text: str) -> str:
    """Without what PostgreSQL's text and jsonb cannot hold."""
    return text.replace("\x00", "\\u0000")

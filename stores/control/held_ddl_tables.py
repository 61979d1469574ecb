"""Definition of the table that remembers what tables are held for (`held_ddl.py`)."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, PrimaryKeyConstraint, Table, Text, text
from sqlalchemy.dialects.postgresql import TIMESTAMP

from stores.control.tables import STORE

HELD_DDL: Final = Table(
    "held_ddl",
    STORE,
    Column("stream", Text, nullable=False),
    Column("plan_id", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("source_statement", Text, nullable=False),
    Column("store_statement", Text, nullable=False, server_default=text("''")),
    Column("why", Text, nullable=False, server_default=text("''")),
    Column("decision", Text),
    Column("actor", Text),
    Column("held_at", TIMESTAMP(timezone=True), nullable=False, server_default=text("clock_timestamp()")),
    PrimaryKeyConstraint("stream", "plan_id", "seq"),
    info={"since": 4},
)

"""Definitions of what a cutover keeps beside its state and journal: pinned servers, foreign writes behind it."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Identity, Index, PrimaryKeyConstraint, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

from stores.control.tables import CONTROL, STORE

DOMAIN_PIN = Table(
    "domain_pin",
    CONTROL,
    Column("name", Text, nullable=False),
    Column("domain", Text, nullable=False),
    # "source" or "store NAME" → server_uuid or system_identifier.
    Column("identities", JSONB, nullable=False),
    PrimaryKeyConstraint("name", "domain"),
    info={"since": 4},
)

SOURCE_LEAK = Table(
    "source_leak",
    STORE,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("stream", Text, nullable=False),
    Column("domain", Text, nullable=False),
    Column("source_table", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("position", Text, nullable=False),
    Column("thread_id", BigInteger),
    # user@host, when somebody could still be asked.
    Column("who", Text, nullable=False, server_default=text("''")),
    Column("statement", Text, nullable=False, server_default=text("''")),
    Column("row_count", BigInteger, nullable=False),
    # [{"op", "old", "new"}], whole rows by column, the first of them.
    Column("rows", JSONB, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'open'")),
    Column("at", TIMESTAMP(timezone=True), nullable=False, server_default=text("clock_timestamp()")),
    Index("source_leak_once", "stream", "seq", "source_table", unique=True),
    info={"since": 4},
)

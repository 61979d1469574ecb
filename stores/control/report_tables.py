"""Definitions of what reports are made of and remembered by: lag and throughput over time, the register."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, PrimaryKeyConstraint, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

from stores.control.tables import CONTROL

SAMPLE = Table(
    "sample",
    CONTROL,
    Column("name", Text, nullable=False),
    Column("at", TIMESTAMP(timezone=True), nullable=False),
    Column("store", Text, nullable=False),
    # NULL: not known during the whole span.
    Column("lag_s", Double),
    Column("lag_max_s", Double),
    Column("rows", BigInteger, nullable=False, server_default=text("0")),
    Column("seconds", Double, nullable=False),
    PrimaryKeyConstraint("name", "at", "store"),
    info={"since": 4},
)

REPORT = Table(
    "report",
    CONTROL,
    Column("name", Text, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("made_at", TIMESTAMP(timezone=True), nullable=False),
    Column("actor", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    # Format → SHA-256 of the file's content.
    Column("digests", JSONB, nullable=False),
    Column("previous", Text, nullable=False),
    Column("link", Text, nullable=False),
    # The report itself; NULL when its time is over. The chain stays.
    Column("document", JSONB),
    Column("files", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    # The moment of the schedule that it was made for, and what became of its delivery.
    Column("slot", TIMESTAMP(timezone=True)),
    Column("delivery", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    PrimaryKeyConstraint("name", "number"),
    info={"since": 4},
)

"""Definitions of the verification's own tables in the control store: chunks of runs, proofs, coverage over time."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Index, Integer, PrimaryKeyConstraint, Table, Text, text
from sqlalchemy.dialects.postgresql import JSON, JSONB, TIMESTAMP

from stores.control.tables import CONTROL

VERIFY_CHUNK = Table(
    "verify_chunk",
    CONTROL,
    Column("run_id", BigInteger, nullable=False),
    Column("chunk_no", Integer, nullable=False),
    Column("plan_id", Text, nullable=False),
    # Which rows: see `validators.spans.Span`.
    Column("span", JSONB, nullable=False),
    Column("rows", BigInteger, nullable=False, server_default=text("0")),
    Column("state", Text, nullable=False, server_default=text("'open'")),
    # Who works on it: a random word of that worker, the backend of its connection, and until when it is believed.
    Column("lease", Text),
    Column("lease_pid", Integer),
    Column("lease_until", TIMESTAMP(timezone=True)),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    # Not jsonb: the columns of keys keep their order.
    Column("result", JSON),
    Column("done_at", TIMESTAMP(timezone=True)),
    PrimaryKeyConstraint("run_id", "chunk_no"),
    Index("verify_chunk_open", "run_id", "chunk_no", postgresql_where=text("state <> 'done'")),
    info={"since": 4},
)

VERIFY_PROOF = Table(
    "verify_proof",
    CONTROL,
    Column("name", Text, nullable=False),
    Column("plan_id", Text, nullable=False),
    Column("chunk_no", Integer, nullable=False),
    Column("span", JSONB, nullable=False),
    Column("rows", BigInteger, nullable=False, server_default=text("0")),
    Column("state", Text, nullable=False, server_default=text("'unproven'")),
    Column("why", Text, nullable=False, server_default=text("''")),
    # Begin of the last comparison that found every row of the chunk equal; NULL: there was none yet.
    Column("proven_at", TIMESTAMP(timezone=True)),
    Column("checked_at", TIMESTAMP(timezone=True)),
    # Rows of the chunk are known to have changed since, more than were compared one by one.
    Column("changed_at", TIMESTAMP(timezone=True)),
    # T of that proof: the store's transaction, and the source's position.
    Column("seq", BigInteger, nullable=False, server_default=text("0")),
    Column("position", Text, nullable=False, server_default=text("''")),
    Column("transform", Text, nullable=False, server_default=text("''")),
    Column("canonical", Integer, nullable=False, server_default=text("0")),
    Column("seconds", Double, nullable=False, server_default=text("0")),
    PrimaryKeyConstraint("name", "plan_id", "chunk_no"),
    info={"since": 4},
)

VERIFY_COVERAGE = Table(
    "verify_coverage",
    CONTROL,
    Column("name", Text, nullable=False),
    Column("at", TIMESTAMP(timezone=True), nullable=False, server_default=text("clock_timestamp()")),
    Column("rows", BigInteger, nullable=False),
    Column("rows_proven", BigInteger, nullable=False),
    Column("oldest_age_s", Double),
    PrimaryKeyConstraint("name", "at"),
    info={"since": 4},
)

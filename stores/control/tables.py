"""Definitions of our own tables. `since` (in `info`) is the schema version that brought a table or column.

Only additions are made between versions: a new table, or a new column with a default. `migrations.py` derives the
statements from `since`; nothing here runs anything.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Identity,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import BYTEA, JSONB, TIMESTAMP

from stores.control.names import SCHEMA

VERSION = 4

STORE = MetaData(schema=SCHEMA)
"""Tables of every store."""
CONTROL = MetaData(schema=SCHEMA)
"""Tables of the control store; it may be one of the stores, so names differ from those of `STORE`."""


def _text(name: str, default: str | None = "", **options: Any) -> Column[Any]:
    server_default = None if default is None else text("'" + default + "'")
    return Column(name, Text, nullable=False, server_default=server_default, **options)


def _number(name: str, default: int | None = 0) -> Column[Any]:
    return Column(name, BigInteger, nullable=False, server_default=None if default is None else text(str(default)))


def _time(name: str, *, nullable: bool = False, now: bool = True) -> Column[Any]:
    return Column(
        name, TIMESTAMP(timezone=True), nullable=nullable, server_default=text("clock_timestamp()") if now else None
    )


CHECKPOINT = Table(
    "checkpoint",
    STORE,
    Column("stream", Text, primary_key=True),
    _number("seq"),
    _text("flavour", None),
    _text("binlog_file"),
    _number("binlog_offset"),
    _text("gtids"),
    _time("commit_time", nullable=True, now=False),
    _number("fence"),
    _number("applied_rows"),
    _number("applied_transactions"),
    _time("updated_at"),
    # Updated by every transaction of the applier: room for HOT updates keeps it one page.
    postgresql_with={"fillfactor": 10},
)

TABLE_STATE = Table(
    "table_state",
    STORE,
    _text("stream", None),
    _text("plan_id", None),
    _text("phase", "pending"),
    Column("gate_seq", BigInteger),
    Column("high_file", Text),
    Column("high_offset", BigInteger),
    Column("applied_seq", BigInteger),
    _number("rows_copied"),
    Column("resume", Text),
    Column("sweep", Boolean, nullable=False, server_default=text("false")),
    Column("reason", Text),
    _time("since"),
    PrimaryKeyConstraint("stream", "plan_id"),
    postgresql_with={"fillfactor": 50},
)

SNAPSHOT_CHUNK = Table(
    "snapshot_chunk",
    STORE,
    _text("stream", None),
    _text("plan_id", None),
    Column("chunk_no", Integer, nullable=False),
    Column("low", JSONB),
    Column("high", JSONB),
    _number("rows"),
    _number("seq"),
    _time("loaded_at"),
    PrimaryKeyConstraint("stream", "plan_id", "chunk_no"),
)

SCHEMA_HISTORY = Table(
    "schema_history",
    STORE,
    _text("stream", None),
    _text("schema_name", None),
    _text("table_name", None),
    _number("from_seq", None),
    # Text, not jsonb: the fingerprint is over the exact text.
    Column("definition", Text),
    _text("fingerprint"),
    _time("recorded_at"),
    PrimaryKeyConstraint("stream", "schema_name", "table_name", "from_seq"),
)

QUARANTINE = Table(
    "quarantine",
    STORE,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _text("stream", None),
    _text("plan_id", None),
    Column("key", JSONB),
    _number("seq", None),
    _text("op", None),
    Column("payload", BYTEA),
    _text("error", None),
    _text("state", "parked"),
    _time("since"),
    Index("quarantine_by_key", "stream", "plan_id", "key"),
)

DDL_LOG = Table(
    "ddl_log",
    STORE,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _text("stream", None),
    _number("seq", None),
    _text("source_statement", None),
    _text("store_statement"),
    _text("verdict", None),
    _time("at"),
)

DAEMON = Table(
    "daemon",
    CONTROL,
    Column("name", Text, primary_key=True),
    _text("host", None),
    Column("pid", Integer, nullable=False),
    _number("fence"),
    _time("started_at"),
    _time("heartbeat_at"),
    Column("status", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
)

COMMAND = Table(
    "command",
    CONTROL,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _text("name", None),
    _text("verb", None),
    Column("args", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    _text("actor", None),
    _text("state", "new"),
    Column("result", JSONB),
    _time("created_at"),
    _time("finished_at", nullable=True, now=False),
    Index("command_open", "name", "id", postgresql_where=text("state in ('new', 'running')")),
)

EVENT = Table(
    "event",
    CONTROL,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _text("name", None),
    _text("kind", None),
    _text("message", None),
    Column("facts", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    _time("at"),
    Index("event_by_name", "name", "id"),
)

VERIFY_RUN = Table(
    "verify_run",
    CONTROL,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _text("name", None),
    _text("mode", None),
    _text("outcome", None),
    # The whole verdict but for its findings, as `verify -o json` prints it.
    Column("verdict", JSONB, nullable=False),
    _time("started_at", now=False),
    _time("finished_at"),
    _text("state", "finished", info={"since": 4}),
    # What it was asked to do, so that another process can go on with it.
    Column("options", JSONB, nullable=False, server_default=text("'{}'::jsonb"), info={"since": 4}),
    Index("verify_run_by_name", "name", "id"),
    info={"since": 2},
)

VERIFY_FINDING = Table(
    "verify_finding",
    CONTROL,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _text("name", None),
    _text("plan_id", None),
    # SHA-256 of the key: keys may be longer than an index can hold.
    _text("key_digest", None),
    Column("key", JSONB, nullable=False),
    _text("kind", None),
    Column("columns", JSONB, nullable=False),
    _text("note"),
    _text("state", "open"),
    _text("reason"),
    _number("first_run", None),
    _number("last_run", None),
    _time("first_seen"),
    _time("last_seen"),
    # Which leaf of which chunk it lies in, and the source's position at which it was seen last.
    _text("leaf", info={"since": 4}),
    _text("position", info={"since": 4}),
    Index("verify_finding_by_key", "name", "plan_id", "key_digest", unique=True),
    Index("verify_finding_by_run", "last_run"),
    info={"since": 2},
)

REPAIR_LOG = Table(
    "repair_log",
    CONTROL,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _text("name", None),
    _text("plan_id", None),
    Column("key", JSONB, nullable=False),
    _text("action", None),
    Column("before", JSONB),
    Column("after", JSONB),
    _number("seq", None),
    _text("actor", None),
    _time("at"),
    Index("repair_log_by_name", "name", "id"),
    info={"since": 2},
)

DOMAIN_STATE = Table(
    "domain_state",
    CONTROL,
    _text("name", None),
    _text("domain", None),
    _text("phase", None),
    _number("epoch"),
    # Who serves writes as far as applications are told: source or stores.
    _text("side", "source"),
    # Store → position (as a number) from which the reverse stream sends changes back.
    Column("boundary", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("result", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    _text("problem"),
    _time("since"),
    PrimaryKeyConstraint("name", "domain"),
    info={"since": 3},
)

CUTOVER_JOURNAL = Table(
    "cutover_journal",
    CONTROL,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _text("name", None),
    _text("domain", None),
    _number("epoch", None),
    _text("step", None),
    _text("kind", None),
    # Text, not jsonb: the digest is over the exact text.
    _text("facts", "{}"),
    _text("actor"),
    _number("fence"),
    _number("at_us", None),
    _text("digest", None),
    Index("cutover_journal_by_epoch", "name", "domain", "epoch", "id"),
    info={"since": 3},
)

"""Publication, replication slot and replica identity of one domain in one store: what its reverse stream reads from.

Made in PREPARE (idempotent), dropped by nobody but `drop`. The publication holds the domain's tables and our own tables
that every transaction of ours writes to: by these the reverse stream knows what not to send back.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from psycopg import sql

from model.errors import Refused
from model.wal import WalOrigin
from stores.control.names import SCHEMA
from stores.errors import translated
from stores.postgres import PostgresConnection
from sync.postgres.pgoutput import Lsn, parse_lsn
from transforms.target import TargetTable

PLUGIN: Final = "pgoutput"
CARRIED_SINCE: Final = 17_00_00
"""From here on a standby with `sync_replication_slots` keeps the slots that are marked so, for when it is promoted."""
PREFIX: Final = "crossfade"
"""Prefix of our logical messages."""
MARK_TABLES: Final = ("checkpoint", "table_state", "snapshot_chunk", "quarantine")
"""Tables of schema `crossfade` of which every transaction of ours that writes rows writes to at least one."""


@dataclass(frozen=True, slots=True)
class SlotStatus:
    """A slot as the server sees it."""

    name: str
    active: bool
    confirmed: Lsn
    wal_status: str
    """reserved, extended, unreserved or lost."""
    behind_bytes: int
    """WAL between the confirmed position and the end."""
    safe_wal_bytes: int | None
    """WAL that may still be written before the slot is lost; None: no limit."""

    @property
    def lost(self) -> bool:
        """Whether the server has thrown away what the slot was kept for."""
        return self.wal_status == "lost"


def stream_name(migration: str, domain: str, store: str) -> str:
    """Name of slot and publication: unique in the cluster, at most 63 of the characters that slots may have."""
    plain = f"{PREFIX}_{migration}_{domain}_{store}"
    name = re.sub(r"[^a-z0-9_]", "_", plain.lower())
    if name == plain and len(name) <= 63:
        return name
    return f"{name[:54]}_{hashlib.sha256(plain.encode()).hexdigest()[:8]}"


def prepare(connection: PostgresConnection, name: str, tables: Iterable[TargetTable], store: str) -> Lsn:
    """Make identity, publication and slot; gives the slot's confirmed position. Run outside a transaction.

    REPLICA IDENTITY FULL comes first: a published table without a usable identity refuses UPDATE and DELETE. It takes
    a short ACCESS EXCLUSIVE lock per table (`lock_timeout` 5 s; raises Busy, try again). Raises Refused, AccessDenied.
    """
    where = f"store {store}"
    tables = tuple(tables)
    with translated(where):
        row = connection.execute("SHOW wal_level").fetchone()
        if row is None or row[0] != "logical":
            raise Refused(
                f"{where} does not log enough for a reverse stream: wal_level is {row[0] if row else 'unknown'}",
                hint="ALTER SYSTEM SET wal_level = 'logical', then restart PostgreSQL.",
            )
        connection.execute("SET lock_timeout = '5s'")
        try:
            for table in tables:
                if _identity(connection, table) != "f":
                    connection.execute(
                        sql.SQL("ALTER TABLE {} REPLICA IDENTITY FULL").format(_qualified(table.schema, table.name))
                    )
            _publish(connection, name, tables)
        finally:
            connection.execute("RESET lock_timeout")
        status = slot_status(connection, name)
        if status is None:
            carried = ", failover => true" if connection.info.server_version >= CARRIED_SINCE else ""
            connection.execute(f"SELECT pg_create_logical_replication_slot(%s, %s{carried})".encode(), (name, PLUGIN))
            status = slot_status(connection, name)
    assert status is not None
    if status.lost:
        raise Refused(
            f"{where} has thrown away the WAL that slot {name} needs",
            hint="Raise max_slot_wal_keep_size; then: crossfade cutover cancel DOMAIN --remove, crossfade verify, "
            "crossfade cutover rehearse DOMAIN",
        )
    return status.confirmed


def slot_status(connection: PostgresConnection, name: str) -> SlotStatus | None:
    """The slot now, None when it is not there."""
    row = connection.execute(
        "SELECT active, confirmed_flush_lsn::text, coalesce(wal_status, 'lost'), "
        "pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::bigint, safe_wal_size "
        "FROM pg_replication_slots WHERE slot_name = %s AND database = current_database()",
        (name,),
    ).fetchone()
    if row is None:
        return None
    active, confirmed, wal_status, behind, safe = row
    return SlotStatus(name, active, parse_lsn(confirmed or "0/0"), wal_status, int(behind or 0), safe)


def wal_origin(connection: PostgresConnection) -> WalOrigin:
    """Whose write-ahead log the store writes now."""
    row = connection.execute(
        "SELECT system_identifier, ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint "
        "FROM pg_control_system()"
    ).fetchone()
    assert row is not None
    return WalOrigin(*row)


def renew(connection: PostgresConnection, name: str, tables: Iterable[TargetTable], store: str) -> Lsn | None:
    """Make a slot that is gone or lost anew, from now on; gives its position, None for one that is well.

    Only where nothing in the store waits to be sent back.
    """
    with translated(f"store {store}"):
        status = slot_status(connection, name)
        if status is not None and not status.lost:
            return None
        if status is not None:
            connection.execute("SELECT pg_drop_replication_slot(%s)", (name,))
    return prepare(connection, name, tables, store)


def drop(connection: PostgresConnection, name: str) -> None:
    """Drop slot and publication if they are there. The replica identity stays: somebody else may rely on it."""
    with translated("store"):
        connection.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
            "WHERE slot_name = %s AND database = current_database()",
            (name,),
        )
        connection.execute(sql.SQL("DROP PUBLICATION IF EXISTS {}").format(sql.Identifier(name)))


def emit_message(connection: PostgresConnection, kind: str, content: str) -> Lsn:
    """Write a message into the WAL in a transaction of its own; the stream has everything before once it shows it.

    Gives the message's position: a boundary between what was committed before and what begins after.
    """
    with translated("store"):
        row = connection.execute(
            "SELECT pg_logical_emit_message(true, %s, %s)::text", (f"{PREFIX}.{kind}", content)
        ).fetchone()
    assert row is not None
    return parse_lsn(row[0])


def _qualified(schema: str, name: str) -> sql.Identifier:
    return sql.Identifier(schema, name)


def _identity(connection: PostgresConnection, table: TargetTable) -> str:
    row = connection.execute(
        "SELECT relreplident::text FROM pg_class WHERE oid = to_regclass(%s)",
        (_qualified(table.schema, table.name).as_string(None),),
    ).fetchone()
    if row is None:
        raise Refused(f"the table {table} is not there", hint="Run: crossfade schema apply")
    return str(row[0])


def _publish(connection: PostgresConnection, name: str, tables: tuple[TargetTable, ...]) -> None:
    wanted = {(table.schema, table.name) for table in tables}
    wanted |= {(SCHEMA, mark) for mark in MARK_TABLES}
    rows = connection.execute(
        "SELECT schemaname, tablename FROM pg_publication_tables WHERE pubname = %s", (name,)
    ).fetchall()
    known = {(schema, table) for schema, table in rows}
    exists = connection.execute("SELECT 1 FROM pg_publication WHERE pubname = %s", (name,)).fetchone()
    if exists and known == wanted:
        return
    listed = sql.SQL(", ").join(_qualified(*member) for member in sorted(wanted))
    verb = "ALTER PUBLICATION {} SET TABLE {}" if exists else "CREATE PUBLICATION {} FOR TABLE {}"
    connection.execute(sql.SQL(verb).format(sql.Identifier(name), listed))

"""Gates that ask the servers themselves: who they are, whether they keep what they promise, what they are busy with."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import Any, Final

from cutover.gate_result import GateResult
from cutover.site import Site
from model.errors import AccessDenied
from model.tables import TableDef
from stores.control import pins
from stores.errors import translated
from stores.mysql import MysqlConnection, connect_source, variables
from stores.postgres import connect_store
from sync.mysql.catalog import read_tables
from sync.mysql.literals import quoted_name
from sync.mysql.open_transactions import writers_older_than
from sync.mysql.prepared_xa import PRIVILEGE, prepared_xa, verdicts
from sync.postgres import slots
from sync.postgres.store_catalog import read_store

OLD_WRITER_S: Final = 3.0
DAY_S: Final = 86_400.0


def source_writable(site: Site, stop: threading.Event) -> GateResult:
    """The source is the server that the daemon began with, and takes writes."""
    found = variables(site.source())
    identity = _source_identity(site)
    if identity != site.info.server_uuid:
        return GateResult(
            "source_writable", False, f"server {identity}", f"server {site.info.server_uuid}",
            "The source is another server than at the start; restart the daemon.",
        )  # fmt: skip
    read_only = found.get("read_only", "OFF").upper() in ("ON", "1")
    return GateResult(
        "source_writable", not read_only, "read_only" if read_only else "writable", "writable primary",
        "The source is read-only: is it the primary?",
    )  # fmt: skip


def identities(site: Site) -> dict[str, str]:
    """Who the servers are now: "source" or "store NAME" → server_uuid or system_identifier."""
    found = {"source": _source_identity(site)}
    for store in site.domain.stores:
        with translated(f"store {store}"):
            row = site.store(store).execute("SELECT system_identifier::text FROM pg_control_system()").fetchone()
        found[f"store {store}"] = str(row[0]) if row else ""
    return found


def _source_identity(site: Site) -> str:
    found = variables(site.source())
    return found.get("server_uuid") or f"{found.get('hostname', '')}:{found.get('port', '')}"


def same_servers(site: Site, stop: threading.Event) -> GateResult:
    """Source and stores are the servers on which the domain was prepared."""
    dsn = site.settings.control_dsn
    with closing(connect_store(dsn, application="crossfade cutover")) as connection, translated("control store"):
        pin = pins.read(connection, site.settings.name, site.domain.name)
    limit = "those of the preparation"
    if pin is None:
        return GateResult("same_servers", False, "not pinned", limit, f"crossfade cutover rehearse {site.domain.name}")
    now = identities(site)
    other = [f"{who} is {now.get(who)}, was {was}" for who, was in pin.identities.items() if now.get(who) != was]
    if other and site.consents.identity:
        return GateResult("same_servers", True, f"accepted: {'; '.join(other)}", limit)
    return GateResult(
        "same_servers", not other, "; ".join(other) or f"{len(now)} servers", limit,
        "Was it a failover that lost nothing? Verify, then go on with --accept-identity.",
    )  # fmt: skip


def durability(site: Site, stop: threading.Event) -> GateResult:
    """What the servers have acknowledged survives a crash: each side forgets what the other has."""
    wanted = {"log_bin": "ON", "sync_binlog": "1", "innodb_flush_log_at_trx_commit": "1"}
    found = variables(site.source())
    bad = [f"source {name} = {found.get(name, 'unknown')}" for name, value in wanted.items()
           if found.get(name, "").upper() not in (value, "1")]  # fmt: skip
    todo = [f"SET GLOBAL {name} = 1 on the source" for name in ("sync_binlog", "innodb_flush_log_at_trx_commit")
            if any(f" {name} " in text for text in bad)]  # fmt: skip
    for store in site.domain.stores:
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            with translated(f"store {store}"):
                row = site.store(store).execute(f"SHOW {name}".encode()).fetchone()
            if row is None or str(row[0]) == "off":
                bad.append(f"store {store} {name} = off")
                todo.append(f"ALTER SYSTEM SET {name} = 'on' in store {store}, and reload")
    return GateResult(
        "durability", not bad, ", ".join(bad[:4]) or "durable", "every commit is on disk",
        "; ".join(dict.fromkeys(todo)) or "Make the source write its binlog and log at every commit.",
    )  # fmt: skip


def retention(site: Site, stop: threading.Event) -> GateResult:
    """Both sides keep their logs long enough that a pause of ours loses no way."""
    least_s = site.settings.cutover.min_retention_s
    limit = f"at least {least_s / 3600:g} h"
    found = variables(site.source(), "%expire_logs%")
    if found.get("binlog_expire_logs_auto_purge", "ON").upper() == "OFF":
        kept_s = 0.0
    else:
        kept_s = float(found.get("binlog_expire_logs_seconds") or 0) or DAY_S * float(
            found.get("expire_logs_days") or 0
        )
    shown = ["source: without end" if not kept_s else f"source: {kept_s / 3600:g} h"]
    bad = bool(kept_s) and kept_s < least_s
    for store in site.domain.stores:
        with translated(f"store {store}"):
            status = slots.slot_status(
                site.store(store), slots.stream_name(site.settings.name, site.domain.name, store)
            )
        if status is None or status.safe_wal_bytes is None:
            shown.append(f"store {store}: without end")
            continue
        rate = site.wal_rates.per_s(store)
        hours = status.safe_wal_bytes / rate / 3600 if rate else None
        at = "" if hours is None else f", {hours:.1f} h at the present rate"
        shown.append(f"store {store}: {max(0, status.safe_wal_bytes) >> 20} MiB{at}")
        bad = bad or status.safe_wal_bytes <= 0 or (hours is not None and hours * 3600 < least_s)
    return GateResult(
        "retention", not bad, "; ".join(shown), limit,
        "Raise binlog_expire_logs_seconds (expire_logs_days) on the source, max_slot_wal_keep_size in the store.",
    )  # fmt: skip


def slots_reserved(site: Site, stop: threading.Event) -> GateResult:
    """The stores keep the log that the reverse stream needs, from where the source has everything."""
    bad = []
    for store in site.domain.stores:
        with translated(f"store {store}"):
            status = slots.slot_status(
                site.store(store), slots.stream_name(site.settings.name, site.domain.name, store)
            )
        gap = site.slot_promise(store).gap
        if status is None:
            bad.append(f"{store}: no slot")
        elif gap:
            bad.append(gap)
        elif status.wal_status not in ("reserved", "extended"):
            bad.append(f"{store}: {status.wal_status}")
    name = site.domain.name
    return GateResult(
        "slots_reserved", not bad, ", ".join(bad) or "reserved", "reserved",
        f"Before the cutover: crossfade cutover cancel {name} --remove, crossfade verify, crossfade cutover rehearse "
        f"{name}. After it the rows written since must be found by comparing both sides: crossfade rollback run {name} "
        f"--confirm {name} --accept-divergence {name}",
    )  # fmt: skip


def old_writers(site: Site, stop: threading.Event) -> GateResult:
    """No transaction on the source has been writing for long: closing waits for them."""
    found = writers_older_than(site.source(), OLD_WRITER_S)
    shown = ", ".join(
        f"{f'connection {thread}' if thread else 'a prepared XA transaction'}: {age} s" for thread, age in found[:3]
    )
    todo = "End them (KILL the connection on the source), or wait."
    if found:
        # One that its session still holds is told as a connection, and outlives a KILL.
        with closing(connect_source(site.settings.source, use_unicode=False)) as raw:
            prepared = prepared_xa(raw)
        if prepared is None:
            todo += f" To see prepared XA transactions: GRANT {PRIVILEGE} ON *.* TO {site.settings.source.user}"
        elif prepared:
            shown += f"; prepared by XA: {', '.join(map(str, prepared[:3]))}"
            todo += f" KILL does not end a prepared one, but: {verdicts(prepared[:3])}"
    return GateResult("old_writers", not found, shown or "none", f"none older than {OLD_WRITER_S:.0f} s", todo)


def old_store_writers(site: Site, stop: threading.Event) -> GateResult:
    """No transaction in the stores has been holding a writer's lock on the domain's tables for long."""
    found = [
        f"store {store} pid {pid}: {age:.0f} s"
        for store in site.domain.stores
        for pid, age in site.store_gate(store).old_writers(OLD_WRITER_S)
    ]
    return GateResult(
        "old_store_writers", not found, ", ".join(found[:3]) or "none", f"none older than {OLD_WRITER_S:.0f} s",
        "End them (pg_terminate_backend), or wait.",
    )  # fmt: skip


def reverse_privileges(site: Site, stop: threading.Event) -> GateResult:
    """The reverse stream's user may write every table: asked by statements that touch no row."""
    denied = []
    with closing(connect_source(site.reverse.source)) as connection:
        for table in site.domain.tables:
            try:
                _write_nothing(connection, table)
            except AccessDenied as error:
                denied.append(f"{table.id}: {error}")
    return GateResult(
        "reverse_privileges", not denied, "; ".join(denied[:2]) or f"{len(site.domain.tables)} tables",
        "INSERT, UPDATE, DELETE on every table",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON … TO the user {site.reverse.source.user}",
    )  # fmt: skip


def _write_nothing(connection: MysqlConnection[Any], table: TableDef) -> None:
    name = quoted_name(table.id.schema, table.id.name)
    column = quoted_name(next((one for one in table.columns if not one.generated), table.columns[0]).name)
    with translated("source"), connection.cursor() as cursor:
        # Columns without a default are no matter here.
        cursor.execute("SET SESSION sql_mode = ''")
        cursor.execute(f"DELETE FROM {name} WHERE FALSE")
        cursor.execute(f"UPDATE {name} SET {column} = {column} WHERE FALSE")
        cursor.execute(f"INSERT INTO {name} ({column}) SELECT {column} FROM {name} WHERE FALSE")


def no_pending_ddl(site: Site, stop: threading.Event) -> GateResult:
    """The tables are what the plan knows on both sides, and nobody is changing them."""
    source = site.source()
    now = read_tables(source, site.info, site.domain.table_ids)
    problems = [
        f"{table.id} has another shape than the plan knows"
        for table in site.domain.tables
        if table.id not in now or _shape(now[table.id]) != _shape(table)
    ]
    with translated("source"), source.cursor() as cursor:
        cursor.execute(
            "SELECT ID, LEFT(INFO, 80) FROM information_schema.PROCESSLIST WHERE COMMAND <> 'Sleep' AND "
            "INFO REGEXP '^[[:space:]]*(ALTER|RENAME|DROP|TRUNCATE|OPTIMIZE|CREATE[[:space:]]+(INDEX|UNIQUE))'"
        )
        for thread, text in cursor.fetchall():
            statement = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
            if any(table.name in statement for table in site.domain.table_ids):
                problems.append(f"connection {thread} runs {statement}")
    for store in site.domain.stores:
        targets = site.domain.targets(store)
        catalog = read_store(site.store(store), {target.schema for target in targets})
        for target in targets:
            present = catalog.tables.get((target.schema, target.name))
            names = {column.name for column in present.columns} if present else set()
            missing = [column.name for column in target.columns if column.name not in names]
            if present is None or missing:
                problems.append(f"store {store}: {target.schema}.{target.name} lacks {', '.join(missing) or 'itself'}")
    return GateResult(
        "no_pending_ddl", not problems, "; ".join(problems[:3]) or "as planned", "as planned, nobody changes them",
        "Let the change end; see: crossfade schema plan, crossfade status --tables",
    )  # fmt: skip


def _shape(table: TableDef) -> list[tuple[str, str, str | None]]:
    return [(column.name, column.column_type, column.charset) for column in table.columns]

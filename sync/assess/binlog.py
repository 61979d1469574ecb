"""Checks of the source's binary log: that it is there, complete, in a form that holds rows, and kept long enough."""

from __future__ import annotations

from collections.abc import Iterator

from sync.assess.registry import Result, block, ok, source_check, warn
from sync.assess.source_facts import SourceFacts

COPY_BYTES_PER_S = 20 << 20
"""A cautious guess at the speed of the first copy, for estimates only."""
_DAY_S = 86_400.0
_LEAST_RETENTION_S = 900.0


@source_check("log_bin", "the source writes a binary log")
def log_bin(facts: SourceFacts) -> Iterator[Result]:
    if facts.on("log_bin"):
        yield ok("log_bin is on")
    else:
        yield block(
            "the source writes no binary log, so its changes cannot be followed",
            "log_bin = binlog, server_id = 1, binlog_format = ROW  -- one a line below [mysqld] in the server's"
            " configuration, then restart it",
        )


@source_check("binlog_format", "changes are logged as rows")
def binlog_format(facts: SourceFacts) -> Iterator[Result]:
    value = facts.variable("binlog_format", "ROW")
    if value == "ROW":
        yield ok("binlog_format is ROW")
    else:
        yield block(
            f"binlog_format is {value}: statements cannot be applied to another database",
            "SET GLOBAL binlog_format = 'ROW';  -- and in the server's configuration; open sessions keep the old"
            " format until they reconnect",
        )


@source_check("binlog_row_image", "row images are complete")
def binlog_row_image(facts: SourceFacts) -> Iterator[Result]:
    value = facts.variable("binlog_row_image", "FULL")
    if value == "FULL":
        yield ok("binlog_row_image is FULL")
        return
    fix = (
        "SET GLOBAL binlog_row_image = 'FULL';  -- and in the server's configuration; open sessions keep the old one"
        " until they reconnect"
    )
    needing = sorted(
        name
        for name, rule in facts.settings.tables.items()
        if rule.where or rule.expr or any(output.where or output.expr for output in rule.to)
    )
    if needing:
        yield block(
            f"binlog_row_image is {value}: rows miss the columns that the rules of {', '.join(needing)} compute from",
            fix,
        )
    else:
        yield warn(f"binlog_row_image is {value}: works, but a reverse stream and repairs see less", fix)


@source_check("binlog_row_metadata", "names and types of columns are known")
def binlog_row_metadata(facts: SourceFacts) -> Iterator[Result]:
    value = facts.variable("binlog_row_metadata")
    said = f"binlog_row_metadata is {value}" if value else "this version logs no metadata"
    yield ok(f"{said}; names, signs and labels come from our schema history in any case")


@source_check("binlog_row_value_options", "JSON changes are logged whole")
def binlog_row_value_options(facts: SourceFacts) -> Iterator[Result]:
    value = facts.variable("binlog_row_value_options")
    if "PARTIAL_JSON" in value:
        yield block(
            "binlog_row_value_options has PARTIAL_JSON: updates hold only the changed part of a document",
            "SET GLOBAL binlog_row_value_options = '';  -- and in the server's configuration; open sessions keep the"
            " old one until they reconnect",
        )
    else:
        yield ok("JSON values are logged whole")


@source_check("binlog_compression", "compressed events can be read")
def binlog_compression(facts: SourceFacts) -> Iterator[Result]:
    if facts.on("binlog_transaction_compression") or facts.on("log_bin_compress"):
        yield ok("the binlog is compressed: fine, crossfade reads it as it is")
    else:
        yield ok("the binlog is not compressed; it may be")


@source_check("binlog_order_commits", "commits become visible in the binlog's order")
def binlog_order_commits(facts: SourceFacts) -> Iterator[Result]:
    if facts.variable("binlog_order_commits", "ON") in ("ON", "1"):
        yield ok("transactions commit in the binlog's order")
    else:
        yield warn(
            "binlog_order_commits is OFF: each chunk of the copy may have to wait for straggling commits",
            "SET GLOBAL binlog_order_commits = ON;",
        )


@source_check("binlog_filters", "no filter keeps our databases out of the binlog")
def binlog_filters(facts: SourceFacts) -> Iterator[Result]:
    if facts.binlog_status is None:
        yield warn("the binlog's filters are not ours to see", f"GRANT REPLICATION CLIENT ON *.* TO {facts.user};")
        return
    if not facts.binlog_status:
        yield ok("no binlog, no filters")
        return
    only = _names(facts.binlog_status[0].get("binlog_do_db", ""))
    without = _names(facts.binlog_status[0].get("binlog_ignore_db", ""))
    lost = [name for name in facts.settings.source.databases if (only and name not in only) or name in without]
    if lost:
        yield block(
            f"filters keep {', '.join(lost)} out of the binlog",
            "Take binlog_do_db and binlog_ignore_db out of the server's configuration, then restart it.",
        )
    elif only or without:
        yield warn(
            "the binlog is filtered by database; changes that name another database than the current one may be lost",
            "Take binlog_do_db and binlog_ignore_db out of the server's configuration, then restart it.",
        )
    else:
        yield ok("no filters")
    for row in facts.replication or ():
        kept_out = [name for name in row if name.startswith("replicate_") and "server_ids" not in name and row[name]]
        if kept_out:
            yield warn(
                f"the source is a replica that filters ({', '.join(kept_out)}): it does not hold all of its own source",
                "Read from the primary, or from a replica without filters.",
            )


def _names(text: str) -> set[str]:
    return {name.strip() for name in text.split(",") if name.strip()}


def retention_s(facts: SourceFacts) -> float | None:
    """Seconds for which the source keeps its binlog; None for ever."""
    if facts.variable("binlog_expire_logs_auto_purge", "ON") == "OFF":
        return None
    seconds = float(facts.variable("binlog_expire_logs_seconds", "0"))
    days = float(facts.variable("expire_logs_days", "0"))
    return (seconds or days * _DAY_S) or None


@source_check("binlog_retention", "the binlog is kept long enough to survive an outage of ours")
def binlog_retention(facts: SourceFacts) -> Iterator[Result]:
    kept = retention_s(facts)
    copy_s = facts.bytes_estimate / COPY_BYTES_PER_S
    limit = int(facts.variable("max_binlog_total_size", "0") or 0)
    wanted = max(_DAY_S, 3 * copy_s)
    by_seconds = "binlog_expire_logs_seconds" in facts.variables
    fix = (
        f"SET GLOBAL binlog_expire_logs_seconds = {int(max(7 * _DAY_S, wanted))};  -- and in the server's configuration"
        if by_seconds
        else f"SET GLOBAL expire_logs_days = {max(7, int(wanted // _DAY_S) + 1)};  -- and in the server's configuration"
    )
    copy_text = f"the first copy may take {max(1, round(copy_s / 60))} min"
    if limit:
        yield warn(
            f"the binlog is purged when it grows over {limit >> 20} MiB, however new it is",
            "SET GLOBAL max_binlog_total_size = 0;  -- and in the server's configuration",
        )
    if kept is None:
        yield ok(f"the binlog is kept until somebody purges it; {copy_text}")
    elif kept < _LEAST_RETENTION_S:
        yield block(f"the binlog is kept for {kept:.0f} s only; after a longer pause of ours the copy begins anew", fix)
    elif kept < wanted:
        yield warn(f"the binlog is kept for {kept / 3600:.1f} h; {copy_text}, and an outage of ours must fit in", fix)
    else:
        yield ok(f"the binlog is kept for {kept / 3600:.0f} h; {copy_text}")


@source_check("gtid_mode", "transactions carry GTIDs")
def gtid_mode(facts: SourceFacts) -> Iterator[Result]:
    if facts.info.mariadb:
        yield ok("MariaDB transactions always carry GTIDs")
    elif facts.info.gtids:
        yield ok("gtid_mode is ON")
    elif facts.settings.source.position == "gtid":
        yield block("gtid_mode is OFF and source.position asks for GTIDs", _gtid_fix(facts))
    else:
        yield warn(
            "gtid_mode is OFF: positions are file and offset, a failover of the source cannot be followed, and the copy"
            " uses locking reads",
            _gtid_fix(facts),
        )


def _gtid_fix(facts: SourceFacts) -> str:
    if facts.info.version < (5, 7, 6):
        settings = "gtid_mode = ON, enforce_gtid_consistency = ON, log_slave_updates = ON"
        return f"{settings}  -- one a line below [mysqld] in the server's configuration, then restart it"
    steps = ["enforce_gtid_consistency = WARN", "enforce_gtid_consistency = ON"]
    steps += [f"gtid_mode = {mode}" for mode in ("OFF_PERMISSIVE", "ON_PERMISSIVE", "ON")]
    return " ".join(f"SET GLOBAL {step};" for step in steps)

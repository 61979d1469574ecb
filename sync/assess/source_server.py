"""Checks of the source server itself: version, flavour, identity, packet size, replication role, the plan."""

from __future__ import annotations

from collections.abc import Iterator

from stores.mysql import lists_replicas
from sync.assess.registry import Result, block, ok, source_check, warn
from sync.assess.source_facts import SourceFacts
from sync.mysql.dump import replica_id

_OLDEST = {True: (10, 0, 0), False: (5, 6, 0)}
_TESTED = {True: (10, 4, 0), False: (5, 6, 0)}
_WIDE_TYPES = {"mediumtext", "longtext", "mediumblob", "longblob", "json"}
_WIDE_PACKET = 64 << 20


@source_check("version", "the source's version is one that crossfade reads")
def version(facts: SourceFacts) -> Iterator[Result]:
    mariadb, found = facts.info.mariadb, facts.info.version
    name = f"{'MariaDB' if mariadb else 'MySQL'} {facts.info.version_text}"
    if found < _OLDEST[mariadb]:
        yield block(
            f"{name} is too old",
            f"Upgrade to {'MariaDB 10.0' if mariadb else 'MySQL 5.6'} or later, or read from a replica that is.",
        )
    elif found < _TESTED[mariadb]:
        yield warn(f"{name} should work but is not tested", "Rehearse the migration against a copy of this server.")
    else:
        yield ok(name)


@source_check("flavour", "source.engine names what the server is")
def flavour(facts: SourceFacts) -> Iterator[Result]:
    if facts.settings.source.engine is facts.info.flavour:
        yield ok(f"the server is {facts.info.flavour.value}, as configured")
    else:
        yield block(
            f"the server is {facts.info.flavour.value}, the configuration says {facts.settings.source.engine.value}",
            f"source: {{engine: {facts.info.flavour.value}}}",
        )


@source_check("server_id", "the source has a server id, and ours is nobody else's")
def server_id(facts: SourceFacts) -> Iterator[Result]:
    ours = replica_id(facts.settings.source, facts.settings.name)
    if facts.info.server_id == 0:
        yield block(
            "the source's server_id is 0: it refuses replicas",
            "SET GLOBAL server_id = 1;  -- and server_id = 1 below [mysqld] in the server's configuration",
        )
        return
    if facts.info.server_id == ours:
        yield block(
            f"our replica id {ours} is the source's own",
            f"source: {{server_id: {_other(ours)}}}  # in the configuration",
        )
        return
    if facts.replicas is None:
        why = "not ours to see" if lists_replicas(facts.info) else "not asked for: SHOW SLAVE HOSTS can end MySQL 5.6"
        yield ok(f"ours is {ours}; the list of the source's replicas is {why}")
        return
    taken = [row for row in facts.replicas if row.get("server_id") == str(ours)]
    if taken:
        host = taken[0].get("host") or "an unnamed host"
        yield warn(
            f"a replica with our id {ours} is connected ({host}): this migration's own daemon, or a clash",
            f"source: {{server_id: {_other(ours)}}}  # unless it is our own daemon",
        )
    else:
        yield ok(f"source {facts.info.server_id}, ours {ours}")


def _other(ours: int) -> int:
    return ours % 0x7FFFFFFF + 1


@source_check("max_allowed_packet", "the source can send its widest rows")
def max_allowed_packet(facts: SourceFacts) -> Iterator[Result]:
    size = int(facts.variable("max_allowed_packet", "0"))
    wide = [table for table in facts.migrated if any(column.type in _WIDE_TYPES for column in table.columns)]
    if wide and size < _WIDE_PACKET:
        yield warn(
            f"max_allowed_packet is {size >> 20} MiB; {len(wide)} tables (first: {wide[0].id}) have columns that may be"
            " wider, and such rows cannot be copied",
            "SET GLOBAL max_allowed_packet = 1073741824;  -- new connections take it over",
        )
    else:
        yield ok(f"max_allowed_packet is {size >> 20} MiB")


@source_check("log_slave_updates", "a source that is itself a replica logs what it receives")
def log_slave_updates(facts: SourceFacts) -> Iterator[Result]:
    if facts.replication is None:
        yield ok("whether the source is a replica itself is not ours to see")
    elif not facts.replication:
        yield ok("the source is not a replica")
    elif facts.on("log_slave_updates") or facts.on("log_replica_updates"):
        yield ok("the source is a replica and logs what it receives")
    else:
        yield block(
            "the source is a replica and does not log what it receives: those changes would be missed",
            "log_slave_updates = ON  -- below [mysqld] in the server's configuration, then restart it",
        )


@source_check("time_zone", "sessions use UTC by offset")
def time_zone(facts: SourceFacts) -> Iterator[Result]:
    yield ok("our sessions use +00:00; the server needs no time zone tables for it")


@source_check("catalogue", "the databases and their tables can be seen")
def catalogue(facts: SourceFacts) -> Iterator[Result]:
    databases = ", ".join(facts.settings.source.databases)
    if facts.unseen:
        yield block(facts.unseen, f"GRANT SELECT ON `{facts.settings.source.databases[0]}`.* TO {facts.user};")
    elif not facts.migrated:
        yield block(f"no table to migrate in {databases}", "source: {databases: […]}  # or take a skip rule away")
    else:
        rows = sum(table.rows_estimate for table in facts.migrated)
        size = facts.bytes_estimate / (1 << 20)
        yield ok(f"{len(facts.migrated)} tables, about {rows} rows, {size:.0f} MiB in {databases}")


@source_check("plan", "the configuration fits the source's tables")
def plan(facts: SourceFacts) -> Iterator[Result]:
    error = facts.plan_error
    if error is not None:
        yield block(str(error), error.hint, subject=str(error.where.get("table", "")) or "configuration")
    elif facts.plan is not None:
        yield ok(f"{len(facts.plan.plans)} target tables, {len(facts.plan.skipped)} source tables skipped")

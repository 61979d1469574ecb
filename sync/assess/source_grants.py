"""Checks of our user's privileges on the source: each missing one with its GRANT."""

from __future__ import annotations

from collections.abc import Iterator

from model.tables import TableDef
from sync.assess.registry import Result, block, ok, source_check, warn
from sync.assess.source_facts import SourceFacts
from sync.mysql.literals import quoted_name
from sync.mysql.visibility import TRANSACTIONAL

_GLOBAL = {
    "REPLICATION SLAVE": "the stream of changes",
    "REPLICATION CLIENT": "the binlog's position",
}


@source_check("grants_replication", "our user may follow the binlog")
def grants_replication(facts: SourceFacts) -> Iterator[Result]:
    missing = [name for name in _GLOBAL if not facts.privileges.has(name)]
    for name in missing:
        yield block(f"our user lacks {name}, which {_GLOBAL[name]} needs", f"GRANT {name} ON *.* TO {facts.user};")
    if not missing:
        yield ok(f"{facts.user} has {' and '.join(_GLOBAL)}")


@source_check("grants_select", "our user may read every migrated table")
def grants_select(facts: SourceFacts) -> Iterator[Result]:
    missing = [table for table in facts.migrated if not facts.privileges.has("SELECT", table.id.schema, table.id.name)]
    for database in dict.fromkeys(table.id.schema for table in missing):
        names = [table.id.name for table in missing if table.id.schema == database]
        yield block(
            f"our user lacks SELECT on {len(names)} tables of {database} (first: {names[0]})",
            f"GRANT SELECT ON {quoted_name(database)}.* TO {facts.user};",
        )
    if not missing and facts.migrated:
        yield ok(f"{facts.user} may read all {len(facts.migrated)} tables")


@source_check("grants_lock", "our user may lock the tables that are copied under a short lock")
def grants_lock(facts: SourceFacts) -> Iterator[Result]:
    by_locking_reads = not facts.info.mariadb and not facts.info.gtids and facts.info.version >= (8, 0, 22)
    needing = [table for table in facts.migrated if by_locking_reads or not table.key]
    missing = [table for table in needing if not facts.privileges.has("LOCK TABLES", table.id.schema)]
    for database in dict.fromkeys(table.id.schema for table in missing):
        names = [table.id.name for table in missing if table.id.schema == database]
        why = "the source has no GTIDs, so the copy uses locking reads" if by_locking_reads else "they have no key"
        text = f"our user lacks LOCK TABLES for {len(names)} tables of {database} (first: {names[0]}): {why}"
        fix = f"GRANT LOCK TABLES ON {quoted_name(database)}.* TO {facts.user};"
        # MariaDB proves a copy by its snapshot position and falls back on a lock only when the source is idle.
        yield warn(text, fix) if facts.info.mariadb and not _all_need(missing) else block(text, fix)
    if not missing:
        yield ok("no lock is needed" if not needing else "LOCK TABLES is granted")


def _all_need(tables: list[TableDef]) -> bool:
    return any(table.engine.lower() not in TRANSACTIONAL for table in tables)

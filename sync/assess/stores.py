"""Checks of each store: reachable, new enough, ours to write, able to stream back, empty."""

from __future__ import annotations

from collections.abc import Iterator

from sync.assess.registry import Result, block, ok, store_check, warn
from sync.assess.store_facts import StoreFacts

_TESTED = 150000
_OLDEST = 140000


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@store_check("store_reachable", "the store can be reached")
def reachable(facts: StoreFacts) -> Iterator[Result]:
    if facts.error is None:
        yield ok(f"{facts.label} as {facts.role}")
    else:
        yield block(str(facts.error), facts.error.hint or f"psql -d {facts.label}  # must work from this host")


@store_check("store_version", "PostgreSQL 15 or later")
def version(facts: StoreFacts) -> Iterator[Result]:
    if facts.error is not None:
        return
    if facts.version < _OLDEST:
        yield block(f"PostgreSQL {facts.version_text} is too old", "Use PostgreSQL 15 or later.")
    elif facts.version < _TESTED:
        yield warn(
            f"PostgreSQL {facts.version_text}: works, but our role must be a superuser, and it is not tested",
            "Use PostgreSQL 15 or later.",
        )
    else:
        yield ok(f"PostgreSQL {facts.version_text}")


@store_check("store_encoding", "the store's encoding is UTF8")
def encoding(facts: StoreFacts) -> Iterator[Result]:
    if facts.error is not None:
        return
    if facts.encoding == "UTF8":
        yield ok("encoding is UTF8")
    else:
        yield block(
            f"encoding is {facts.encoding}: not every character of the source fits",
            f"CREATE DATABASE {_quoted(facts.database + '_utf8')} ENCODING 'UTF8' TEMPLATE template0;"
            "  -- and name it in the store's dsn",
        )


@store_check("store_writable", "the store takes writes")
def writable(facts: StoreFacts) -> Iterator[Result]:
    if facts.error is not None:
        return
    if facts.read_only:
        yield block(
            "the store is a standby or read-only by default",
            f"ALTER DATABASE {_quoted(facts.database)} SET default_transaction_read_only = off;"
            "  -- or connect to the primary",
        )
    else:
        yield ok("takes writes")


@store_check("store_grants", "our role may create what it needs")
def grants(facts: StoreFacts) -> Iterator[Result]:
    if facts.error is not None:
        return
    wanted = dict.fromkeys(["crossfade", facts.store.schema_, *(name.split(".")[0] for name in sorted(facts.targets))])
    missing = False
    absent = [name for name in wanted if name not in facts.schemas]
    if absent and not facts.may_create_schemas:
        missing = True
        yield block(
            f"our role {facts.role} may not create the schemas {', '.join(absent)}",
            f"GRANT CREATE ON DATABASE {_quoted(facts.database)} TO {_quoted(facts.role)};",
        )
    for name in wanted:
        if facts.schemas.get(name) is False:
            missing = True
            yield block(
                f"our role {facts.role} may not create tables in the schema {name}",
                f"GRANT USAGE, CREATE ON SCHEMA {_quoted(name)} TO {_quoted(facts.role)};",
            )
    if not missing:
        yield ok(f"{facts.role} may create schemas and tables")


@store_check("store_extensions", "the store has the types that the plan names")
def extensions(facts: StoreFacts) -> Iterator[Result]:
    if facts.error is not None:
        return
    lacking = {name: state for name, state in facts.extensions.items() if state != "there"}
    for name, state in lacking.items():
        why = "is not in the database" if state else "is not installed on the server"
        first = "" if state else f"; first install its package there (PostgreSQL {facts.version // 10000})"
        yield block(
            f"the extension {name}, which the plan's types need, {why}",
            f"CREATE EXTENSION {name};  -- as a superuser{first}",
        )
    if not lacking:
        yield ok(f"has {', '.join(facts.extensions)}" if facts.extensions else "no extension is needed")


@store_check("store_replication_role", "our role may write without firing triggers and foreign keys")
def replication_role(facts: StoreFacts) -> Iterator[Result]:
    if facts.error is not None:
        return
    if facts.may_set_replication_role:
        yield ok(f"{facts.role} may set session_replication_role")
    elif facts.version >= _TESTED:
        yield block(
            f"our role {facts.role} may not set session_replication_role",
            f"GRANT SET ON PARAMETER session_replication_role TO {_quoted(facts.role)};",
        )
    else:
        yield block(
            f"our role {facts.role} may not set session_replication_role; before PostgreSQL 15 only superusers may",
            f"ALTER ROLE {_quoted(facts.role)} SUPERUSER;",
        )


@store_check("store_reverse", "a reverse stream can be opened after a cutover")
def reverse(facts: StoreFacts) -> Iterator[Result]:
    if facts.error is not None:
        return
    good = True
    if facts.wal_level != "logical":
        good = False
        yield warn(
            f"wal_level is {facts.wal_level}: enough to migrate, not to roll a cutover back without loss",
            "ALTER SYSTEM SET wal_level = 'logical';  -- then restart PostgreSQL",
        )
    if facts.slots_used >= facts.slots:
        good = False
        yield warn(
            f"all {facts.slots} replication slots are taken",
            f"ALTER SYSTEM SET max_replication_slots = {facts.slots + 4};  -- then restart PostgreSQL",
        )
    if not facts.replication:
        good = False
        yield warn(
            f"our role {facts.role} may not open a replication slot", f"ALTER ROLE {_quoted(facts.role)} REPLICATION;"
        )
    if good:
        yield ok(f"wal_level is logical, {facts.slots - facts.slots_used} replication slots are free")


@store_check("store_space", "how much will be written")
def space(facts: StoreFacts) -> Iterator[Result]:
    if facts.error is not None:
        return
    yield ok(
        f"the database has {facts.bytes_used >> 20} MiB now; the source's tables have about"
        f" {facts.source_bytes >> 20} MiB. PostgreSQL does not tell how much disk is free: have twice that, plus WAL"
    )


@store_check("store_empty", "the target tables hold no rows yet")
def empty(facts: StoreFacts) -> Iterator[Result]:
    if facts.error is not None:
        return
    if facts.started:
        yield ok("this migration has begun here: the rows are its own")
        return
    for table in facts.filled:
        yield block(
            f"{table} holds rows that this migration did not write",
            f"TRUNCATE TABLE {table} CASCADE;  -- or choose another schema: stores: {{{facts.name}: {{schema: …}}}}",
        )
    if not facts.filled:
        yield ok("no target table holds rows")

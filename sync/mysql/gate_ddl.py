"""Statements of the source's gate: our table of gate rows, and the triggers that read them. Text only, no I/O.

A trigger's locking read of the gate row is what makes closing a barrier: every writer holds a shared lock on the row
until it commits, so the UPDATE that closes the gate returns only when all of them have ended; a writer that comes
later waits for that UPDATE and sees its result, also with an older REPEATABLE READ snapshot.
"""

from __future__ import annotations

import hashlib
import re
from enum import StrEnum
from typing import Final

from model.errors import ConfigError
from model.tables import TableId
from sync.mysql.literals import quoted_name

GATE: Final = "gate"
PASS: Final = "gate_pass"
MARKER: Final = "marker"
PREFIX: Final = "crossfade_gate"
"""Begins the names of our triggers."""
MESSAGE: Final = "crossfade: the domain is closed for writes here, it moves to another database"
"""What a refused writer reads (MESSAGE_TEXT holds 128 characters)."""
PASS_VARIABLE: Final = "@crossfade_pass"
"""User variable in which our own sessions show their pass."""
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,63}")


class Event(StrEnum):
    """What a trigger fires on."""

    INSERT = "INSERT"
    UPDATE = "UPDATE"
    DELETE = "DELETE"


def checked_domain(domain: str) -> str:
    """The name, when it can stand in our statements. Raises ConfigError."""
    if not _NAME.fullmatch(domain):
        raise ConfigError(f"{domain!r} cannot be the name of a domain", hint="Use letters, digits, _ . -")
    return domain


def gate_table_ddl(database: str) -> str:
    """The gate rows. `expires_s` is in epoch seconds, free of time zones; NULL and closed is closed for good."""
    return (
        f"CREATE TABLE IF NOT EXISTS {quoted_name(database, GATE)} ("
        "domain VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY, "
        "epoch BIGINT NOT NULL DEFAULT 0, closed TINYINT NOT NULL DEFAULT 0, expires_s DECIMAL(20,6) NULL) "
        "ENGINE=InnoDB"
    )


def pass_table_ddl(database: str) -> str:
    """The hash of the pass, apart from the gate row: setting it must not wait for an open gate's writers."""
    return (
        f"CREATE TABLE IF NOT EXISTS {quoted_name(database, PASS)} ("
        "domain VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY, "
        "pass_hash BINARY(32) NOT NULL) ENGINE=InnoDB"
    )


def marker_table_ddl(database: str) -> str:
    """One row a domain, rewritten to make a position that the stores must reach."""
    return (
        f"CREATE TABLE IF NOT EXISTS {quoted_name(database, MARKER)} ("
        "domain VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY, "
        "number BIGINT UNSIGNED NOT NULL DEFAULT 0) ENGINE=InnoDB"
    )


def trigger_name(domain: str, table: TableId, event: Event) -> str:
    """Name of a gate trigger: unique in the database, at most 64 characters."""
    digest = hashlib.sha256(f"{domain}\0{table}\0{event}".encode()).hexdigest()[:10]
    return f"{PREFIX}_{event[0].lower()}_{table.name[:32]}_{digest}"


def trigger_body(domain: str, database: str) -> str:
    """What each trigger does; a row that is gone counts as closed for good.

    A gate has expired only when both clocks say so: UNIX_TIMESTAMP() can be set by the session (SET timestamp),
    SYSDATE() is ambiguous in the hour when the session's time zone is set back; together they err to closed.

    The first look locks nothing. A refused statement's locks last until its transaction ends, and an application that
    stays idle after the refusal would keep the point of no return waiting. Only who sees an open gate locks its row.
    """
    own = checked_domain(domain)
    look = f"SELECT closed, expires_s INTO shut, until_s FROM {quoted_name(database, GATE)} WHERE domain = '{own}'"
    in_force = "shut = 1 AND (until_s IS NULL OR until_s > LEAST(UNIX_TIMESTAMP(), UNIX_TIMESTAMP(SYSDATE(6))))"
    return (
        "BEGIN DECLARE shut TINYINT DEFAULT 0; DECLARE until_s DECIMAL(20,6) DEFAULT NULL; "
        "DECLARE pass BINARY(32) DEFAULT NULL; "
        f"IF {PASS_VARIABLE} IS NULL THEN {look}; END IF; "
        f"IF NOT ({in_force}) THEN SET shut = 1, until_s = NULL; {look} LOCK IN SHARE MODE; END IF; "
        f"IF {in_force} THEN IF {PASS_VARIABLE} IS NOT NULL THEN "
        f"SELECT pass_hash INTO pass FROM {quoted_name(database, PASS)} WHERE domain = '{own}' LOCK IN SHARE MODE; "
        f"END IF; IF pass IS NULL OR COALESCE(UNHEX(SHA2({PASS_VARIABLE}, 256)), '') <> pass "
        f"THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{MESSAGE}'; END IF; END IF; END"
    )


def trigger_ddl(domain: str, table: TableId, event: Event, database: str) -> str:
    """CREATE TRIGGER of one event of one table."""
    name = quoted_name(table.schema, trigger_name(domain, table, event))
    on = quoted_name(table.schema, table.name)
    return f"CREATE TRIGGER {name} BEFORE {event} ON {on} FOR EACH ROW {trigger_body(domain, database)}"


def drop_trigger_ddl(domain: str, table: TableId, event: Event) -> str:
    """DROP TRIGGER of one event of one table."""
    return f"DROP TRIGGER IF EXISTS {quoted_name(table.schema, trigger_name(domain, table, event))}"

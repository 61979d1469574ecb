"""The one place where driver errors become ours. MySQL errno and SQLSTATE decide; nobody else catches driver types.

The drivers' own texts are kept, for they name the object; they never hold our password.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pymysql

from model.errors import (
    AccessDenied,
    ApplyError,
    Busy,
    ConnectionLost,
    CrossfadeError,
    Refused,
    StatementTimeout,
    Unreachable,
    ValueRefused,
)

MYSQL_ACCESS = {1044, 1045, 1142, 1143, 1227, 1698, 3159}
MYSQL_LOST = {2006, 2013, 2014, 2055, 1053, 1927, 4031}
MYSQL_UNREACHABLE = {2002, 2003, 2005, 1040, 1129, 1130, 1203}
MYSQL_BUSY = {1205, 1213, 1614, 3572}
MYSQL_TIMED_OUT = {3024, 1969}
"""max_execution_time of MySQL, max_statement_time of MariaDB."""
POSTGRES_SHAPE = {"42P01", "42703", "42804", "3F000"}
"""Undefined table, column or schema, wrong type: somebody changed the store's tables."""
_MISSING_TYPE = "A type of an extension? Create it in the store, then go on; which, says: crossfade assess"
_MEND_SCHEMA = "See how the store differs: crossfade schema plan --diff; mend it, then: crossfade stop, crossfade start"


def from_mysql(error: pymysql.err.MySQLError, where: str) -> CrossfadeError:
    """Our error for a MySQL driver error."""
    number = int(error.args[0]) if error.args and isinstance(error.args[0], int) else 0
    text = str(error.args[1]) if len(error.args) > 1 else str(error)
    if number in MYSQL_ACCESS:
        return AccessDenied(f"{where} says: {text}", errno=number)
    if number == 1049:
        return Refused(f"{where} says: {text}", hint="Check `databases` in the configuration.", errno=number)
    if number in MYSQL_LOST or isinstance(error, pymysql.err.InterfaceError):
        return ConnectionLost(f"connection to {where} was lost: {text}", errno=number or None)
    if number in MYSQL_UNREACHABLE:
        return Unreachable(f"cannot reach {where}: {text}", errno=number)
    if number in MYSQL_TIMED_OUT:
        return StatementTimeout(f"{where} says: {text}", errno=number)
    if number in MYSQL_BUSY:
        return Busy(f"{where} says: {text}", errno=number)
    return Refused(f"{where} says: {text}", hint="", errno=number or None)


def from_postgres(error: psycopg.Error, where: str) -> CrossfadeError:
    """Our error for a PostgreSQL driver error."""
    state = error.sqlstate or ""
    text = (error.diag.message_primary or str(error)).strip()
    facts: dict[str, Any] = {
        "sqlstate": state or None,
        "table": error.diag.table_name,
        "column": error.diag.column_name,
        "constraint": error.diag.constraint_name,
        "detail": error.diag.message_detail,
    }
    if state.startswith("28") or state == "42501" or "authentication failed" in text or "no password supplied" in text:
        return AccessDenied(f"{where} says: {text}", sqlstate=state or None)
    if state == "3D000" or ('database "' in text and "does not exist" in text):
        hint = "Create the database or mend the store's dsn."
        return Refused(f"{where} says: {text}", hint=hint, sqlstate=state or None)
    if state == "57014":
        return StatementTimeout(f"{where} says: {text}", **facts)
    if state.startswith("40") or state == "55P03":
        return Busy(f"{where} says: {text}", **facts)
    if state.startswith(("08", "57P", "53")) or (not state and isinstance(error, psycopg.OperationalError)):
        kind = ConnectionLost if state.startswith(("08", "57P")) or "closed" in text or "lost" in text else Unreachable
        return kind(f"{where}: {text}", sqlstate=state or None)
    if state.startswith(("22", "23")):
        return ValueRefused(f"{where} says: {text}", hint="See: crossfade errors list", **facts)
    hint = _MEND_SCHEMA if state in POSTGRES_SHAPE else ""
    if state == "42704" and text.startswith("type "):
        hint = _MISSING_TYPE
    return ApplyError(f"{where} says: {text}", hint=hint, **facts)


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Turn driver errors raised inside into ours; `where` names the server in the message."""
    try:
        yield
    except pymysql.err.MySQLError as error:
        raise from_mysql(error, where) from error
    except psycopg.Error as error:
        raise from_postgres(error, where) from error
    except (ConnectionError, TimeoutError) as error:
        raise ConnectionLost(f"connection to {where} was lost: {error}") from error

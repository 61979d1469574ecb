"""Creates RetailCore's tables on any of the source servers from schema.sql. Holds no SQL of its own but the frame."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pymysql

SCHEMA_FILE = Path(__file__).with_name("schema.sql")
_DATABASE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def statements() -> list[str]:
    """The statements of schema.sql in order, without whole-line comments. No statement holds a ';' inside."""
    text = "\n".join(line for line in SCHEMA_FILE.read_text(encoding="utf-8").splitlines() if not line.startswith("--"))
    return [statement.strip() for statement in text.split(";\n") if statement.strip()]


def create_database(connection: pymysql.Connection[Any], database: str) -> None:
    """Create the database anew (an existing one of this name is dropped), its tables, and make it the current one.

    Raises ValueError for a name that is not a plain identifier, pymysql errors for what the server refuses.
    """
    if not _DATABASE_NAME.fullmatch(database):
        raise ValueError(f"not a plain database name: {database!r}")
    with connection.cursor() as cursor:
        cursor.execute("DROP DATABASE IF EXISTS `" + database + "`")
        cursor.execute("CREATE DATABASE `" + database + "` DEFAULT CHARACTER SET latin1")
        connection.select_db(database)
        for statement in statements():
            cursor.execute(statement)

"""XA transactions that a source has prepared and that nobody has committed or taken back.

`connection` is one of `use_unicode=False`: the names are bytes of any kind, and are marked as text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pymysql.cursors import Cursor

from model.errors import AccessDenied, Refused
from stores.errors import translated
from stores.mysql import MysqlConnection

PRIVILEGE: Final = "XA_RECOVER_ADMIN"
"""What MySQL 8 and later asks of who wants to see them; MySQL 5 and MariaDB ask for nothing."""
_NOT_ALLOWED: Final = 1401
"""XAER_RMERR, the answer to who lacks it."""
_ORDINARY: Final = 1
"""The format id of who gives none."""


@dataclass(frozen=True, slots=True)
class PreparedXa:
    """The name of one of them."""

    format_id: int
    gtrid: bytes
    """The global part."""
    bqual: bytes
    """The branch."""

    def __str__(self) -> str:
        """As XA COMMIT and XA ROLLBACK want it."""
        if self.format_id == _ORDINARY and not self.bqual:
            return _literal(self.gtrid)
        return f"{_literal(self.gtrid)},{_literal(self.bqual)},{self.format_id}"


def prepared_xa(connection: MysqlConnection[Any]) -> tuple[PreparedXa, ...] | None:
    """All of the server, of every database; None when we may not ask."""
    try:
        with translated("source"), connection.cursor(Cursor) as cursor:
            cursor.execute("XA RECOVER")
            rows = cursor.fetchall()
    except AccessDenied:
        return None
    except Refused as error:
        if error.where.get("errno") == _NOT_ALLOWED:
            return None
        raise
    return tuple(_named(row) for row in rows)


def verdicts(found: Sequence[PreparedXa]) -> str:
    """The statements that end them, and whom to ask first."""
    return (
        " ".join(f"XA ROLLBACK {one};" for one in found)
        + "  -- or XA COMMIT: ask the coordinator which; one in flight ends by itself, so look again before"
    )


def _named(row: Sequence[Any]) -> PreparedXa:
    format_id, global_length, branch_length, data = row
    at = int(global_length)
    return PreparedXa(int(format_id), bytes(data)[:at], bytes(data)[at : at + int(branch_length)])


def _literal(name: bytes) -> str:
    """The bytes as text where they can be read, else in hex."""
    readable = name.isascii() and name.decode("ascii", "replace").isprintable() and not {*b"'\\"} & {*name}
    return f"'{name.decode('ascii')}'" if readable else f"X'{name.hex()}'"

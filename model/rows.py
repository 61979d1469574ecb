"""Row changes between decode, transform and apply. One value form everywhere: PostgreSQL's text input form.

A field is `bytes` (the UTF-8 text that PostgreSQL's input function of the column's default target type takes, not
escaped for COPY), `None` (SQL NULL) or `ABSENT` (not in a MINIMAL row image; never the same as NULL).
`docs/architecture.md` §3 lists the text form of each source type; snapshot and stream must give the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final, TypeAlias

from model.tables import TableId


class _Absent(Enum):
    ABSENT = "absent"

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent.ABSENT


class Undecodable(bytes):
    """A field whose bytes are no text of their character set, as `\\x` and hex digits. For the quarantine only."""

    __slots__ = ()


Field: TypeAlias = bytes | _Absent | None
Row: TypeAlias = tuple[Field, ...]


class Op(StrEnum):
    """What happened to a row."""

    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class RowChange:
    """One change of one source row; rows have one field per source column, in ordinal order.

    INSERT has `after` only, DELETE `before` only, UPDATE both.
    """

    op: Op
    table: TableId
    before: Row | None
    after: Row | None

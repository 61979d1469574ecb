"""What a statement of the source does to one migrated table, as far as comparing definitions would not tell it.

Comparing the definitions before and after shows columns, keys and indexes. It shows neither that a column was renamed
nor that rows went with a partition. A strict reader: a part that is not known makes the rows unknown. No I/O.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from model.tables import TableId
from sync.ddl_alter import Rest, read_alteration
from sync.ddl_tokens import Token, tokens

_TOOL_TABLE: Final = re.compile(r"_+(?P<table>.+)_(?:gho|new)\Z")
"""The table that gh-ost (`_t_gho`) or pt-online-schema-change (`_t_new`, more underscores when taken) has filled."""
_SAFE_ENGINES: Final = frozenset({"INNODB", "ROCKSDB", "XTRADB"})
_PARTITION_SAFE: Final = frozenset({"REORGANIZE", "REBUILD", "OPTIMIZE", "ANALYZE", "CHECK", "REPAIR", "COALESCE"})
_OPTIONS: Final = frozenset(
    {"COMMENT", "AUTO_INCREMENT", "ROW_FORMAT", "ALGORITHM", "LOCK", "KEY_BLOCK_SIZE", "STATS_PERSISTENT", "DEFAULT",
     "STATS_AUTO_RECALC", "STATS_SAMPLE_PAGES", "MAX_ROWS", "MIN_ROWS", "AVG_ROW_LENGTH", "CHARACTER", "CHARSET",
     "COLLATE", "ORDER", "FORCE", "ENABLE", "DISABLE", "CHECKSUM", "DELAY_KEY_WRITE", "PACK_KEYS", "ENCRYPTION",
     "COMPRESSION", "PAGE_COMPRESSED", "PAGE_COMPRESSION_LEVEL", "WITH", "WITHOUT", "NOWAIT", "WAIT"}
)  # fmt: skip


class Act(StrEnum):
    """What becomes of the table."""

    ALTER = "alter"
    SWAP = "swap"
    """A schema change tool has put its altered copy into the table's place."""
    TRUNCATE = "truncate"
    DROP = "drop"
    NOTHING = "nothing"
    """CREATE TABLE IF NOT EXISTS of a table that is there."""
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Reading:
    """A statement read for one table."""

    act: Act
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Columns by their old names."""
    why: str = ""
    """UNCLEAR: why nobody can tell what rows and columns the table has afterwards."""


def read_statement(statement: str, schema: str, table: TableId, sql_mode: int | None = 0) -> Reading:
    """What `statement`, run in database `schema`, does to `table`."""
    found = tokens(statement, sql_mode)
    if found is None:
        return Reading(Act.UNCLEAR, why="it cannot be read")
    alteration = read_alteration(statement, schema, sql_mode)
    if alteration is not None and _same(alteration.table, table):
        return _alteration(alteration.parts)
    rest = Rest(found)
    if rest.take("ALTER") and rest.take("IGNORE"):
        return Reading(Act.UNCLEAR, why="ALTER IGNORE removes rows that no event tells of")
    if rest.take("TRUNCATE"):
        return Reading(Act.TRUNCATE)
    if rest.take("DROP"):
        if rest.any("TABLE", "TABLES", "DATABASE", "SCHEMA"):
            return Reading(Act.DROP)
    elif rest.take("RENAME"):
        if rest.any("TABLE", "TABLES"):
            return _rename(rest, schema, table)
    elif rest.take("CREATE") and rest.take("TABLE") and rest.take("IF"):
        return Reading(Act.NOTHING)
    return Reading(Act.UNCLEAR, why="it is not a statement that crossfade follows")


def _same(one: TableId, other: TableId) -> bool:
    return (one.schema.lower(), one.name.lower()) == (other.schema.lower(), other.name.lower())


def _rename(rest: Rest, schema: str, table: TableId) -> Reading:
    pairs: list[tuple[TableId, TableId]] = []
    while rest.left:
        if rest.take("IF"):
            rest.take("EXISTS")
        before = rest.table(schema)
        if rest.any("WAIT"):
            rest.number()
        rest.any("NOWAIT")
        after = rest.table(schema) if rest.take("TO") else None
        if before is None or after is None:
            return Reading(Act.UNCLEAR, why="it cannot be read")
        pairs.append((before, after))
        if rest.left and rest.next() != Token.sign(","):
            return Reading(Act.UNCLEAR, why="it cannot be read")
    away = any(_same(before, table) for before, _ in pairs)
    into = [before for before, after in pairs if _same(after, table)]
    if away and len(into) == 1 and into[0].schema.lower() == table.schema.lower():
        tool = _TOOL_TABLE.match(into[0].name.lower())
        if tool is not None and tool["table"] == table.name.lower():
            return Reading(Act.SWAP)
        return Reading(Act.UNCLEAR, why=f"{into[0]} took its place, whose rows crossfade has not seen")
    if away:
        return Reading(Act.UNCLEAR, why="the table has another name now")
    return Reading(Act.UNCLEAR, why="another table took its name")


def _alteration(parts: Sequence[tuple[Token, ...]]) -> Reading:
    renamed: dict[str, str] = {}
    dropped: set[str] = set()
    added: set[str] = set()
    for part in parts:
        why = _part(Rest(part), renamed, dropped, added)
        if why:
            return Reading(Act.UNCLEAR, why=why)
    again = dropped & added
    if again:
        return Reading(Act.UNCLEAR, why=f"the column {min(again)} is dropped and added again")
    return Reading(Act.ALTER, renamed)


def _part(rest: Rest, renamed: dict[str, str], dropped: set[str], added: set[str]) -> str:
    """Why this part of an ALTER TABLE leaves the rows unknown; "" when comparing definitions tells everything."""
    if rest.take("ADD"):
        if rest.any("PARTITION"):
            return ""
        if rest.any("SYSTEM", "PERIOD"):
            return "it makes the table versioned"
        if rest.any(
            "CONSTRAINT", "PRIMARY", "UNIQUE", "INDEX", "KEY", "FULLTEXT", "SPATIAL", "FOREIGN", "CHECK", "VECTOR"
        ):
            return ""
        rest.take("COLUMN")
        if rest.take("IF"):
            rest.take("NOT")
            rest.take("EXISTS")
        if rest.left and rest.left[0].is_sign("("):
            rest.next()
        if rest.left and rest.left[0].named is not None:
            added.add(rest.left[0].text.lower())
        return ""
    if rest.take("DROP"):
        return _drop(rest, dropped)
    if rest.take("MODIFY"):
        return ""
    if rest.take("CHANGE"):
        rest.take("COLUMN")
        if rest.take("IF"):
            rest.take("EXISTS")
        return _renames(rest.next(), rest.next(), renamed)
    if rest.take("RENAME"):
        if rest.any("INDEX", "KEY"):
            return ""
        if rest.take("COLUMN"):
            if rest.take("IF"):
                rest.take("EXISTS")
            old = rest.next()
            return _renames(old, rest.next(), renamed) if rest.take("TO") else "it cannot be read"
        return "the table has another name now"
    if rest.any("ALTER"):
        return ""
    if rest.take("ENGINE"):
        if rest.left and rest.left[0].is_sign("="):
            rest.next()
        safe = len(rest.left) == 1 and rest.left[0].text.upper() in _SAFE_ENGINES
        return "" if safe else "another engine may lose rows"
    if rest.take("CONVERT"):
        return "" if rest.take("TO") else "a partition becomes a table of its own"
    if rest.any("PARTITION"):
        return ""
    if rest.any(*_PARTITION_SAFE):
        return "" if rest.any("PARTITION") else "it is not a part of ALTER TABLE that crossfade knows"
    if rest.any("REMOVE"):
        return "" if rest.any("PARTITIONING") else "it is not a part of ALTER TABLE that crossfade knows"
    if rest.any("TRUNCATE", "EXCHANGE", "DISCARD", "IMPORT"):
        return "rows of a partition or tablespace go without events"
    return "" if rest.any(*_OPTIONS) or not rest.left else "it is not a part of ALTER TABLE that crossfade knows"


def _drop(rest: Rest, dropped: set[str]) -> str:
    if rest.any("PARTITION"):
        return "the rows of a partition go without events"
    if rest.any("SYSTEM", "PERIOD"):
        return "the table was versioned"
    if rest.any("PRIMARY", "INDEX", "KEY", "FOREIGN", "CONSTRAINT", "CHECK"):
        return ""
    rest.take("COLUMN")
    if rest.take("IF"):
        rest.take("EXISTS")
    name = rest.next()
    if name is None or name.named is None:
        return "it cannot be read"
    dropped.add(name.text.lower())
    return ""


def _renames(old: Token | None, new: Token | None, renamed: dict[str, str]) -> str:
    if old is None or new is None or old.named is None or new.named is None:
        return "it cannot be read"
    if old.text != new.text:
        renamed[old.text] = new.text
    return ""

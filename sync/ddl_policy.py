"""What a statement in the binlog means for us: transaction control, harmless, a change of a migrated table, or data.

Looks at words, and at grammar only to let what is surely harmless pass: it errs on the side of stopping. Deciding what
to do with DDL is the caller's.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from model.tables import TableDef, TableId
from sync.ddl_alter import harmless, read_alteration


class Meaning(StrEnum):
    """What a statement is to the applier."""

    CONTROL = "control"
    """BEGIN, COMMIT, SAVEPOINT and the like."""
    ROLLBACK = "rollback"
    """Takes back changes that stand before it in the same transaction."""
    HARMLESS = "harmless"
    """Touches no migrated table's rows or shape."""
    DDL = "ddl"
    """Changes a migrated table."""
    DATA = "data"
    """Changes rows of a migrated table by statement, not by row events."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The meaning and what it concerns."""

    meaning: Meaning
    concerns: str = ""
    tables: tuple[TableId, ...] = ()
    """The migrated tables among what it concerns, also when it does them no harm."""
    alters: bool = False
    """HARMLESS: it changes indexes, options or foreign keys of a migrated table."""


_COMMENT = re.compile(r"/\*!\d*|\*/|/\*.*?\*/|(?:--[ \t]|#)[^\n]*", re.DOTALL)
_WORD = re.compile(
    r"`((?:[^`]|``)+)`|([A-Za-z_$0-9\u0080-\uffff]+)|('(?:[^'\\]|\\.|'')*')|(\"(?:[^\"\\]|\\.|\"\")*\")|(\.)"
)
_DEFINER = re.compile(
    r"\bDEFINER\s*=\s*(?:`[^`]*`|'[^']*'|\"[^\"]*\"|[\w$]+)(?:\s*@\s*(?:`[^`]*`|'[^']*'|\"[^\"]*\"|[\w$.%-]+))?(?:\s*\(\s*\))?",
    re.IGNORECASE,
)
_SET_STATEMENT = re.compile(r"\s*SET\s+STATEMENT\b.*?\bFOR\b", re.IGNORECASE | re.DOTALL)

_CONTROL = {"BEGIN", "START", "COMMIT", "SAVEPOINT", "RELEASE", "XA"}
"""XA too: whether a prepared transaction may be applied is told by its XA_PREPARE event."""
_DATA = {"INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD", "CALL", "WITH"}
_SHAPE = {"ALTER", "DROP", "TRUNCATE", "RENAME", "CREATE"}
_OTHER_OBJECTS = {
    "VIEW", "PROCEDURE", "FUNCTION", "TRIGGER", "EVENT", "USER", "ROLE", "SERVER", "LOGFILE", "TABLESPACE", "PACKAGE",
    "SPATIAL REFERENCE", "RESOURCE", "UNDO", "INSTANCE", "SEQUENCE", "AGGREGATE", "LIBRARY",
}  # fmt: skip
_MODIFIERS = {
    "OR", "REPLACE", "TEMPORARY", "ONLINE", "OFFLINE", "IGNORE", "IF", "NOT", "EXISTS", "UNIQUE", "FULLTEXT", "SPATIAL",
    "ALGORITHM", "DEFINER", "SQL", "SECURITY", "UNDEFINED", "MERGE", "TEMPTABLE", "INVOKER", "VECTOR",
}  # fmt: skip
_HARMLESS = {
    "GRANT", "REVOKE", "FLUSH", "ANALYZE", "OPTIMIZE", "REPAIR", "CHECK", "SET", "INSTALL", "UNINSTALL", "RESET",
    "CHANGE", "USE", "DO", "KILL", "SHUTDOWN", "HANDLER",
}  # fmt: skip


def judge(
    statement: str,
    schema: str,
    tables: Iterable[TableId],
    definitions: Mapping[TableId, TableDef] | None = None,
    sql_mode: int | None = 0,
) -> Judgement:
    """Judge a statement that ran with default database `schema`, against the tables whose changes matter."""
    text = _SET_STATEMENT.sub(" ", _COMMENT.sub(" ", statement), count=1)
    words = _words(text)
    verb = words[0].upper() if words else ""
    if verb in _CONTROL or not verb:
        return Judgement(Meaning.CONTROL)
    if verb == "ROLLBACK":
        return Judgement(Meaning.ROLLBACK)
    tables = tuple(tables)
    if verb in _HARMLESS:
        return _passed(_mentioned(words[1:], schema, tables))
    if verb in _SHAPE:
        judgement = _shape(verb, _words(_DEFINER.sub(" ", text)), schema, tables)
        if judgement.meaning is Meaning.DDL:
            alteration = read_alteration(statement, schema, sql_mode)
            if alteration is not None and harmless(alteration, definitions or {}):
                return dataclasses.replace(_passed(judgement.tables), alters=True)
        return judgement
    found = _mentioned(words[1:], schema, tables)
    if verb in _DATA:
        ours = bool(found) or schema in {table.schema for table in tables}
        # A function or a view can hide a table, so any data statement in a migrated database counts.
        return Judgement(Meaning.DATA, ", ".join(map(str, found)) or schema) if ours else Judgement(Meaning.HARMLESS)
    return _ddl(found)


def _passed(found: Iterable[TableId]) -> Judgement:
    found = tuple(found)
    return Judgement(Meaning.HARMLESS, ", ".join(map(str, found)), found)


def _ddl(found: list[TableId]) -> Judgement:
    return Judgement(Meaning.DDL, ", ".join(map(str, found)), tuple(found)) if found else Judgement(Meaning.HARMLESS)


def _shape(verb: str, words: list[str], schema: str, tables: tuple[TableId, ...]) -> Judgement:
    rest = words[1:]
    if verb in ("CREATE", "DROP") and "TEMPORARY" in [word.upper() for word in rest[:3]]:
        return Judgement(Meaning.HARMLESS)
    kind = next((word.upper() for word in rest if word.upper() not in _MODIFIERS), "")
    if kind in ("DATABASE", "SCHEMA"):
        names = {word for word in rest if word.upper() not in _MODIFIERS} - {kind}
        gone = sorted(names & {table.schema for table in tables}) if verb == "DROP" else []
        if not gone:
            return Judgement(Meaning.HARMLESS)
        return Judgement(Meaning.DDL, f"database {gone[0]}", tuple(one for one in tables if one.schema in gone))
    # TRUNCATE may be followed by a table's bare name, whatever that is.
    if verb != "TRUNCATE" and kind in _OTHER_OBJECTS:
        return _passed(_mentioned(rest, schema, tables))
    if verb == "CREATE" and kind == "TABLE":
        # Only the new table counts: LIKE, SELECT and REFERENCES merely read others.
        start = next(index for index, word in enumerate(rest) if word.upper() == "TABLE") + 1
        while start < len(rest) and rest[start].upper() in _MODIFIERS:
            start += 1
        found = _mentioned(rest[start : start + (3 if rest[start + 1 : start + 2] == ["."] else 1)], schema, tables)
    else:
        found = _mentioned(rest, schema, tables)
    return _ddl(found)


def _words(text: str) -> list[str]:
    """Names and words in order, a dot as `.`; text literals left out."""
    found: list[str] = []
    for quoted, word, single, double, dot in _WORD.findall(text):
        if quoted:
            found.append(quoted.replace("``", "`"))
        elif word:
            found.append(word)
        elif double:
            found.append(double[1:-1])
        elif dot:
            found.append(".")
        else:
            assert single is not None
    return found


def _mentioned(words: list[str], schema: str, tables: tuple[TableId, ...]) -> list[TableId]:
    """Tables named, qualified or in the default database (letter case aside: servers differ in it)."""
    lowered = [word.lower() for word in words]
    found: list[TableId] = []
    for table in tables:
        name, home = table.name.lower(), table.schema.lower()
        for index, word in enumerate(lowered):
            if word != name:
                continue
            qualified = index >= 2 and lowered[index - 1] == "."
            if (lowered[index - 2] if qualified else schema.lower()) == home:
                found.append(table)
                break
    return found

"""ALTER TABLE, CREATE INDEX and DROP INDEX taken apart, and which of them leave rows and columns as they are.

A strict reader: what it does not know whole is not harmless. No I/O.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from model.tables import ForeignKeyDef, TableDef, TableId
from sync.ddl_tokens import Kind, Token, tokens

_ACTS: Final = frozenset({"CASCADE", "SET NULL", "SET DEFAULT"})
_OPTIONS: Final = frozenset(
    {"COMMENT", "AUTO_INCREMENT", "ROW_FORMAT", "ALGORITHM", "LOCK", "KEY_BLOCK_SIZE", "STATS_PERSISTENT",
     "STATS_AUTO_RECALC", "STATS_SAMPLE_PAGES", "MAX_ROWS", "MIN_ROWS", "AVG_ROW_LENGTH"}
)  # fmt: skip
"""Options of a table, and of how it is altered, that change no row."""


_LONG: Final = 700
"""Characters: InnoDB's keys hold 3072 bytes, and a character may have four."""


@dataclass(frozen=True, slots=True)
class Alteration:
    """An ALTER TABLE (CREATE INDEX and DROP INDEX are forms of it): its table and its specifications."""

    table: TableId
    parts: tuple[tuple[Token, ...], ...]


def read_alteration(statement: str, schema: str, sql_mode: int | None = 0) -> Alteration | None:
    """Take a statement that ran in database `schema` apart. None when it is none of these or not clear."""
    found = tokens(statement, sql_mode)
    if found is None:
        return None
    rest = Rest(_without_set_statement(found))
    if rest.take("ALTER"):
        rest.any("ONLINE", "OFFLINE")
        # With IGNORE rows go that no event tells of.
        if not rest.take("TABLE"):
            return None
        rest.take("IF") and rest.take("EXISTS")
        table = rest.table(schema)
        if table is None:
            return None
        if rest.any("WAIT") and not rest.number():
            return None
        rest.any("NOWAIT")
        parts = _split(rest.left)
        return Alteration(table, parts) if parts else None
    return _index(rest, schema)


def _index(rest: Rest, schema: str) -> Alteration | None:
    """CREATE INDEX i ON t (…) as ADD INDEX i (…), DROP INDEX i ON t as DROP INDEX i."""
    verb = "ADD" if rest.take("CREATE") else "DROP" if rest.take("DROP") else ""
    if not verb:
        return None
    head = [Token(Kind.WORD, verb)]
    if verb == "ADD":
        if rest.take("OR") and not rest.take("REPLACE"):
            return None
        rest.any("ONLINE", "OFFLINE")
        head += rest.some("UNIQUE", "FULLTEXT", "SPATIAL")
    if not rest.take("INDEX"):
        return None
    head.append(Token(Kind.WORD, "INDEX"))
    if rest.take("IF"):
        rest.take("NOT")
        rest.take("EXISTS")
    name = rest.next()
    if name is None or name.named is None:
        return None
    head.append(Token(Kind.NAME, name.text))
    if verb == "ADD" and rest.take("USING") and rest.next() is None:
        return None
    if not rest.take("ON"):
        return None
    table = rest.table(schema)
    parts = _split((*head, *rest.left)) if verb == "ADD" else (tuple(head),)
    return Alteration(table, parts) if table and parts else None


class Rest:
    """Tokens that are still to be read."""

    def __init__(self, found: Sequence[Token]) -> None:
        self.left = tuple(found)

    def next(self) -> Token | None:
        """The next token, taken."""
        if not self.left:
            return None
        first, self.left = self.left[0], self.left[1:]
        return first

    def take(self, word: str) -> bool:
        """Take the next token if it is this keyword."""
        if self.left and self.left[0].is_word(word):
            self.next()
            return True
        return False

    def some(self, *words: str) -> list[Token]:
        """Take the next token if it is one of these keywords."""
        return [self.next()] if self.left and self.left[0].is_word(*words) else []  # type: ignore[list-item]

    def any(self, *words: str) -> bool:
        """Take one of these keywords if it comes."""
        return bool(self.some(*words))

    def number(self) -> bool:
        """Take the next token if it is a number."""
        found = bool(self.left) and self.left[0].kind is Kind.NUMBER
        if found:
            self.next()
        return found

    def table(self, schema: str) -> TableId | None:
        """A table's name, maybe qualified."""
        first = self.next()
        if first is None or first.named is None:
            return None
        if self.left and self.left[0].is_sign("."):
            self.next()
            second = self.next()
            return TableId(first.text, second.text) if second is not None and second.named is not None else None
        return TableId(schema, first.text)


def _without_set_statement(found: tuple[Token, ...]) -> tuple[Token, ...]:
    if len(found) > 2 and found[0].is_word("SET") and found[1].is_word("STATEMENT"):
        for index, token in enumerate(found):
            if token.is_word("FOR"):
                return found[index + 1 :]
    return found


def _split(found: Sequence[Token]) -> tuple[tuple[Token, ...], ...]:
    """Parts between commas that stand in no bracket; none when the brackets do not match."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in found:
        depth += token.is_sign("(") - token.is_sign(")")
        if depth < 0:
            return ()
        if depth == 0 and token.is_sign(","):
            parts.append([])
        else:
            parts[-1].append(token)
    return tuple(map(tuple, parts)) if depth == 0 else ()


def harmless(alteration: Alteration, definitions: Mapping[TableId, TableDef]) -> bool:
    """Whether it leaves rows, columns, keys and cascades of the migrated tables as they are."""
    alike = (one for table, one in definitions.items() if _same(table, alteration.table))
    definition = definitions.get(alteration.table) or next(alike, None)
    return all(_leaves(part, definition) for part in alteration.parts)


def _same(one: TableId, other: TableId) -> bool:
    return (one.schema.lower(), one.name.lower()) == (other.schema.lower(), other.name.lower())


def _leaves(part: tuple[Token, ...], definition: TableDef | None) -> bool:
    rest = Rest(part)
    if rest.take("ADD"):
        return _adds_index_or_key(rest, definition)
    if rest.take("DROP"):
        return _drops_index_or_key(rest, definition)
    if rest.take("RENAME"):
        # A renamed index is still there; RENAME TO is a table's.
        return rest.any("INDEX", "KEY") and len(rest.left) == 3 and rest.left[1].is_word("TO")
    if rest.any("ENABLE", "DISABLE"):
        return rest.take("KEYS") and not rest.left
    if rest.take("FORCE"):
        return not rest.left
    if rest.take("ORDER"):
        return rest.take("BY") and all(token.named is not None for token in rest.left)
    if rest.any("ENGINE"):
        if rest.left and rest.left[0].is_sign("="):
            rest.next()
        same = definition.engine.lower() if definition else None
        return len(rest.left) == 1 and rest.left[0].text.lower() == (same or rest.left[0].text.lower()) == "innodb"
    return _options(rest)


def _options(rest: Rest) -> bool:
    """Options with one value each, in a row."""
    while rest.left:
        first = rest.next()
        if first is None or first.kind is not Kind.WORD or first.text.upper() not in _OPTIONS:
            return False
        if rest.left and rest.left[0].is_sign("="):
            rest.next()
        value = rest.next()
        if value is None or value.kind is Kind.SIGN:
            return False
    return True


def _adds_index_or_key(rest: Rest, definition: TableDef | None) -> bool:
    if rest.take("CONSTRAINT") and rest.left and not rest.left[0].is_word("UNIQUE", "FOREIGN"):
        rest.next()
        if not rest.left or not rest.left[0].is_word("UNIQUE", "FOREIGN"):
            return False
    if rest.take("FOREIGN"):
        if not rest.take("KEY"):
            return False
        return not any(token.is_word("CASCADE", "SET") for token in rest.left)
    if rest.any("UNIQUE"):
        rest.any("INDEX", "KEY")
        if definition is not None and _is_hashed(rest.left, definition):
            return False
    elif rest.any("FULLTEXT", "SPATIAL"):
        rest.any("INDEX", "KEY")
    elif not rest.any("INDEX", "KEY"):
        return False
    opened = [place for place, token in enumerate(rest.left) if token.is_sign("(")]
    # An index over an expression brings a hidden column.
    return bool(opened) and not any(place and rest.left[place - 1].kind is Kind.SIGN for place in opened)


def _is_hashed(left: Sequence[Token], definition: TableDef) -> bool:
    """Whether MariaDB may keep a unique index over so long columns by a hidden column with their hash."""
    names = {token.text.lower() for token in left if token.named is not None}
    columns = [column for column in definition.columns if column.name.lower() in names]
    return sum(_LONG if column.type.endswith(("text", "blob")) else (column.length or 8) for column in columns) >= _LONG


def _drops_index_or_key(rest: Rest, definition: TableDef | None) -> bool:
    if rest.take("FOREIGN"):
        if not rest.take("KEY"):
            return False
        exists = rest.take("IF") and rest.take("EXISTS")
        if len(rest.left) != 1:
            return False
        if definition is None:
            return True
        keys = [key for key in definition.foreign_keys if key.name.lower() == rest.left[0].text.lower()]
        return not any(map(_acts, keys)) and (bool(keys) or exists)
    if not rest.any("INDEX", "KEY"):
        return False
    rest.take("IF") and rest.take("EXISTS")
    if len(rest.left) != 1 or rest.left[0].text.upper() == "PRIMARY":
        return False
    # Without a primary key it may be the index that tells rows apart.
    return definition is None or bool(definition.primary_key) or not definition.key


def _acts(key: ForeignKeyDef) -> bool:
    return key.on_delete.upper() in _ACTS or key.on_update.upper() in _ACTS

"""The definition that a table had between two of its changes, when the source's catalogue only knows the last one.

A column that no later statement touches is as the catalogue has it now; one that the first statement did not touch is
as it was before; one that both have defined is what the words of the first say, where they say everything. Names and
order are followed through the words of all statements, and what they lead to must be what the catalogue has: else
nothing is known. No I/O.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Flag, auto
from typing import Final

from model.tables import ColumnDef, ForeignKeyDef, IndexDef, TableDef
from sync.ddl_alter import Alteration, Rest
from sync.ddl_tokens import Token
from sync.ddl_words import column_of_words

_INDEXES: Final = (
    "CONSTRAINT", "UNIQUE", "INDEX", "KEY", "FULLTEXT", "SPATIAL", "FOREIGN", "CHECK", "VECTOR", "PARTITION"
)  # fmt: skip
_ACTING: Final = frozenset({"CASCADE", "SET NULL", "SET DEFAULT"})


class _Unknown(Exception):
    """The words do not tell what the table is."""


class _Touch(Flag):
    """What statements have done to a column."""

    NOTHING = 0
    RENAMED = auto()
    DEFINED = auto()
    """Its type, default or attributes may be others; or it came, or went."""


@dataclass(eq=False)
class _Column:
    """A column through all statements."""

    name: str
    before: ColumnDef | None = None
    """Its definition before the first statement; None: it was added."""
    touched: _Touch = _Touch.NOTHING
    words: Sequence[Token] | None = None
    """Its definition by the last statement that gave it one whole, from the type on; None: there is none."""


@dataclass(slots=True)
class _Place:
    """Where a column goes: after another, first (""), or at the end (None)."""

    column: _Column
    after: str | None


@dataclass(slots=True)
class _Step:
    """One statement over the columns, in the order in which the servers work: what is there first, then what moves."""

    columns: list[_Column]
    old: Mapping[str, _Column] = field(init=False)
    moves: list[_Place] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.old = {column.name.lower(): column for column in self.columns}

    def part(self, part: Sequence[Token]) -> None:
        """Note one part of an ALTER TABLE. Raises _Unknown."""
        rest = Rest(part)
        if any(token.is_word("PRIMARY") for token in part):
            raise _Unknown
        if rest.take("ADD"):
            self._add(rest)
        elif rest.take("DROP"):
            if not rest.any(*_INDEXES):
                column, _ = self._named(rest)
                if column is not None:
                    column.touched |= _Touch.DEFINED
                    self.columns.remove(column)
        elif rest.take("MODIFY"):
            column, _ = self._named(rest)
            self._define(column, rest)
        elif rest.take("CHANGE"):
            column, _ = self._named(rest)
            self._rename(column, rest.next())
            self._define(column, rest)
        elif rest.take("RENAME"):
            if not rest.any("INDEX", "KEY"):
                if not rest.take("COLUMN"):
                    raise _Unknown
                column, _ = self._named(rest, word=False)
                if not rest.take("TO"):
                    raise _Unknown
                self._rename(column, rest.next())
        elif rest.take("ALTER"):
            if not rest.any("INDEX", "CHECK", "CONSTRAINT"):
                column, _ = self._named(rest)
                if column is not None:
                    column.touched |= _Touch.DEFINED
                    column.words = None
        elif rest.take("CONVERT"):
            for column in self.columns:
                column.touched |= _Touch.DEFINED
                column.words = None

    def finish(self) -> list[_Column]:
        """The columns after the statement. Raises _Unknown."""
        for move in self.moves:
            if move.column in self.columns:
                self.columns.remove(move.column)
        for move in self.moves:
            place = len(self.columns)
            if move.after is not None:
                names = [column.name.lower() for column in self.columns]
                if move.after and move.after.lower() not in names:
                    raise _Unknown
                place = names.index(move.after.lower()) + 1 if move.after else 0
            self.columns.insert(place, move.column)
        return self.columns

    def _named(self, rest: Rest, *, word: bool = True) -> tuple[_Column | None, str]:
        """The column that comes next, None for one that is not there and need not be; and its name."""
        if word:
            rest.take("COLUMN")
        optional = rest.take("IF")
        if optional:
            rest.take("NOT")
            rest.take("EXISTS")
        name = rest.next()
        if name is None or name.named is None:
            raise _Unknown
        found = self.old.get(name.text.lower())
        if found is None and not optional:
            raise _Unknown
        return found, name.text

    def _add(self, rest: Rest) -> None:
        if rest.any(*_INDEXES):
            return
        rest.take("COLUMN")
        optional = rest.take("IF")
        if optional:
            rest.take("NOT")
            rest.take("EXISTS")
        listed = bool(rest.left) and rest.left[0].is_sign("(")
        for words in _listed(rest.left) if listed else [rest.left]:
            if not words or words[0].named is None:
                raise _Unknown
            if words[0].is_word(*_INDEXES) and listed:
                continue
            if words[0].text.lower() in self.old:
                if optional:
                    continue
                raise _Unknown
            column = _Column(words[0].text, touched=_Touch.DEFINED, words=None if optional else words[1:])
            self.moves.append(_Place(column, _after(words)))
            _no_key(words[1:])

    def _define(self, column: _Column | None, rest: Rest) -> None:
        if column is None:
            return
        column.touched |= _Touch.DEFINED
        column.words = rest.left
        _no_key(rest.left)
        after = _after(rest.left)
        if after is not None:
            self.moves.append(_Place(column, after))

    @staticmethod
    def _rename(column: _Column | None, name: Token | None) -> None:
        if name is None or name.named is None:
            raise _Unknown
        if column is not None and column.name != name.text:
            column.name = name.text
            column.touched |= _Touch.RENAMED


def _listed(words: Sequence[Token]) -> Iterable[Sequence[Token]]:
    """`(a INT, b DECIMAL(8,2))` without its brackets, cut at the commas between columns."""
    depth, start = 0, 1
    for place, token in enumerate(words):
        depth += token.is_sign("(") - token.is_sign(")")
        if depth == 0 or (depth == 1 and token.is_sign(",")):
            yield words[start:place]
            start = place + 1


def _after(words: Sequence[Token]) -> str | None:
    if words and words[-1].is_word("FIRST"):
        return ""
    return words[-1].named if len(words) > 1 and words[-2].is_word("AFTER") else None


def _no_key(words: Sequence[Token]) -> None:
    """A column that its own words make a key changes what identifies rows. Raises _Unknown."""
    if any(token.is_word("KEY") for token in words):
        raise _Unknown


def definition_between(
    before: TableDef, now: TableDef, first: Alteration, later: Sequence[Alteration]
) -> TableDef | None:
    """The definition right after `first`, which led from `before` on; `later` led from there to `now`.

    None when nobody can tell: a key that changed, a column that both have defined in words that do not say everything.
    Indexes and constraints are those of both `before` and `now`: none that a later statement brought stands in the way
    of rows before it.
    """
    try:
        return _between(before, now, first, later)
    except _Unknown:
        return None


def _between(before: TableDef, now: TableDef, first: Alteration, later: Sequence[Alteration]) -> TableDef:
    if (before.engine, before.kind) != (now.engine, now.kind) or not (before.primary_key and now.primary_key):
        raise _Unknown
    columns = _after_statement([_Column(column.name, column) for column in before.columns], first)
    names = [column.name for column in columns]
    mine = {column: column.touched for column in columns}
    plain = before.collation == now.collation and not any(map(_sets_characters, (first, *later)))
    words = {column: column.words for column in columns if column.words is not None and plain}
    for column in columns:
        column.touched = _Touch.NOTHING
    end = list(columns)
    for statement in later:
        end = _after_statement(end, statement)
    if [column.name.lower() for column in end] != [column.name.lower() for column in now.columns]:
        raise _Unknown
    if any(_Touch.RENAMED in mine[column] | column.touched for column in columns):
        _no_expressions(before, now)
    latest = dict(zip(end, now.columns, strict=True))
    made = tuple(
        _definition(column, name, mine[column], latest.get(column), words.get(column), now)
        for column, name in zip(columns, names, strict=True)
    )
    old = {column.before.name.lower(): name for column, name in zip(columns, names, strict=True) if column.before}
    new = {latest[column].name.lower(): name for column, name in zip(columns, names, strict=True) if column in latest}
    return _with_keys(before, now, made, old, new)


def _after_statement(columns: list[_Column], statement: Alteration) -> list[_Column]:
    step = _Step(list(columns))
    for part in statement.parts:
        step.part(part)
    return step.finish()


def _no_expressions(*tables: TableDef) -> None:
    """The servers write other names into expressions when a column is renamed. Raises _Unknown."""
    for table in tables:
        if table.checks or any(column.expression is not None for column in table.columns):
            raise _Unknown


def _sets_characters(statement: Alteration) -> bool:
    words = ("CHARACTER", "CHARSET", "COLLATE", "CONVERT", "ASCII", "UNICODE", "BINARY")
    return any(token.is_word(*words) for part in statement.parts for token in part)


def _definition(
    column: _Column, name: str, mine: _Touch, latest: ColumnDef | None, words: Sequence[Token] | None, now: TableDef
) -> ColumnDef:
    if latest is not None and _Touch.DEFINED not in column.touched:
        return dataclasses.replace(latest, name=name)
    if column.before is not None and _Touch.DEFINED not in mine:
        return dataclasses.replace(column.before, name=name)
    made = column_of_words(name, words, now, latest) if words is not None and latest is not None else None
    if made is None:
        raise _Unknown
    return made


def _with_keys(
    before: TableDef,
    now: TableDef,
    columns: tuple[ColumnDef, ...],
    old: Mapping[str, str],
    new: Mapping[str, str],
) -> TableDef:
    """The table with what is the same in both. `old`, `new`: the names in between by those before and after."""
    key = _renamed(before.primary_key, old)
    acting = [_foreign_keys(table, names, acting=True) for table, names in ((before, old), (now, new))]
    if key is None or key != _renamed(now.primary_key, new) or acting[0] != acting[1]:
        raise _Unknown
    indexes = _indexes(now, new)
    keys = _foreign_keys(now, new)
    return dataclasses.replace(
        now,
        columns=columns,
        primary_key=key,
        indexes=tuple(index for index in _indexes(before, old) if index in indexes),
        foreign_keys=tuple(one for one in _foreign_keys(before, old) if one in keys),
        checks=tuple(check for check in before.checks if check in now.checks),
    )


def _renamed(names: Iterable[str], by: Mapping[str, str]) -> tuple[str, ...] | None:
    found = tuple(by.get(name.lower(), "") for name in names)
    return found if all(found) else None


def _indexes(table: TableDef, names: Mapping[str, str]) -> list[IndexDef]:
    found = []
    for index in table.indexes:
        parts = [
            dataclasses.replace(part, column=names.get(part.column.lower(), "")) if part.column else part
            for part in index.parts
        ]
        if all(part.column or part.expression for part in parts):
            found.append(dataclasses.replace(index, parts=tuple(parts)))
    return found


def _foreign_keys(table: TableDef, names: Mapping[str, str], *, acting: bool = False) -> list[ForeignKeyDef]:
    """In terms of `names`; those only that change rows, when `acting`."""
    found = []
    for key in table.foreign_keys:
        columns = _renamed(key.columns, names)
        if columns is not None and (not acting or {key.on_delete.upper(), key.on_update.upper()} & _ACTING):
            found.append(dataclasses.replace(key, columns=columns))
    return found

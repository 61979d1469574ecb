"""A column as the words of an ALTER TABLE define it, for types whose words say everything. No I/O.

What the catalogue would have said depends on the server (display widths) and on the table (character set): both are
taken from what is known of the table. Anything that is not wholly understood gives None.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

from model.tables import ColumnDef, DefaultKind, TableDef
from sync.ddl_alter import Rest
from sync.ddl_tokens import Kind, Token

_WIDTHS: Final = {
    "tinyint": (4, 3), "smallint": (6, 5), "mediumint": (9, 8), "int": (11, 10), "bigint": (20, 20),
}  # fmt: skip
"""Display widths of whole numbers, signed and unsigned, where a server prints them."""
_ALIASES: Final = {"integer": "int", "dec": "decimal", "numeric": "decimal", "fixed": "decimal"}
_TEXT: Final = ("varchar", "char")
_CHARACTERS: Final = (*_TEXT, "enum")


def column_of_words(name: str, words: Sequence[Token], table: TableDef, later: ColumnDef) -> ColumnDef | None:
    """The column `name` of `table` after a statement that defined it with `words`, from its type on.

    `table` is the table after all statements, and `later` what the column became in it; none of them may have changed
    character sets. None when the words do not tell.
    """
    rest = Rest(words)
    first = rest.next()
    if first is None or first.kind is not Kind.WORD or later.name in table.primary_key:
        return None
    base = _ALIASES.get(first.text.lower(), first.text.lower())
    given = _given(rest)
    numbers = tuple(int(token.text) for token in given if token.kind is Kind.NUMBER and token.text.isdigit())
    labels = tuple(token.text for token in given if token.kind is Kind.TEXT)
    unsigned = rest.take("UNSIGNED")
    if base == "enum" and len(labels) == len(given) and not numbers and not unsigned:
        shape = _labelled(name, labels, table, later)
    elif len(numbers) == len(given):
        shape = _shaped(name, base, numbers, table, later, unsigned=unsigned)
    else:
        return None
    return _attributes(shape, rest) if shape is not None else None


def _given(rest: Rest) -> tuple[Token, ...]:
    """What stands in brackets after a type's name, without the commas; () when there are none."""
    if not rest.left or not rest.left[0].is_sign("("):
        return ()
    rest.next()
    found: list[Token] = []
    while (token := rest.next()) is not None and not token.is_sign(")"):
        if not token.is_sign(","):
            found.append(token)
    return tuple(found)


def _labelled(name: str, labels: tuple[str, ...], table: TableDef, later: ColumnDef) -> ColumnDef | None:
    if later.type not in _CHARACTERS or later.collation != table.collation or any("\\" in label for label in labels):
        return None
    spelled = ",".join("'" + label.replace("'", "''") + "'" for label in labels)
    return ColumnDef(name, "enum", f"enum({spelled})", charset=later.charset, collation=later.collation, labels=labels)


def _shaped(
    name: str, base: str, numbers: tuple[int, ...], table: TableDef, later: ColumnDef, *, unsigned: bool
) -> ColumnDef | None:
    sign = " unsigned" if unsigned else ""
    if base in _WIDTHS and not numbers:
        printed = {"(" in one.column_type for one in table.columns if one.type in _WIDTHS and one.type != "tinyint"}
        if len(printed) != 1:
            return None
        width = f"({_WIDTHS[base][unsigned]})" if printed == {True} else ""
        return ColumnDef(name, base, f"{base}{width}{sign}", unsigned=unsigned)
    if base == "decimal" and len(numbers) <= 2:
        digits, scale = (*numbers, *(10, 0)[len(numbers) :])
        return ColumnDef(
            name, base, f"decimal({digits},{scale}){sign}", unsigned=unsigned, precision=digits, scale=scale
        )
    if unsigned:
        return None
    if base == "date" and not numbers:
        return ColumnDef(name, base, "date")
    if base == "datetime" and len(numbers) <= 1:
        scale = numbers[0] if numbers else 0
        return ColumnDef(name, base, f"datetime({scale})" if scale else "datetime", scale=scale)
    if base in _TEXT and len(numbers) == 1 and later.type in _CHARACTERS and later.collation == table.collation:
        return ColumnDef(
            name, base, f"{base}({numbers[0]})", charset=later.charset, collation=later.collation, length=numbers[0]
        )
    return None


def _attributes(column: ColumnDef, rest: Rest) -> ColumnDef | None:
    nullable, given, comment = True, None, ""
    while (word := rest.next()) is not None:
        if word.is_word("NOT") and rest.take("NULL"):
            nullable = False
        elif word.is_word("DEFAULT"):
            given = rest.next()
            if given is None:
                return None
        elif word.is_word("COMMENT"):
            text = rest.next()
            if text is None or text.kind is not Kind.TEXT:
                return None
            comment = text.text
        elif word.is_word("AFTER"):
            rest.next()
        elif not word.is_word("NULL", "FIRST"):
            return None
    kind, default = DefaultKind.NULL if nullable else DefaultKind.NONE, None
    if given is not None and not (nullable and given.is_word("NULL")):
        kind, default = DefaultKind.LITERAL, _literal(column, given)
        if default is None:
            return None
    return dataclasses.replace(column, nullable=nullable, default=default, default_kind=kind, comment=comment)


def _literal(column: ColumnDef, given: Token) -> str | None:
    """A default that the catalogue prints as it was written."""
    if column.type in _CHARACTERS:
        return given.text if given.kind is Kind.TEXT else None
    whole, _, fraction = given.text.partition(".")
    if given.kind is not Kind.NUMBER or not whole.isdigit() or (len(whole) > 1 and whole[0] == "0"):
        return None
    if column.type in _WIDTHS:
        return given.text if "." not in given.text else None
    exact = column.type == "decimal" and len(fraction) == column.scale and (fraction.isdigit() or not fraction)
    return given.text if exact and not given.text.endswith(".") else None

"""How a neutral text form is written into MySQL, and how a column is compared so that only the same value is equal.

Numbers go as numbers (a quoted one would be compared as a double), labels as their index, temporals are compared as
text (zero and impossible dates need no coercion then), text by its bytes (collations call different texts equal).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from model.errors import ValueRefused
from model.tables import ColumnDef
from sync.mysql.literals import quoted_name
from transforms.casts import array_items
from transforms.types import family

Write = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class ColumnSql:
    """One column's SQL. Functions take the neutral form, never NULL."""

    name: bytes
    literal: Write
    """The literal to assign. Raises ValueRefused."""
    same: Write
    """A condition that is true for exactly this value."""
    seek: Write
    """A condition that an index can serve and that is true for (at least) this value."""

    def is_(self, value: bytes | None) -> bytes:
        """A condition that is true for exactly this value or NULL."""
        return self.name + b" IS NULL" if value is None else self.same(value)


def column_sql(column: ColumnDef, *, mariadb: bool) -> ColumnSql:
    """SQL of a column. The session must have no NO_BACKSLASH_ESCAPES, utf8mb4 and the time zone +00:00."""
    name = quoted_name(column.name).encode()
    kind = family(column)
    literal = _literal(column, kind)
    if kind == "json" and not mariadb and column.type == "json":
        # Dates and decimals inside of documents are strings and numbers in the store: compare the text's meaning.
        left = b"CAST(CAST(" + name + b" AS CHAR CHARACTER SET utf8mb4) AS JSON) <=> CAST("

        def same_document(value: bytes) -> bytes:
            return left + quoted(value) + b" AS JSON)"

        return ColumnSql(name, literal, same_document, same_document)
    if kind == "enum":
        return ColumnSql(name, literal, _enum_is(column, name), _compared(name + b" = ", quoted))
    shown = {
        "text": b"CAST(CONVERT(" + name + b" USING utf8mb4) AS BINARY)",
        "json": b"CAST(CONVERT(" + name + b" USING utf8mb4) AS BINARY)",
        "bit": b"CAST(" + name + b" AS UNSIGNED)",
        "set": b"CAST(" + name + b" AS UNSIGNED)",
        "date": b"CAST(" + name + b" AS CHAR)",
        "datetime": b"CAST(" + name + b" AS CHAR)",
        "timestamp": b"CAST(" + name + b" AS CHAR)",
        "time": b"CAST(" + name + b" AS CHAR)",
        "geometry": b"HEX(" + name + b")",
        "vector": b"HEX(" + name + b")",
    }.get(kind, name)
    if column.type == "year":
        # A YEAR is compared with a constant below 70 as if that were a two-digit year (MySQL 5.6).
        shown = name + b" + 0"
    if kind in ("geometry", "vector"):
        left = shown + b" <=> "
        hexed = _vector_hex if kind == "vector" else _plain_hex

        def same_bytes(value: bytes) -> bytes:
            return left + b"'" + hexed(value).upper() + b"'"

        return ColumnSql(name, literal, same_bytes, same_bytes)
    return ColumnSql(name, literal, _compared(shown + b" <=> ", literal), _compared(name + b" = ", literal))


def quoted(value: bytes) -> bytes:
    """A string literal (manual, "String Literals")."""
    if b"\\" in value:
        value = value.replace(b"\\", b"\\\\")
    if b"'" in value:
        value = value.replace(b"'", b"\\'")
    if b"\0" in value:
        value = value.replace(b"\0", b"\\0")
    return b"'" + value + b"'"


def _compared(left: bytes, literal: Write) -> Write:
    return lambda value: left + literal(value)


def _literal(column: ColumnDef, kind: str) -> Write:
    match kind:
        case "integer" | "decimal":
            return _digits
        case "float":
            return lambda value: value if b"e" in value else value + b"e0"
        case "bit":
            return lambda value: b"%d" % int(value, 2)
        case "binary" | "geometry":
            return lambda value: b"x'" + value[2:] + b"'"
        case "vector":
            return lambda value: b"x'" + _vector_hex(value) + b"'"
        case "enum":
            return _enum_literal(column)
        case "set":
            bits = {label: 1 << number for number, label in enumerate(column.labels)}
            return lambda value: b"%d" % sum(bits[label] for label in array_items(value))
        case "timestamp":
            return lambda value: quoted(value.removesuffix(b"+00"))
        case _:
            return quoted


def _digits(value: bytes) -> bytes:
    return value


def _plain_hex(value: bytes) -> bytes:
    return value[2:]


def _vector_hex(value: bytes) -> bytes:
    inside = value[1:-1]
    numbers = [float(number) for number in inside.split(b",")] if inside else []
    return struct.pack(f"<{len(numbers)}f", *numbers).hex().encode()


def _enum_literal(column: ColumnDef) -> Write:
    numbers = {label.encode(): b"%d" % number for number, label in enumerate(column.labels, 1)}

    def literal(value: bytes) -> bytes:
        found = numbers.get(value)
        if found is None:
            raise ValueRefused(
                f"the ENUM has no label {value.decode(errors='replace')!r}; a strict source refuses its error value",
                hint="Mend the row in the store.",
                column=column.name,
            )
        return found

    return literal


def _enum_is(column: ColumnDef, name: bytes) -> Write:
    numbers = {label.encode(): b"%d" % number for number, label in enumerate(column.labels, 1)}
    left = b"CAST(" + name + b" AS UNSIGNED) IN ("

    def same(value: bytes) -> bytes:
        wanted = [numbers[value]] if value in numbers else []
        # The empty text is the error value, number 0, and may be a label too.
        return left + b", ".join(wanted if value else [b"0", *wanted]) + b")"

    return same

"""Reads the literals that MySQL and MariaDB print in their catalogues: quoted strings, label lists, defaults. No I/O.

The escapes are those of the manual, "String Literals": a quote is doubled or has a backslash before it; `\\0 \\b \\n
\\r \\t \\Z` are control characters; a backslash before anything else stands for that character.
"""

from __future__ import annotations

import re

from model.tables import DefaultKind

_ESCAPES = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a"}
_STRING = re.compile(r"'((?:[^'\\]|''|\\.)*)'", re.DOTALL)
_INTRODUCED = re.compile(r"(?:_[a-z0-9]+\s*)?'((?:[^'\\]|''|\\.)*)'", re.DOTALL | re.IGNORECASE)
_INSIDE = re.compile(r"''|\\(.)", re.DOTALL)
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)
_BITS = re.compile(r"b'[01]*'", re.IGNORECASE)
_HEX = re.compile(r"0x[0-9a-f]*|x'[0-9a-f]*'", re.IGNORECASE)
_NOW = re.compile(r"(current_timestamp|now|localtime|localtimestamp)\s*(?:\(\s*(\d*)\s*\))?", re.IGNORECASE)
_MOMENTS = {"timestamp", "datetime"}
BINARY_TYPES = {"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"}
"""Types whose defaults are bytes."""


def unquoted(inside: str) -> str:
    """The string that stands between the quotes of a literal, its escapes resolved."""
    return _INSIDE.sub(lambda hit: "'" if hit[1] is None else _ESCAPES.get(hit[1], hit[1]), inside)


def labels(column_type: str) -> tuple[str, ...]:
    """Members of an `enum('a','b')` or `set(…)` declaration in order."""
    return tuple(unquoted(hit[1]) for hit in _STRING.finditer(column_type))


def unescaped(expression: str) -> str:
    """An expression as MySQL 8 and later store it (`_utf8mb4\\'x\\'`) without that outer layer of backslashes."""
    return re.sub(r"\\(.)", lambda hit: _ESCAPES.get(hit[1], hit[1]), expression, flags=re.DOTALL)


def _now(text: str, base_type: str) -> str | None:
    hit = _NOW.fullmatch(text)
    if hit is None or base_type not in _MOMENTS:
        return None
    return f"CURRENT_TIMESTAMP({hit[2]})" if hit[2] and hit[2] != "0" else "CURRENT_TIMESTAMP"


def quoted_name(*parts: str) -> str:
    """A name in backticks, its parts joined by dots: `db`.`table`."""
    return ".".join("`" + part.replace("`", "``") + "`" for part in parts)


def hex_literal(raw: bytes) -> str:
    """Bytes as `0x…`, the way defaults of binary columns are kept."""
    return "0x" + raw.hex()


def bare_default(text: str, base_type: str, generated: bool) -> tuple[DefaultKind, str]:
    """Kind and value of a default as MySQL (all versions) and MariaDB before 10.2.7 print it: unquoted.

    `generated` is whether EXTRA says DEFAULT_GENERATED (MySQL 8 and later).
    """
    now = _now(text, base_type)
    if now is not None:
        return DefaultKind.NOW, now
    if generated:
        return DefaultKind.EXPRESSION, unescaped(text)
    if base_type in BINARY_TYPES and not _HEX.fullmatch(text):
        return DefaultKind.LITERAL, hex_literal(text.encode())
    return DefaultKind.LITERAL, text


def quoted_default(text: str, base_type: str) -> tuple[DefaultKind, str | None]:
    """Kind and value of a default as MariaDB from 10.2.7 prints it: literals quoted, functions and NULL bare."""
    if text.upper() == "NULL":
        return DefaultKind.NULL, None
    now = _now(text, base_type)
    if now is not None:
        return DefaultKind.NOW, now
    hit = _INTRODUCED.fullmatch(text)
    if hit is not None:
        value = unquoted(hit[1])
        return DefaultKind.LITERAL, hex_literal(value.encode()) if base_type in BINARY_TYPES else value
    if _NUMBER.fullmatch(text) or _BITS.fullmatch(text) or _HEX.fullmatch(text):
        return DefaultKind.LITERAL, text
    return DefaultKind.EXPRESSION, text

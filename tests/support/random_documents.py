"""JSON documents by chance, as SQL that makes them: texts, and on MySQL also values that only its own type has."""

from __future__ import annotations

import random
from enum import StrEnum

_STRINGS = ("", "é漢😀", "it''s", '\\\\"', "\\\\u00e9", "\\\\n", "\\\\ud83d\\\\ude00", "<b>/", "null", " x ")
"""As they stand in an SQL literal of a JSON text."""
_NAMES = ("a", "b", "é", "two words", "", "longer name", "$.a")
_NUMBERS = ("0", "-1", "0.5", "-2.50", "1e3", "1E-7", "123456789012", "9223372036854775807", "18446744073709551615")
_MANY_DIGITS = ("18446744073709551616", "-0.0", "1e300", "0.1000000000000000055511151231257827", "3.14159265358979")
_OWN = (
    "CAST('2024-02-29' AS DATE)", "CAST('2024-02-29 12:34:56.789012' AS DATETIME(6))", "CAST('-12:34:56.5' AS TIME(1))",
    "CAST('12345678901234567890.123450' AS DECIMAL(30,6))", "CAST(18446744073709551615 AS UNSIGNED)", "TRUE", "1e22",
    "CAST(0.1 AS FLOAT)", "CAST(0.1 AS DOUBLE)", "CAST(x'00ff10' AS BINARY)",
)  # fmt: skip
"""Scalars of MySQL's type that no JSON text gives."""


class Documents(StrEnum):
    """What a source's JSON is."""

    BINARY = "binary"
    """MySQL's own type: members in its order, each name once."""
    TEXT = "text"
    """MariaDB's LONGTEXT with a CHECK: every character is kept."""


def _text(rng: random.Random, depth: int) -> str:
    """Inside of an SQL literal: a JSON text."""
    gap = rng.choice(("", "", " ", "\n"))
    match rng.randrange(7 if depth else 5):
        case 0 | 1:
            return f'"{rng.choice(_STRINGS)}"'
        case 2:
            return rng.choice(_NUMBERS)
        case 3:
            return rng.choice(_MANY_DIGITS)
        case 4:
            return rng.choice(("true", "false", "null", "[]", "{}"))
        case 5:
            return f"[{gap}{f',{gap}'.join(_text(rng, depth - 1) for _ in range(rng.randint(1, 4)))}]"
        case _:
            members = (f'"{rng.choice(_NAMES)}":{gap}{_text(rng, depth - 1)}' for _ in range(rng.randint(1, 5)))
            return f"{{{f',{gap}'.join(members)}{gap}}}"


def document(rng: random.Random, kind: Documents) -> str:
    """An SQL expression that is a document; a name may be there twice."""
    if kind is Documents.BINARY and rng.random() < 0.25:
        return rng.choice(("JSON_ARRAY({0}, {1})", "JSON_OBJECT('a', {0}, 'b', {1})")).format(*rng.choices(_OWN, k=2))
    return f"'{_text(rng, 3)}'"


def edited(rng: random.Random, column: str) -> str:
    """An SQL expression for a document with a part of it changed; NULL stays NULL."""
    path = rng.choice(("$.a", '$."two words"', "$[0]", "$.b[1]", "$.a.b"))
    value = rng.choice(("1", "'é'", "NULL", "2.50", f"'{'x' * 300}'"))
    match rng.randrange(3):
        case 0:
            return f"JSON_SET({column}, '{path}', {value})"
        case 1:
            return f"JSON_REMOVE({column}, '{path}')"
        case _:
            return f"JSON_REPLACE({column}, '{path}', {value})"

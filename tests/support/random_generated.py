"""Generated columns by chance: VIRTUAL and STORED, over columns of any kind and over each other."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Formula:
    """An expression over one column, `{0}`, and the type of what it gives."""

    sql: str
    declared: str
    """"" is the type of the column itself."""
    kind: str
    size: int = 0
    places: int = 0


_ANY = (Formula("{0} IS NULL", "TINYINT(1)", "int", 8), Formula("COALESCE(LENGTH({0}), -1)", "BIGINT", "int", 64))
_OF: Final[dict[str, tuple[Formula, ...]]] = {
    "int": (
        Formula("{0} % 97", "INT", "int", 32),
        Formula("COALESCE({0}, 7)", "DECIMAL(20,0)", "decimal", 20),
        Formula("{0} * 1.5", "DECIMAL(30,2)", "decimal", 30, 2),
        Formula("CASE WHEN {0} > 0 THEN 'more' WHEN {0} = 0 THEN 'none' ELSE 'less' END", "VARCHAR(9)", "text"),
        Formula("CONCAT('no ', {0})", "VARCHAR(40)", "text"),
        Formula("ABS({0} % 1000) / 7", "DECIMAL(12,4)", "decimal", 12, 4),
        Formula("{0} DIV 10", "DECIMAL(20,0)", "decimal", 20),
        Formula("ROUND({0}, -2)", "DECIMAL(24,0)", "decimal", 24),
        Formula("{0} > 5 OR {0} < -5", "TINYINT", "int", 8),
        Formula("({0} % 100) / 8", "DOUBLE", "double"),
    ),
    "decimal": (
        Formula("ABS({0})", "", "decimal"),
        Formula("-{0}", "", "decimal"),
        Formula("{0} > 0", "TINYINT", "int", 8),
        Formula("SIGN({0})", "INT", "int", 32),
        Formula("CAST({0} AS CHAR)", "VARCHAR(80)", "text"),
    ),
    "text": (
        Formula("CONCAT({0}, '-', {0})", "VARCHAR(90)", "text"),
        Formula("UPPER({0})", "VARCHAR(90)", "text"),
        Formula("LOWER({0})", "VARCHAR(90)", "text"),
        Formula("LEFT({0}, 3)", "VARCHAR(3)", "text"),
        Formula("SUBSTRING({0}, 2, 3)", "CHAR(5)", "text"),
        Formula("CHAR_LENGTH({0})", "INT", "int", 32),
        Formula("TRIM({0})", "TEXT", "text"),
        Formula("REPLACE({0}, ' ', '_')", "VARCHAR(90)", "text"),
        Formula("COALESCE({0}, '?')", "VARCHAR(90)", "text"),
        Formula("{0} = 'a'", "TINYINT(1)", "int", 8),
        Formula("NULLIF({0}, '')", "VARCHAR(40)", "text"),
    ),
    "bytes": (
        Formula("HEX({0})", "VARCHAR(90)", "text"),
        Formula("CONCAT({0}, x'00ff')", "VARBINARY(60)", "bytes"),
        Formula("LEFT({0}, 4)", "BINARY(6)", "bytes"),
    ),
    "date": (
        Formula("YEAR({0})", "SMALLINT", "int", 16),
        Formula("CONCAT({0}, '')", "VARCHAR(20)", "text"),
        Formula("LAST_DAY({0})", "DATE", "date"),
        Formula("TO_DAYS({0})", "INT", "int", 32),
    ),
    "datetime": (
        Formula("CAST({0} AS DATE)", "DATE", "date"),
        Formula("HOUR({0})", "TINYINT", "int", 8),
    ),
    "enum": (Formula("CONCAT({0}, '!')", "VARCHAR(30)", "text"), Formula("{0} + 0", "INT", "int", 32)),
    "set": (Formula("{0} + 0", "INT", "int", 32),),
    "bit": (Formula("BIT_COUNT({0})", "INT", "int", 32),),
    "year": (Formula("{0} + 1", "INT", "int", 32),),
    "float": (Formula("{0} > 0", "TINYINT", "int", 8),),
    "double": (Formula("{0} > 0", "TINYINT", "int", 8),),
    "json": (
        Formula("JSON_UNQUOTE(JSON_EXTRACT({0}, '$.a'))", "TEXT", "text"),
        Formula("JSON_EXTRACT({0}, '$.a')", "JSON", "json"),
        Formula("JSON_LENGTH({0})", "INT", "int", 32),
        Formula("JSON_TYPE({0})", "VARCHAR(40)", "text"),
    ),
}


def formula(rng: random.Random, kind: str) -> Formula:
    """An expression over a column of that kind; every kind has some."""
    return rng.choice((*_OF.get(kind, ()), *_OF.get(kind, ()), *_ANY))

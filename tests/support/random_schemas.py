"""Schemas and rows by chance: tables of any types, charsets, keys and indexes, and changes of their rows.

The same seed always gives the same. Values are SQL literals that the server takes in its default strict mode.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tests.support.random_documents import Documents, document, edited
from tests.support.random_generated import formula

_CHARSETS = ("utf8mb4", "utf8mb4", "latin1", "utf8", "ascii", "cp1251", "ucs2", "utf16", "sjis", "gbk")
_LETTERS = {
    "latin1": "aZ é€ß'\\\"%_\t", "ascii": "aZ '\\\"%_\t\n", "cp1251": "aZ Пи'\\", "sjis": "aZ ソ漢", "gbk": "aZ 汉字",
    "utf8": "aZ é漢'\\\n", "ucs2": "aZ é漢\t",
}  # fmt: skip
_LABELS = ("it's", "\\", "{x}", '"q"', "two words", "É", "NULL")
"""Of an enum or a set, beside ordinary ones."""
_IN_KEYS = ("int", "date", "year", "decimal", "datetime", "timestamp", "time", "bit", "enum", "text", "bytes")
_ANY = "aZ é漢😀'\\\"\n\t\r{},NULL"


def quoted(text: str) -> str:
    """A text as an SQL literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


def labels(kind: str, count: int) -> list[str]:
    """The labels of an ENUM or a SET; an enum may have a comma in one."""
    odd = (*_LABELS, *(("a,b", "") if kind == "enum" else ()))
    return [odd[n // 2 % len(odd)] if n % 2 and n // 2 < len(odd) else f"{kind}{n}" for n in range(count)]


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a source has beyond what all of them have."""

    documents: Documents | None = None
    generated: bool = False
    generated_keys: bool = False
    """A primary key may hold a STORED column."""


ABILITIES: Final = {
    "mariadb-10.11": Abilities(Documents.TEXT, generated=True),
    "mysql-9.7": Abilities(Documents.BINARY, generated=True, generated_keys=True),
    "mysql-5.6": Abilities(),
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column, its declaration, and what its values are made of."""

    name: str
    declared: str
    kind: str
    size: int = 0
    places: int = 0
    charset: str = ""
    nullable: bool = True
    documents: Documents | None = None
    generated: bool = False
    """The source computes it; it is never written."""
    padded: bool = False
    """It is made of a CHAR, whose padding is a matter of the session: MariaDB neither stores nor indexes it."""

    @property
    def may_be_key(self) -> bool:
        """Whether the source takes it as part of a primary key."""
        return not self.nullable and not self.too_long_for_keys

    @property
    def too_long_for_keys(self) -> bool:
        """Whether an index could have a part of it only."""
        return any(word in self.declared for word in ("TEXT", "BLOB"))

    def value(self, rng: random.Random) -> str:
        """A literal that the column takes."""
        if self.nullable and rng.random() < 0.15:
            return "NULL"
        match self.kind:
            case "int":
                low, high = (
                    (0, 2**self.size - 1) if self.places else (-(2 ** (self.size - 1)), 2 ** (self.size - 1) - 1)
                )
                return str(rng.choice((low, high, 0, 1, rng.randint(low, high))))
            case "decimal":
                whole = rng.choice(
                    (0, 10 ** (self.size - self.places) - 1, rng.randrange(10 ** (self.size - self.places)))
                )
                part = rng.randrange(10**self.places) if self.places else 0
                return f"{rng.choice(('', '-'))}{whole}.{part:0{max(self.places, 1)}}"
            case "float":
                return repr(rng.choice((0.5, -1.25, 3.0, rng.randrange(1 << 20) / 16)))
            case "double":
                return repr(
                    rng.choice(
                        (0.1, -2.5e-7, 1e22, rng.uniform(-1e9, 1e9), rng.random() * 10.0 ** rng.randint(-300, 300))
                    )
                )
            case "text":
                letters = _LETTERS.get(self.charset, _ANY)
                return quoted("".join(rng.choice(letters) for _ in range(rng.randint(0, self.size))))
            case "bytes":
                return f"x'{rng.randbytes(rng.randint(0, self.size)).hex()}'"
            case "date":
                return f"'{rng.randint(1000, 9999)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}'"
            case "datetime":
                day = f"{rng.randint(1000, 9999)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
                return f"'{day} {self._clock(rng, rng.randrange(24))}'"
            case "timestamp":
                day = f"{rng.randint(1971, 2037)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
                return f"'{day} {self._clock(rng, rng.randrange(24))}'"
            case "time":
                return f"'{rng.choice(('', '-'))}{self._clock(rng, rng.randrange(838))}'"
            case "year":
                return str(rng.randint(1901, 2155))
            case "bit":
                return f"b'{rng.randrange(2**self.size):b}'"
            case "enum":
                return quoted(rng.choice(labels(self.kind, self.size)))
            case "set":
                return quoted(",".join(label for label in labels(self.kind, self.size) if rng.random() < 0.4))
            case "json":
                assert self.documents
                return document(rng, self.documents)
            case _:
                raise AssertionError(self.kind)

    def next_value(self, rng: random.Random) -> str:
        """What an UPDATE puts there: a value, or of a document often the same with a part of it changed."""
        if self.kind == "json" and rng.random() < 0.6:
            return edited(rng, f"`{self.name}`")
        return self.value(rng)

    def _clock(self, rng: random.Random, hours: int) -> str:
        fraction = f".{rng.randrange(10**self.places):0{self.places}}" if self.places else ""
        return f"{hours:02}:{rng.randrange(60):02}:{rng.randrange(60):02}{fraction}"


@dataclass(frozen=True, slots=True)
class Table:
    """A table; `key` is () for one without a key."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    options: str

    @property
    def create(self) -> str:
        """CREATE TABLE."""
        parts = [f"`{column.name}` {column.declared}" for column in self.columns]
        if self.key:
            parts.append(f"PRIMARY KEY ({', '.join(f'`{name}`' for name in self.key)})")
        return f"CREATE TABLE `{self.name}` ({', '.join(parts)}{self.options}) ENGINE=InnoDB DEFAULT CHARSET utf8mb4"

    @property
    def written(self) -> tuple[Column, ...]:
        """The columns that a statement gives values to."""
        return tuple(column for column in self.columns if not column.generated)

    def insert(self, rng: random.Random, number: int) -> str:
        """INSERT of a row with this number."""
        names = ", ".join(f"`{column.name}`" for column in self.written)
        values = ", ".join(str(number) if column.name == "id" else column.value(rng) for column in self.written)
        return f"INSERT INTO `{self.name}` ({names}) VALUES ({values})"

    def change(self, rng: random.Random, rows: int) -> str:
        """UPDATE or DELETE of some row, or a move of its key."""
        where = f"WHERE id = {rng.randrange(rows)}"
        if rng.random() < 0.25:
            return f"DELETE FROM `{self.name}` {where}"
        chosen = rng.sample(self.written, rng.randint(1, len(self.written)))
        sets = ", ".join(f"`{column.name}` = {column.next_value(rng)}" for column in chosen if column.name != "id")
        if not sets or rng.random() < 0.1:
            sets = f"id = id + {rows * 10}"
        return f"UPDATE `{self.name}` SET {sets} {where}"


def columns(rng: random.Random, count: int, source: Abilities) -> Iterator[Column]:
    """Columns of any kind."""
    kinds = [
        "int", "int", "decimal", "float", "double", "text", "text", "text", "bytes", "date", "datetime", "timestamp",
        "time", "year", "bit", "enum", "set",
    ]  # fmt: skip
    if source.documents:
        kinds += ["json", "json"]
    for number in range(count):
        name = rng.choice((f"c{number}", f"Col {number}", f"ü{number}", f"select{number}", f"C{number}_x"))
        nullable = rng.random() < 0.7
        tail = "" if nullable else " NOT NULL"
        kind = rng.choice(kinds)
        size, places, charset = 0, 0, ""
        match kind:
            case "int":
                base, size = rng.choice(
                    (("TINYINT", 8), ("SMALLINT", 16), ("MEDIUMINT", 24), ("INT", 32), ("BIGINT", 64))
                )
                places = rng.randrange(2)
                declared = f"{base}{' UNSIGNED' if places else ''}"
            case "decimal":
                size = rng.randint(1, 65)
                places = rng.randint(0, min(30, size))
                declared = f"DECIMAL({size},{places})"
            case "text":
                charset = rng.choice(_CHARSETS)
                size = rng.randint(1, 40)
                declared = (
                    f"{rng.choice((f'VARCHAR({size})', f'CHAR({size})', 'TEXT', 'LONGTEXT'))} CHARACTER SET {charset}"
                )
            case "bytes":
                size = rng.randint(1, 40)
                declared = rng.choice((f"VARBINARY({size})", f"BINARY({size})", "BLOB"))
            case "datetime" | "time" | "timestamp":
                places = rng.randint(0, 6)
                declared = f"{kind.upper()}({places})"
                if kind == "timestamp":
                    declared += " NULL" if nullable else " DEFAULT '2001-01-01 00:00:00'"
            case "bit":
                size = rng.randint(1, 64)
                declared = f"BIT({size})"
            case "enum" | "set":
                size = rng.randint(1, 20)
                members = ", ".join(map(quoted, labels(kind, size)))
                declared = f"{kind.upper()}({members})"
            case _:
                declared = kind.upper()
        yield Column(name, declared + tail, kind, size, places, charset, nullable, source.documents)


def generated(rng: random.Random, count: int, body: list[Column], source: Abilities) -> Iterator[Column]:
    """Generated columns over those of `body` or, last, over one another."""
    known = [column for column in body if column.kind != "timestamp"]  # which depends on the session's time zone
    for number in range(count if known else 0):
        over = rng.choice(known)
        chosen = formula(rng, over.kind)
        size, places = chosen.size, chosen.places
        declared = chosen.declared
        if not declared:
            size, places, declared = over.size, over.places, over.declared.removesuffix(" NOT NULL").split(" AS ")[0]
        padded = over.padded or over.declared.startswith("CHAR(")
        way = "VIRTUAL" if padded else rng.choice(("VIRTUAL", "STORED"))
        # A row whose value would be NULL nevertheless is refused.
        nullable = not (source.generated_keys and way == "STORED" and not over.nullable)
        column = Column(
            rng.choice((f"g{number}", f"Gen {number}")),
            f"{declared} AS ({chosen.sql.format(f'`{over.name}`')}) {way}{'' if nullable else ' NOT NULL'}",
            chosen.kind, size, places, nullable=nullable, documents=source.documents, generated=True, padded=padded,
        )  # fmt: skip
        known.append(column)
        yield column


def _mixed(rng: random.Random, body: list[Column], computed: list[Column]) -> list[Column]:
    """Generated columns among the others, in their order."""
    places = sorted(rng.randint(0, len(body)) for _ in computed)
    for place, column in reversed(list(zip(places, computed, strict=True))):
        body = [*body[:place], column, *body[place:]]
    return body


def tables(rng: random.Random, count: int, source: Abilities) -> list[Table]:
    """Tables with a key of one or two columns, or without one, some with further indexes."""
    found = []
    for number in range(count):
        body = list(columns(rng, rng.randint(1, 9), source))
        if source.generated and rng.random() < 0.6:
            body = _mixed(rng, body, list(generated(rng, rng.randint(1, 4), body, source)))
        whole = (Column("id", "BIGINT NOT NULL", "int", 64, nullable=False), *body)
        second = [column.name for column in body if column.kind in _IN_KEYS and column.may_be_key]
        key: tuple[str, ...] = ("id",)
        if rng.random() < 0.1:
            key = ()
        elif second and rng.random() < 0.7:
            # By itself it is short of values, or equal by its collation: many rows are refused, and some change case.
            key = rng.choice((("id", second[0]), (second[-1], "id"), (second[-1],)))
        indexed = [column for column in body if not column.padded]
        plain = [column.name for column in indexed if column.kind in ("int", "date", "decimal", "enum")]
        options = f", KEY `k{number}` (`{rng.choice(plain)}`)" if plain and rng.random() < 0.5 else ""
        single = [column.name for column in indexed if column.kind in _IN_KEYS and not column.too_long_for_keys]
        if single and rng.random() < 0.4:
            options += f", UNIQUE KEY `u{number}` (`{rng.choice(single)}`)"
        found.append(Table(f"t{number}", whole, key, options))
    return found

"""Asks servers how they map their character sets: the tests compare our tables with it, and it writes the tables anew.

python -m tests.support.charset_survey URL > sync/mysql/charset_tables.py
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote, urlsplit

import pymysql

from sync.mysql.charsets import MULTI_BYTE, UTF8

HOLE = "�"
WIDE = {"ucs2", "utf16", "utf16le", "utf32"}
"""Unicode itself: nothing to survey."""
Mapping = dict[bytes, str]


def charsets(connection: Any) -> dict[str, int]:
    """Character sets of the server and their longest character in bytes, without those that are Unicode or binary."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT CHARACTER_SET_NAME, MAXLEN FROM information_schema.CHARACTER_SETS")
        return {
            str(name): int(width)
            for name, width in cursor.fetchall()
            if name not in UTF8 and name not in WIDE and name != "binary"
        }


def codes(charset: str, width: int) -> Iterable[bytes]:
    """Every code that may be a character: one byte, two bytes, and what has more where it has."""
    yield from (bytes((first,)) for first in range(256))
    if width > 1:
        yield from (bytes((first, second)) for first in range(0x80, 256) for second in range(0x30, 256))
    if charset in ("ujis", "eucjpms"):
        yield from (bytes((0x8F, first, second)) for first in range(0xA1, 0xFF) for second in range(0xA1, 0xFF))
    if charset == "gb18030":
        yield from (
            bytes((first, 0x30 + second, 0x81 + third, 0x30 + fourth))
            for first in (0x81, 0x82, 0x83, 0x84)
            for second in range(10)
            for third in range(126)
            for fourth in range(10)
        )


def survey(connection: Any, charset: str, width: int) -> Mapping:
    """Code → character for every code that is one character to the server."""
    found: Mapping = {}
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE codes (code VARBINARY(4) PRIMARY KEY)")
        batch = list(codes(charset, width))
        for at in range(0, len(batch), 5000):
            values = ",".join(f"(0x{code.hex()})" for code in batch[at : at + 5000])
            cursor.execute(f"INSERT INTO codes VALUES {values}")
        cursor.execute(
            f"SELECT HEX(code), HEX(CONVERT(CONVERT(code USING {charset}) USING utf8mb4)),"
            f" HEX(CAST(CONVERT(code USING {charset}) AS BINARY)), CHAR_LENGTH(CONVERT(code USING {charset}))"
            " FROM codes"
        )
        for code, character, back, length in cursor.fetchall():
            # What is no character becomes NULL, nothing, '?', or is cut.
            if length == 1 and back == code and character and (character != "3F" or code == "3F"):
                text = bytes.fromhex(character).decode()
                if text != HOLE:
                    found[bytes.fromhex(code)] = text
        cursor.execute("DROP TEMPORARY TABLE codes")
    return found


def by_codec(charset: str, width: int) -> Mapping:
    """The same by Python's codec."""
    found: Mapping = {}
    for code in codes(charset, width):
        try:
            text = code.decode(MULTI_BYTE[charset])
        except UnicodeDecodeError:
            continue
        if len(text) == 1:
            found[code] = text
    return found


def connect(url: str) -> Any:
    """A connection to `mysql://user:password@host:port`."""
    parts = urlsplit(url)
    return pymysql.connect(
        host=parts.hostname,
        port=parts.port or 3306,
        user=parts.username,
        password=unquote(parts.password or ""),
        database="mysql",
        charset="utf8mb4",
        init_command="SET sql_mode=''",
    )


def runs(overrides: dict[bytes, str | None]) -> list[tuple[str, int, int]]:
    """Overrides as (first code, code point or 0 for none, how many codes go on together with their code points)."""
    found: list[list[int]] = []
    for code, text in sorted(overrides.items()):
        number, point = int.from_bytes(code, "big"), ord(text) if text else 0
        last = found[-1] if found else None
        if last and number == last[0] + last[3] and last[1] == len(code) and text and point == last[2] + last[3]:
            last[3] += 1
        else:
            found.append([number, len(code), point, 1])
    return [(number.to_bytes(size, "big").hex(), point, count) for number, size, point, count in found]


def python_source(connection: Any) -> str:
    """The text of `sync/mysql/charset_tables.py`."""
    upper, lower, overrides = {}, {}, {}
    for name, width in sorted(charsets(connection).items()):
        mapping = survey(connection, name, width)
        if width == 1:
            text = "".join(mapping.get(bytes((octet,)), HOLE) for octet in range(256))
            if text[:128] != bytes(range(128)).decode():
                lower[name] = text[:128]
            upper[name] = text[128:]
            continue
        python = by_codec(name, width)
        differing = {code for code in mapping.keys() | python.keys() if mapping.get(code) != python.get(code)}
        overrides[name] = runs({code: mapping.get(code) for code in differing})
    lines = [
        '"""How MySQL and MariaDB map the character sets that Python lacks or maps otherwise. Written by a program.',
        "",
        "Made from a server's own answers by tests/support/charset_survey.py; MySQL 5.6, 9.7 and MariaDB 10.11 agree.",
        '"""',
        "",
        "from __future__ import annotations",
        "",
        "from typing import Final",
        "",
        "UPPER: Final[dict[str, str]] = {",
        *(f"    {name!r}: {text!a},  # noqa: E501" for name, text in upper.items()),
        "}",
        '"""Characters of the bytes 80 to FF of single-byte character sets; U+FFFD where there is none."""',
        "LOWER: Final[dict[str, str]] = {",
        *(f"    {name!r}: {text!a},  # noqa: E501" for name, text in lower.items()),
        "}",
        '"""Characters of the bytes 00 to 7F where they are not ASCII."""',
        "OVERRIDES: Final[dict[str, tuple[tuple[str, int, int], ...]]] = {",
    ]
    for name, found in overrides.items():
        if found:
            lines += [
                f"    {name!r}: (",
                *(f"        ({code!r}, {point:#x}, {count})," for code, point, count in found),
            ]
            lines.append("    ),")
    lines += [
        "}",
        '"""Where Python\'s codec differs: first code, its code point (0: no character), how many go on like this."""',
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(python_source(connect(sys.argv[1])), end="")

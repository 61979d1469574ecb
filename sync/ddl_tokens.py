"""Words, names, texts and signs of a DDL statement, comments taken away and executable comments opened.

A binlog holds executable comments only when the source ran them: it takes the mark from the others. What cannot be read
for sure gives None, and the caller must assume the worst.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

ANSI_QUOTES: Final = 1 << 2
NO_BACKSLASH_ESCAPES: Final = 1 << 20


class Kind(StrEnum):
    """What a token is."""

    WORD = "word"
    """A keyword or an unquoted name."""
    NAME = "name"
    """A quoted name."""
    TEXT = "text"
    NUMBER = "number"
    SIGN = "sign"
    """One character of punctuation."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token; quotes and escapes are resolved in `text`."""

    kind: Kind
    text: str

    @staticmethod
    def sign(text: str) -> Token:
        """A sign as a token."""
        return Token(Kind.SIGN, text)

    def is_word(self, *words: str) -> bool:
        """Whether it is one of these keywords, which are given in upper case."""
        return self.kind is Kind.WORD and self.text.upper() in words

    def is_sign(self, sign: str) -> bool:
        """Whether it is this sign."""
        return self.kind is Kind.SIGN and self.text == sign

    @property
    def named(self) -> str | None:
        """The name that it can stand for."""
        return self.text if self.kind in (Kind.WORD, Kind.NAME) else None


_TOKEN: Final = re.compile(
    r"""(?P<skip>\s+|/\*M?!\d*|\*/|/\*.*?\*/|\#[^\n]*|--(?=[\s\x00-\x1f]|$)[^\n]*)
    |`(?P<name>(?:[^`]|``)*)`
    |'(?P<single>(?:[^'\\]|\\.|'')*)'
    |"(?P<double>(?:[^"\\]|\\.|"")*)"
    |(?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?(?![\w$]))
    |(?P<word>[\w$@\u0080-\uffff]+)
    |(?P<sign>[^\w\s'"`\\])""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPES: Final = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a", "%": "\\%", "_": "\\_"}


def tokens(statement: str, sql_mode: int | None = 0) -> tuple[Token, ...] | None:
    """The tokens of a statement that ran in `sql_mode` (the bits of a QUERY event); None when it cannot be read."""
    mode = sql_mode or 0
    found: list[Token] = []
    place, depth = 0, 0
    text = statement.strip().rstrip(";").rstrip()
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            return None
        place = match.end()
        group, value = match.lastgroup, match.group(match.lastgroup or 0)
        if group == "skip":
            depth += value.startswith(("/*!", "/*M!")) - (value == "*/")
            if not 0 <= depth <= 1:
                return None
        elif group == "name":
            found.append(Token(Kind.NAME, value.replace("``", "`")))
        elif group in ("single", "double"):
            if "\\" in value and mode & NO_BACKSLASH_ESCAPES:
                return None
            escapes = re.compile(r"\\(.)|''" if group == "single" else r'\\(.)|""', re.DOTALL)
            plain = escapes.sub(lambda one: _ESCAPES.get(one[1], one[1]) if one[1] else one[0][0], value)
            ansi = group == "double" and mode & ANSI_QUOTES
            found.append(Token(Kind.NAME if ansi else Kind.TEXT, plain))
        else:
            found.append(Token(Kind(group or ""), value))
    return tuple(found) if not depth else None

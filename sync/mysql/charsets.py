"""The server's own mapping of its character sets to UTF-8, so that the stream gives what a SELECT would.

Tables that a program took from real servers are in `charset_tables.py`; Python's codecs do the large character sets,
with the servers' differences put in. A byte sequence that the server has no character for (it prints '?' then) raises
ValueRefused; nothing is replaced in silence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Final

from model.errors import Refused, ValueRefused
from sync.mysql.charset_tables import LOWER, OVERRIDES, UPPER
from sync.mysql.forms import is_utf8, refuse_bytes

Decode = Callable[[bytes], bytes]
UTF8: Final = frozenset({"ascii", "utf8", "utf8mb3", "utf8mb4"})
"""Character sets whose bytes are UTF-8 already."""
MULTI_BYTE: Final = {
    "ucs2": "utf-16-be",
    "utf16": "utf-16-be",
    "utf16le": "utf-16-le",
    "utf32": "utf-32-be",
    "gbk": "gbk",
    "gb2312": "gb2312",
    "gb18030": "gb18030",
    "big5": "big5",
    "sjis": "shift_jis",
    "cp932": "cp932",
    "euckr": "cp949",
    "ujis": "euc_jp",
    "eucjpms": "euc_jp",
}
"""Python's codec by MySQL's character set."""
_TOKENS: Final = {
    "big5": rb"[\x81-\xfe].|.",
    "sjis": rb"[\x81-\x9f\xe0-\xfc].|.",
    "cp932": rb"[\x81-\x9f\xe0-\xfc].|.",
    "ujis": rb"\x8f..|[\x8e\xa1-\xfe].|.",
    "eucjpms": rb"\x8f..|[\x8e\xa1-\xfe].|.",
    "gb18030": rb"[\x81-\xfe][0-9]..|[\x81-\xfe].|.",
}
"""One character of the character sets whose mapping differs from the codec's."""
_ALL_OF_UNICODE: Final = frozenset({"utf8mb4", "utf16", "utf16le", "utf32", "gb18030"})
_BASIC_PLANE: Final = frozenset({"utf8", "utf8mb3", "ucs2"})
_HOLE: Final = "\ufffd"


@lru_cache(maxsize=64)
def single_byte_table(charset: str) -> tuple[bytes | None, ...] | None:
    """UTF-8 of each of the 256 bytes, None where the server has no character; None for other character sets."""
    upper = UPPER.get(charset)
    if upper is None:
        return None
    lower = LOWER.get(charset) or bytes(range(128)).decode()
    return tuple(None if character == _HOLE else character.encode() for character in lower + upper)


@lru_cache(maxsize=64)
def decoder(charset: str) -> Decode:
    """A function from a character set's bytes to UTF-8; it raises ValueRefused.

    Raises Refused for a character set that is not known.
    """
    if charset in UTF8:
        return _checked(charset)
    table = single_byte_table(charset)
    if table is not None:
        return _translated(charset, table)
    codec = MULTI_BYTE.get(charset)
    if codec is None:
        raise Refused(
            f"the character set {charset} is not known",
            hint="Convert the column in the source to utf8mb4, or leave the table out of the mapping.",
        )
    by_codec = _by_codec(charset, codec)
    return _overridden(charset, by_codec) if charset in OVERRIDES else by_codec


@lru_cache(maxsize=64)
def known_ranges(charset: str) -> tuple[tuple[int, int], ...] | None:
    """Code points that a character set has, NUL aside, as inclusive ranges in order; None: all of Unicode.

    Raises Refused for a character set that is not known.
    """
    if charset in _ALL_OF_UNICODE:
        return None
    if charset in _BASIC_PLANE:
        return ((1, 0xFFFF),)
    decode = decoder(charset)
    found: set[str] = set()
    for code in _codes(charset):
        try:
            found.update(decode(code).decode())
        except ValueRefused:
            continue  # the character set has no such character
    return _ranges(sorted(map(ord, found - {"\0"})))


def _codes(charset: str) -> Iterator[bytes]:
    """Every sequence of bytes that may be one character."""
    octets = [bytes([octet]) for octet in range(256)]
    yield from octets
    if charset in MULTI_BYTE:
        yield from (first + second for first in octets[128:] for second in octets)
        if charset in ("ujis", "eucjpms"):
            yield from (b"\x8f" + second + third for second in octets[160:] for third in octets[160:])


def _ranges(points: list[int]) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    for point in points:
        if found and point == found[-1][1] + 1:
            found[-1] = (found[-1][0], point)
        else:
            found.append((point, point))
    return tuple(found)


def _checked(charset: str) -> Decode:
    def check(raw: bytes) -> bytes:
        if not (raw.isascii() if charset == "ascii" else is_utf8(raw)):
            raise refuse_bytes(raw, charset)
        return raw

    return check


def _translated(charset: str, table: tuple[bytes | None, ...]) -> Decode:
    def translate(raw: bytes) -> bytes:
        try:
            return b"".join([table[octet] for octet in raw])  # type: ignore[misc]
        except TypeError:
            raise refuse_bytes(bytes(octet for octet in raw if table[octet] is None)[:1], charset) from None

    return translate


def _by_codec(charset: str, codec: str) -> Decode:
    def decode(raw: bytes) -> bytes:
        try:
            text = raw.decode(codec)
        except UnicodeDecodeError:
            raise refuse_bytes(raw, charset) from None
        if charset == "ucs2" and any(character > "\uffff" for character in text):
            # Two surrogates are two characters to the server, and neither of them has a UTF-8 form.
            raise refuse_bytes(raw, charset)
        return text.encode()

    return decode


def _overridden(charset: str, by_codec: Decode) -> Decode:
    """The codec's decoder with the server's own mapping of some codes."""
    own: dict[bytes, bytes | None] = {}
    for first, point, count in OVERRIDES[charset]:
        number = int(first, 16)
        for step in range(count):
            code = (number + step).to_bytes(len(first) // 2, "big")
            own[code] = chr(point + step).encode() if point else None
    # Where a code of `own` may begin; it may also be found across two characters, so a hit only means: look closer.
    suspect = re.compile(b"|".join(sorted({re.escape(code[:2]) for code in own})), re.DOTALL)
    token = re.compile(_TOKENS[charset], re.DOTALL)

    def decode(raw: bytes) -> bytes:
        if not suspect.search(raw):
            return by_codec(raw)
        pieces = []
        for code in token.findall(raw):
            piece = own[code] if code in own else by_codec(code)
            if piece is None:
                raise refuse_bytes(code, charset)
            pieces.append(piece)
        return b"".join(pieces)

    return decode

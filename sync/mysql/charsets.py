"""The server's own mapping of its character sets to UTF-8, so that the stream gives what a SELECT would.

Python's codecs are used where they agree with the servers; `charset_tables` has the bytes where they do not, and whole
tables of the character sets that Python does not know. A byte sequence that the server has no character for (it prints
'?' then) raises ValueRefused; nothing is replaced in silence.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from model.errors import Refused
from sync.mysql.forms import refuse_bytes

UTF8: Final = frozenset({"ascii", "utf8", "utf8mb3", "utf8mb4"})
"""Character sets whose bytes are UTF-8 already."""
SINGLE_BYTE: Final = {
    "latin1": "cp1252",
    "latin2": "iso8859-2",
    "latin5": "iso8859-9",
    "latin7": "iso8859-13",
    "cp1250": "cp1250",
    "cp1251": "cp1251",
    "cp1256": "cp1256",
    "cp1257": "cp1257",
    "cp850": "cp850",
    "cp852": "cp852",
    "cp866": "cp866",
    "koi8r": "koi8-r",
    "koi8u": "koi8-u",
    "greek": "iso8859-7",
    "hebrew": "iso8859-8",
    "tis620": "tis-620",
    "macroman": "mac-roman",
}
"""Python's codec by MySQL's character set."""
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


@lru_cache(maxsize=64)
def single_byte_table(charset: str) -> tuple[bytes | None, ...] | None:
    """UTF-8 of each of the 256 bytes, None where the server has no character; None for other character sets."""
    codec = SINGLE_BYTE.get(charset)
    if codec is None:
        return None
    table: list[bytes | None] = []
    for octet in range(256):
        try:
            table.append(bytes((octet,)).decode(codec).encode())
        except UnicodeDecodeError:
            table.append(None)
    if charset == "latin1":
        for octet in (0x81, 0x8D, 0x8F, 0x90, 0x9D):
            table[octet] = chr(octet).encode()
    return tuple(table)


@lru_cache(maxsize=64)
def multi_byte_decoder(charset: str) -> Callable[[bytes], bytes]:
    """A function from the character set's bytes to UTF-8. Raises Refused for a character set that is not known."""
    codec = MULTI_BYTE.get(charset)
    if codec is None:
        raise Refused(
            f"the character set {charset} is not known",
            hint="Convert the column in the source to utf8mb4, or leave the table out of the mapping.",
        )

    def decode(raw: bytes) -> bytes:
        try:
            return raw.decode(codec).encode()
        except UnicodeError:
            raise refuse_bytes(raw, charset) from None

    return decode


@lru_cache(maxsize=64)
def decoder(charset: str) -> Callable[[bytes], bytes]:
    """A function from any known character set's bytes to UTF-8. It raises ValueRefused; this Refused."""
    if charset in UTF8:

        def check(raw: bytes) -> bytes:
            try:
                raw.decode()
            except UnicodeDecodeError:
                raise refuse_bytes(raw, charset) from None
            return raw

        return check
    table = single_byte_table(charset)
    if table is None:
        return multi_byte_decoder(charset)
    known = table

    def translate(raw: bytes) -> bytes:
        try:
            return b"".join([known[octet] for octet in raw])  # type: ignore[misc]
        except TypeError:
            raise refuse_bytes(bytes(octet for octet in raw if known[octet] is None)[:1], charset) from None

    return translate

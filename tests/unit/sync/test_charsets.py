"""Character sets where servers and Python differ; whole tables are compared with servers in the integration tests."""

from __future__ import annotations

import pytest

from model.errors import Refused, ValueRefused
from sync.mysql.charsets import decoder, single_byte_table


@pytest.mark.parametrize(
    ("charset", "raw", "text"),
    [
        ("latin1", b"\x80\x81\x8d\x8f\x90\x9d\xff", "€\x81\x8d\x8f\x90\x9dÿ"),
        ("swe7", b"[\\]a", "ÄÖÅa"),
        ("cp866", b"\x8f", "П"),
        ("koi8r", b"\xf0", "П"),
        ("utf16", b"\xd8\x3d\xde\x00", "😀"),
        ("ucs2", b"\x6f\x22", "漢"),
        ("utf16le", b"a\0", "a"),
        ("utf32", b"\0\x01\xf6\0", "😀"),
        ("gbk", b"\xc2\xa2a", "垄a"),
        ("sjis", b"\x81\x60\x83\x5c", "〜ソ"),
        ("cp932", b"\x81\x60\x83\x5c", "～ソ"),
        ("big5", b"a\xf9\xd6\xa4\x40", "a碁一"),
        ("eucjpms", b"\x8f\xa2\xb7\xa4\xa2", "～あ"),
        ("ujis", b"\xf5\xa1", "\ue000"),
        ("utf8mb3", "é".encode(), "é"),
    ],
)
def test_characters(charset: str, raw: bytes, text: str) -> None:
    assert decoder(charset)(raw).decode() == text


@pytest.mark.parametrize(
    ("charset", "raw"),
    [
        ("cp1251", b"\x98"),
        ("cp1250", b"a\x81"),
        ("ascii", b"\x80"),
        ("utf8mb4", b"\xc0\x80"),
        ("big5", b"\xa1\x5a"),
        ("cp932", b"a\xa0"),
        ("utf16", b"\xd8\x00"),
        ("ucs2", b"\xd8\x3d\xde\x00"),
        ("gbk", b"\xff"),
    ],
)
def test_what_is_no_character_is_refused_never_replaced(charset: str, raw: bytes) -> None:
    with pytest.raises(ValueRefused, match=charset):
        decoder(charset)(raw)


def test_an_override_across_two_characters_is_no_override() -> None:
    # E9 81 60: sjis has 8160 of its own, but here 81 is the second byte of a character.
    assert decoder("sjis")(b"\xe9\x81\x60").decode() == b"\xe9\x81".decode("shift_jis") + "`"


def test_unknown_character_sets_are_refused() -> None:
    with pytest.raises(Refused):
        decoder("ebcdic")


def test_tables_have_256_entries() -> None:
    table = single_byte_table("hebrew")
    assert table is not None
    assert len(table) == 256
    assert table[0x41] == b"A"
    assert single_byte_table("gbk") is None

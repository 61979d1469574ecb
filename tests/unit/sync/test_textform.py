"""What the snapshot selects and what it makes of the answers; equality with the stream is proven on real servers."""

from __future__ import annotations

import pytest

from model.errors import Refused, ValueRefused
from model.position import Flavour
from model.tables import ColumnDef
from stores.mysql import ServerInfo
from sync.mysql.textform import as_is, from_select, select_expression

MYSQL = ServerInfo(Flavour.MYSQL, (9, 7, 4), "9.7.4", 1, "uuid", True)
MARIADB = ServerInfo(Flavour.MARIADB, (10, 11, 19), "10.11", 1, "host:1", True)


def column(kind: str, declared: str = "", **facts: object) -> ColumnDef:
    return ColumnDef("a`b", kind, declared or kind, **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("definition", "expression"),
    [
        (column("int"), "`a``b`"),
        (column("float"), "`a``b`*1e0"),
        (column("set", labels=("a",)), "CAST(`a``b` AS UNSIGNED)"),
        (column("varchar", charset="utf8mb4"), "`a``b`"),
        (column("varchar", charset="latin1"), "CAST(`a``b` AS BINARY)"),
        (column("blob"), "`a``b`"),
        (column("year", "year(4)"), "`a``b`"),
    ],
)
def test_select_expressions(definition: ColumnDef, expression: str) -> None:
    assert select_expression(definition, MYSQL) == expression


def test_mariadb_hides_the_sign_of_zero() -> None:
    assert "ATAN2" in select_expression(column("double"), MARIADB)


def test_years_of_two_digits_are_refused() -> None:
    with pytest.raises(Refused, match="century"):
        select_expression(column("year", "year(2)"), MYSQL)


@pytest.mark.parametrize(
    ("definition", "selected", "field"),
    [
        (column("int", "int(7) unsigned zerofill"), b"0000042", b"42"),
        (column("decimal", "decimal(8,3) zerofill"), b"00004.500", b"4.500"),
        (column("decimal"), b"-0.00", b"0.00"),
        (column("decimal"), b"-0.01", b"-0.01"),
        (column("decimal"), b"-12", b"-12"),
        (column("double"), b"1e22", b"1e+22"),
        (column("double"), b"-0", b"-0.0"),
        (column("year", "year(4)"), b"0000", b"0"),
        (column("bit", length=10), b"\x02\x01", b"1000000001"),
        (column("binary", length=2), b"\x00\xff", b"\\x00ff"),
        (column("point"), b"\x00", b"\\x00"),
        (column("timestamp"), b"0000-00-00 00:00:00", b"0000-00-00 00:00:00+00"),
        (column("enum", labels=("a", "b")), b"2", b"b"),
        (column("enum", labels=("a", "b")), b"0", b""),
        (column("set", labels=("a", 'b"')), b"3", b'{"a","b\\""}'),
        (column("char", charset="latin1"), b"\xe9  ", "é".encode()),
        (column("char", charset="utf8mb4"), b"x  ", b"x"),
        (column("varchar", charset="utf8mb4"), b"x  ", b"x  "),
        (column("vector"), b"\x00\x00\x80?", b"{1.0}"),
        (column("double"), None, None),
    ],
)
def test_answers_become_fields(definition: ColumnDef, selected: bytes | None, field: bytes | None) -> None:
    assert from_select(definition)(selected) == field


def test_what_needs_nothing_is_said_to_need_nothing() -> None:
    assert from_select(column("bigint", "bigint unsigned")) is as_is
    assert from_select(column("json")) is as_is
    assert from_select(column("datetime")) is as_is


def test_text_without_a_character_is_refused() -> None:
    with pytest.raises(ValueRefused):
        from_select(column("text", charset="cp1251"))(b"\x98")

"""Columns of every source type with strategies for their neutral text forms, and target types to try."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from hypothesis import strategies as st

from model.tables import ColumnDef
from transforms.casts import array_literal

Values = st.SearchStrategy[bytes]


@dataclass(frozen=True)
class Case:
    """A source column, its values, and target types to try beside the default one."""

    column: ColumnDef
    values: Values
    overrides: tuple[str, ...] = ()
    flavour: str = ""
    """`mysql` or `mariadb` when only that server has the type."""

    def __str__(self) -> str:
        return self.column.column_type


def integers(low: int, high: int) -> Values:
    return st.one_of(st.integers(low, high), st.sampled_from([low, high, 0])).map(lambda number: str(number).encode())


def decimals(digits: int, scale: int) -> Values:
    def text(number: int) -> bytes:
        sign, number = ("-" if number < 0 else ""), abs(number)
        plain = str(number).rjust(scale + 1, "0")
        return f"{sign}{plain[:-scale]}.{plain[-scale:]}".encode() if scale else f"{sign}{plain}".encode()

    edge = 10**digits - 1
    return st.one_of(st.integers(-edge, edge), st.sampled_from([0, edge, -edge])).map(text)


def _single(bits: int) -> bytes:
    return repr(struct.unpack("<f", struct.pack("<I", bits))[0]).encode()


floats = st.integers(0, 2**32 - 1).filter(lambda bits: bits >> 23 & 255 != 255).map(_single)
doubles = st.floats(allow_nan=False, allow_infinity=False).map(lambda number: repr(number).encode())


def text(limit: int, *, stripped: bool = False) -> Values:
    plain = st.text(
        st.one_of(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), st.sampled_from("\\'\"\n\t,{} ")),
        max_size=limit,
    )
    return plain.map(lambda value: (value.rstrip(" ") if stripped else value).encode())


def blobs(low: int, high: int) -> Values:
    return st.binary(min_size=low, max_size=high).map(lambda raw: b"\\x" + raw.hex().encode())


def _days(years: tuple[int, int] = (1000, 9999)) -> st.SearchStrategy[str]:
    import datetime

    first, last = datetime.date(years[0], 1, 1), datetime.date(years[1], 12, 31)
    return st.dates(first, last).map(lambda day: f"{day.year:04}-{day.month:02}-{day.day:02}")


dates = st.one_of(_days(), st.just("0000-00-00")).map(str.encode)


def _fraction(scale: int) -> st.SearchStrategy[str]:
    if not scale:
        return st.just("")
    return st.integers(0, 10**scale - 1).map(lambda number: "." + str(number).rjust(scale, "0"))


def _clock(scale: int) -> st.SearchStrategy[str]:
    return st.builds(
        lambda second, fraction: f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}{fraction}",
        st.integers(0, 86_399),
        _fraction(scale),
    )


def datetimes(scale: int) -> Values:
    zero = "0000-00-00 00:00:00" + ("." + "0" * scale if scale else "")
    moments = st.builds(lambda day, clock: f"{day} {clock}", _days(), _clock(scale))
    return st.one_of(moments, st.just(zero)).map(str.encode)


def timestamps(scale: int) -> Values:
    zero = "0000-00-00 00:00:00" + ("." + "0" * scale if scale else "") + "+00"
    moments = st.builds(lambda day, clock: f"{day} {clock}+00", _days((1971, 2037)), _clock(scale))
    return st.one_of(moments, st.just(zero)).map(str.encode)


def times(scale: int) -> Values:
    def made(second: int, fraction: str) -> bytes:
        sign = "-" if second < 0 else ""
        second = abs(second)
        return f"{sign}{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}{fraction}".encode()

    return st.builds(made, st.integers(-3_020_398, 3_020_398), _fraction(scale))


def sets(labels: tuple[str, ...]) -> Values:
    return st.sets(st.sampled_from(labels)).map(
        lambda chosen: array_literal([label for label in labels if label in chosen])
    )


LABELS = ("red", "green", 'with "quotes"', "back\\slash", "{brace}", "NULL", "ümläut")


def _int(kind: str, unsigned: bool = False) -> ColumnDef:
    return ColumnDef("c", kind, kind + (" unsigned" if unsigned else ""), unsigned=unsigned)


CASES: tuple[Case, ...] = (
    Case(_int("tinyint"), integers(-128, 127), ("integer", "bigint", "numeric", "text")),
    Case(_int("tinyint", True), integers(0, 255), ("integer",)),
    Case(ColumnDef("c", "tinyint", "tinyint(1)", length=1), st.sampled_from([b"0", b"1"]), ("boolean",)),
    Case(_int("smallint"), integers(-32768, 32767)),
    Case(_int("smallint", True), integers(0, 65535)),
    Case(_int("mediumint"), integers(-(2**23), 2**23 - 1), ("double precision", "real")),
    Case(_int("int"), integers(-(2**31), 2**31 - 1), ("numeric(12,2)",)),
    Case(_int("int", True), integers(0, 2**32 - 1)),
    Case(_int("bigint"), integers(-(2**63), 2**63 - 1)),
    Case(_int("bigint", True), integers(0, 2**64 - 1), ("numeric", "text")),
    Case(ColumnDef("c", "year", "year(4)"), st.one_of(integers(1901, 2155), st.just(b"0")), ("text",)),
    Case(ColumnDef("c", "decimal", "decimal(12,2)", precision=12, scale=2), decimals(12, 2), ("numeric", "text")),
    Case(ColumnDef("c", "decimal", "decimal(65,30)", precision=65, scale=30), decimals(65, 30)),
    Case(ColumnDef("c", "decimal", "decimal(9,0)", precision=9, scale=0), decimals(9, 0), ("bigint",)),
    Case(ColumnDef("c", "float", "float"), floats, ("text",)),
    Case(ColumnDef("c", "double", "double"), doubles, ("numeric", "text")),
    Case(ColumnDef("c", "bit", "bit(1)", length=1), st.sampled_from([b"0", b"1"]), ("boolean",)),
    Case(ColumnDef("c", "bit", "bit(13)", length=13), integers(0, 8191).map(lambda n: f"{int(n):013b}".encode()),
         ("bigint", "text")),
    Case(ColumnDef("c", "bit", "bit(64)", length=64),
         st.integers(0, 2**64 - 1).map(lambda number: f"{number:064b}".encode()), ("numeric",)),
    Case(ColumnDef("c", "char", "char(9)", length=9, charset="utf8mb4"), text(9, stripped=True), ("text",)),
    Case(ColumnDef("c", "varchar", "varchar(20)", length=20, charset="utf8mb4"), text(20), ("text", "varchar(30)")),
    Case(ColumnDef("c", "text", "text", charset="utf8mb4"), text(50)),
    Case(ColumnDef("c", "binary", "binary(16)", length=16), blobs(16, 16), ("uuid",)),
    Case(ColumnDef("c", "varbinary", "varbinary(20)", length=20), blobs(0, 20)),
    Case(ColumnDef("c", "varbinary", "varbinary(16)", length=16), st.one_of(blobs(4, 4), blobs(16, 16)), ("inet",)),
    Case(ColumnDef("c", "blob", "blob"), blobs(0, 60)),
    Case(ColumnDef("c", "enum", "enum(…)", labels=LABELS), st.sampled_from(LABELS).map(str.encode),
         ("text+check", "smallint")),
    Case(ColumnDef("c", "set", "set(…)", labels=LABELS), sets(LABELS), ("text",)),
    Case(ColumnDef("c", "date", "date"), dates, ("timestamp(0)", "text")),
    Case(ColumnDef("c", "datetime", "datetime", scale=0), datetimes(0), ("text",)),
    Case(ColumnDef("c", "datetime", "datetime(6)", scale=6), datetimes(6)),
    Case(ColumnDef("c", "datetime", "datetime(3)", scale=3), datetimes(3), ("timestamp(6)",)),
    Case(ColumnDef("c", "timestamp", "timestamp", scale=0), timestamps(0), ("timestamp(0)", "text")),
    Case(ColumnDef("c", "timestamp", "timestamp(6)", scale=6), timestamps(6), ("timestamp(6)",)),
    Case(ColumnDef("c", "time", "time", scale=0), times(0), ("text",)),
    Case(ColumnDef("c", "time", "time(6)", scale=6), times(6)),
    Case(ColumnDef("c", "json", "json"),
         st.sampled_from([b"null", b"{}", b'{"a": [1, 2.50, "\\u00e9"], "b": {"c": null}}', b"[1, 1e3]", b'"x"']),
         ("text",), flavour="mysql"),
    Case(ColumnDef("c", "longtext", "longtext", charset="utf8mb4", json_check=True),
         st.sampled_from([b"{}", b'{"b":1,  "a":2,"a":3}', b"[]"]), flavour="mariadb"),
    Case(ColumnDef("c", "uuid", "uuid"), st.uuids().map(lambda value: str(value).encode()), ("bytea",),
         flavour="mariadb"),
    Case(ColumnDef("c", "inet6", "inet6"),
         st.ip_addresses(v=6).filter(lambda value: int(value) >= 1 << 48).map(lambda value: str(value).encode()),
         flavour="mariadb"),
)  # fmt: skip

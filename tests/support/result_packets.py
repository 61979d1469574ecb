"""Values as a source prints them in a result, for every type, and the packets that they come in."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from model.tables import ColumnDef


def column(kind: str, declared: str = "", **facts: object) -> ColumnDef:
    return ColumnDef(f"c_{kind}_{abs(hash(declared or str(facts)))}", kind, declared or kind, **facts)  # type: ignore[arg-type]


def number(digits: str) -> st.SearchStrategy[bytes]:
    return st.from_regex(digits, fullmatch=True).map(str.encode)


ANY = st.binary(max_size=12)
LONG = st.binary(min_size=240, max_size=300)
TEXT = st.text(st.sampled_from("ab\\\t\n\r\0é😀N. "), max_size=9).map(str.encode)
DATES = st.builds(
    "{:04d}-{:02d}-{:02d}".format,
    st.sampled_from([0, 1, 999, 1000, 2023, 2024]),
    st.integers(0, 12),
    st.integers(0, 31),
).map(str.encode)
TIMES = DATES.map(lambda day: day + b" 12:34:56.789")
LATIN = st.text(st.sampled_from("xé€\\\t\0 "), max_size=5).map(lambda text: text.encode("cp1252"))
CHINESE = st.text(st.sampled_from("垄啊丂狛a~\\ \t"), max_size=9).map(lambda text: text.encode("gbk"))
COLUMNS: list[tuple[ColumnDef, st.SearchStrategy[bytes]]] = [
    (column("bigint"), st.integers(-(2**63), 2**64).map(lambda value: b"%d" % value)),
    (column("int", "int(7) unsigned zerofill"), number("0{0,6}[0-9]{1,4}")),
    (column("decimal"), number(r"-?0{0,3}[0-9]{1,4}(\.[0-9]{1,3})?")),
    (column("decimal", "decimal(9,2) zerofill"), number(r"0{1,5}\.[0-9]{2}")),
    (column("float"), st.floats(allow_nan=False, allow_infinity=False, width=32).map(lambda value: b"%r" % value)),
    (column("double"), st.floats(allow_nan=False, allow_infinity=False).map(lambda value: b"%.17g" % value)),
    (column("year", "year(4)"), number("0000|19[0-9]{2}|20[0-9]{2}")),
    (column("bit", length=10), st.integers(0, 1023).map(lambda value: value.to_bytes(2, "big"))),
    (column("bit", length=64), st.integers(0, 2**64 - 1).map(lambda value: value.to_bytes(8, "big"))),
    (column("binary", length=3), st.binary(min_size=3, max_size=3)),
    (column("mediumblob"), st.one_of(ANY, LONG)),
    (column("point"), ANY),
    (column("date"), DATES),
    (column("datetime", scale=3), TIMES),
    (column("timestamp", scale=3), TIMES),
    (column("time"), number(r"-?[0-9]{2,3}:[0-5][0-9]:[0-5][0-9](\.[0-9]{3})?")),
    (column("enum", labels=("a\\", "b\t", "", "\n")), number("[0-5]")),
    (column("set", labels=('a"', "b\\", "c")), number("[0-8]")),
    (column("char", charset="utf8mb4"), st.one_of(TEXT, ANY)),
    (column("varchar", charset="utf8mb4"), st.one_of(TEXT, ANY, LONG)),
    (column("text", charset=None), TEXT),
    (column("text", charset="ascii"), st.one_of(TEXT, ANY)),
    (column("char", charset="latin1"), st.one_of(LATIN, ANY)),
    (column("text", charset="latin1"), st.one_of(LATIN, ANY)),
    (column("text", charset="gbk"), st.one_of(CHINESE, ANY)),
    (column("char", charset="gbk"), CHINESE),
    (column("json"), TEXT),
    (column("uuid"), number("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")),
    (column("inet6"), number("::[0-9a-f]{1,4}")),
    (column("vector"), st.integers(0, 3).map(lambda count: b"\x00\x00\x80?" * count)),
    (column("unheard"), TEXT),
]


def length_encoded(value: bytes | None) -> bytes:
    if value is None:
        return b"\xfb"
    if len(value) < 251:
        return bytes([len(value)]) + value
    if len(value) < 1 << 16:
        return b"\xfc" + len(value).to_bytes(2, "little") + value
    return b"\xfd" + len(value).to_bytes(3, "little") + value


def packets(row: Sequence[bytes | None], largest: int = 0xFFFFFF) -> bytes:
    body = b"".join(map(length_encoded, row))
    framed = b""
    while True:
        part, body = body[:largest], body[largest:]
        framed += len(part).to_bytes(3, "little") + b"\x07" + part
        if len(part) < largest:
            return framed

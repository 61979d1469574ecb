"""Every column type at its edges: the stream gives the documented text form, and the snapshot the same bytes.

The expected values are written by hand from the servers' manuals, not computed by our code.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.support.binlog import binlog_position, decoded, row_events, selected, server_info, table_defs
from tests.support.servers import source_database

LOOSE = "SET SESSION sql_mode = 'ALLOW_INVALID_DATES'"


@dataclass(frozen=True)
class Case:
    """A column declaration, SQL literals and the text forms they must come back as."""

    name: str
    type: str
    values: tuple[tuple[str, bytes | None], ...]
    servers: tuple[str, ...] = ("mariadb", "mysql97", "mysql56")


def digits(count: int) -> str:
    return "1234567890" * (count // 10) + "1234567890"[: count % 10]


D65 = digits(65)
CASES = (
    Case("tinyint", "TINYINT", (("-128", b"-128"), ("127", b"127"), ("0", b"0"), ("NULL", None))),
    Case("utinyint", "TINYINT UNSIGNED", (("255", b"255"), ("128", b"128"))),
    Case("smallint", "SMALLINT", (("-32768", b"-32768"), ("32767", b"32767"))),
    Case("usmallint", "SMALLINT UNSIGNED", (("65535", b"65535"),)),
    Case("mediumint", "MEDIUMINT", (("-8388608", b"-8388608"), ("8388607", b"8388607"), ("-1", b"-1"))),
    Case("umediumint", "MEDIUMINT UNSIGNED", (("16777215", b"16777215"),)),
    Case("int", "INT", (("-2147483648", b"-2147483648"), ("2147483647", b"2147483647"))),
    Case("uint", "INT UNSIGNED", (("4294967295", b"4294967295"), ("4000000000", b"4000000000"))),
    Case("zint", "INT(7) ZEROFILL", (("42", b"42"), ("0", b"0"))),
    Case(
        "bigint",
        "BIGINT",
        (("-9223372036854775808", b"-9223372036854775808"), ("9223372036854775807", b"9223372036854775807")),
    ),
    Case("ubigint", "BIGINT UNSIGNED", (("18446744073709551615", b"18446744073709551615"),)),
    Case(
        "decimal65",
        "DECIMAL(65,0)",
        ((D65, D65.encode()), ("-" + D65, b"-" + D65.encode()), ("0", b"0"), ("-1", b"-1")),
    ),
    Case("decimal30", "DECIMAL(30,30)", (("-0." + digits(30), b"-0." + digits(30).encode()), ("0", b"0." + b"0" * 30))),
    Case(
        "decimal102",
        "DECIMAL(10,2)",
        (
            ("-0.00", b"0.00"),
            ("-0.01", b"-0.01"),
            ("12.5", b"12.50"),
            ("-99999999.99", b"-99999999.99"),
            ("100000000/10", b"10000000.00"),
            ("9", b"9.00"),
        ),
    ),
    Case("decimal3819", "DECIMAL(38,19)", (("1000000000.0000000010000000001", b"1000000000.0000000010000000001"),)),
    Case("zdecimal", "DECIMAL(8,3) ZEROFILL", (("4.5", b"4.500"), ("0", b"0.000"))),
    Case(
        "float",
        "FLOAT",
        (
            ("0.1", b"0.10000000149011612"),
            ("123456.789", b"123456.7890625"),
            ("16777216", b"16777216.0"),
            ("1e-45", b"1.401298464324817e-45"),
            ("3.4028234e38", b"3.4028234663852886e+38"),
        ),
    ),
    Case(
        "double",
        "DOUBLE",
        (
            ("1.7976931348623157e308", b"1.7976931348623157e+308"),
            ("5e-324", b"5e-324"),
            ("1e22", b"1e+22"),
            ("0.1", b"0.1"),
            ("123456789012345680", b"1.2345678901234568e+17"),
        ),
    ),
    Case("float_zero", "FLOAT", (("-0e0", b"-0.0"),), ("mysql97", "mysql56")),
    Case("double_zero", "DOUBLE", (("-0e0", b"-0.0"),), ("mysql97", "mysql56")),
    Case("double_md", "DOUBLE(20,4)", (("1234.5678", b"1234.5678"), ("0.00006", b"0.0001"))),
    Case("bit1", "BIT(1)", (("b'1'", b"1"), ("b'0'", b"0"))),
    Case("bit10", "BIT(10)", (("b'1000000001'", b"1000000001"), ("b'101'", b"0000000101"))),
    Case("bit64", "BIT(64)", (("~0", b"1" * 64), ("1", b"0" * 63 + b"1"))),
    Case("year", "YEAR", (("0", b"0"), ("1901", b"1901"), ("2155", b"2155"), ("2024", b"2024"))),
    Case(
        "date",
        "DATE",
        (
            ("'0000-00-00'", b"0000-00-00"),
            ("'2024-02-31'", b"2024-02-31"),
            ("'2024-00-00'", b"2024-00-00"),
            ("'9999-12-31'", b"9999-12-31"),
            ("'0001-01-01'", b"0001-01-01"),
        ),
    ),
    Case(
        "datetime",
        "DATETIME",
        (
            ("'0000-00-00 00:00:00'", b"0000-00-00 00:00:00"),
            ("'2024-03-31 02:30:00'", b"2024-03-31 02:30:00"),
            ("'9999-12-31 23:59:59'", b"9999-12-31 23:59:59"),
        ),
    ),
    Case("datetime1", "DATETIME(1)", (("'2024-02-31 12:34:56.7'", b"2024-02-31 12:34:56.7"),)),
    Case("datetime3", "DATETIME(3)", (("'1000-01-01 00:00:00.001'", b"1000-01-01 00:00:00.001"),)),
    Case("datetime4", "DATETIME(4)", (("'1000-01-01 00:00:00.0009'", b"1000-01-01 00:00:00.0009"),)),
    Case("datetime6", "DATETIME(6)", (("'0000-00-00 12:34:56.000001'", b"0000-00-00 12:34:56.000001"),)),
    Case(
        "timestamp",
        "TIMESTAMP NULL",
        (
            ("'0000-00-00 00:00:00'", b"0000-00-00 00:00:00+00"),
            ("'1970-01-01 00:00:01'", b"1970-01-01 00:00:01+00"),
            ("'2038-01-19 03:14:07'", b"2038-01-19 03:14:07+00"),
            ("'2024-02-29 23:59:59'", b"2024-02-29 23:59:59+00"),
            ("'2000-12-31 00:00:00'", b"2000-12-31 00:00:00+00"),
            ("NULL", None),
        ),
    ),
    Case("timestamp2", "TIMESTAMP(2) NULL", (("0", b"0000-00-00 00:00:00.00+00"),)),
    Case("timestamp5", "TIMESTAMP(5) NULL", (("'2024-10-27 00:30:00.12345'", b"2024-10-27 00:30:00.12345+00"),)),
    Case("timestamp6", "TIMESTAMP(6) NULL", (("'2038-01-19 03:14:07.999999'", b"2038-01-19 03:14:07.999999+00"),)),
    Case("time", "TIME", (("'838:59:59'", b"838:59:59"), ("'-838:59:59'", b"-838:59:59"), ("'00:00:00'", b"00:00:00"))),
    Case("time1", "TIME(1)", (("'-00:00:00.1'", b"-00:00:00.1"), ("'-12:34:56.7'", b"-12:34:56.7"))),
    Case("time3", "TIME(3)", (("'-00:00:00.001'", b"-00:00:00.001"), ("'100:00:00.999'", b"100:00:00.999"))),
    Case(
        "time6",
        "TIME(6)",
        (("'-00:00:00.000001'", b"-00:00:00.000001"), ("'-12:34:56.789123'", b"-12:34:56.789123")),
    ),
    Case(
        "char",
        "CHAR(10) CHARACTER SET utf8",
        (("'abc  '", b"abc"), ("''", b""), ("'  x'", b"  x"), ("'é\\t'", "é\t".encode())),
    ),
    Case("char255", "CHAR(255) CHARACTER SET utf8mb4", (("REPEAT('😀',255)", "😀".encode() * 255), ("'a'", b"a"))),
    Case(
        "varchar",
        "VARCHAR(300) CHARACTER SET utf8mb4",
        (
            ("'a  '", b"a  "),
            ("'\\\\N'", b"\\N"),
            ("'NULL'", b"NULL"),
            ("CONCAT('x', CHAR(0), 'y')", b"x\0y"),
            ("'\\r\\n\\t'", b"\r\n\t"),
            ("'😀\uffff'", "😀\uffff".encode()),
            ("NULL", None),
        ),
    ),
    Case("latin1", "VARCHAR(20) CHARACTER SET latin1", (("0x80818D8F909DFFE9", "€\x81\x8d\x8f\x90\x9dÿé".encode()),)),
    Case("latin1char", "CHAR(20) CHARACTER SET latin1", (("0xE92020", "é".encode()),)),
    Case("cp1251", "TEXT CHARACTER SET cp1251", (("0xCFF0E8E2E5F2", "Привет".encode()),)),
    Case("ucs2", "VARCHAR(20) CHARACTER SET ucs2", (("0x006100620063", b"abc"), ("0x6F225B57", "漢字".encode()))),
    Case("ucs2char", "CHAR(20) CHARACTER SET ucs2", (("0x00610020", b"a"),)),
    Case("utf16", "VARCHAR(20) CHARACTER SET utf16", (("0xD83DDE000061", "😀a".encode()),)),
    Case("utf16le", "VARCHAR(20) CHARACTER SET utf16le", (("0x3DD800DE6100", "😀a".encode()),)),
    Case("utf32", "VARCHAR(20) CHARACTER SET utf32", (("0x0001F600", "😀".encode()),)),
    Case("gbk", "VARCHAR(20) CHARACTER SET gbk", (("0xC2A2", "垄".encode()),)),
    Case("sjis", "VARCHAR(20) CHARACTER SET sjis", (("0x8160", "〜".encode()), ("0x835C", "ソ".encode()))),
    Case("cp932", "VARCHAR(20) CHARACTER SET cp932", (("0x8160", "～".encode()),)),
    Case("mediumtext", "MEDIUMTEXT CHARACTER SET utf8mb4", (("REPEAT('ab', 40000)", b"ab" * 40000), ("''", b""))),
    Case("binary", "BINARY(4)", (("0x01000000", b"\\x01000000"), ("''", b"\\x00000000"), ("0x20", b"\\x20000000"))),
    Case("binary16", "BINARY(16)", (("0x" + "ab" * 15 + "00", b"\\x" + b"ab" * 15 + b"00"),)),
    Case("binary255", "BINARY(255)", (("0xff", b"\\xff" + b"00" * 254),)),
    Case("varbinary", "VARBINARY(300)", (("''", b"\\x"), ("0x0100", b"\\x0100"), ("'\\\\'", b"\\x5c"), ("NULL", None))),
    Case("tinyblob", "TINYBLOB", (("0x00ff", b"\\x00ff"),)),
    Case("longblob", "LONGBLOB", (("REPEAT(0xAB, 70000)", b"\\x" + b"ab" * 70000),)),
    Case("enum", "ENUM('a','b''c','','d,e','f\\\\g')", (("'a'", b"a"), ("2", b"b'c"), ("3", b""), ("5", b"f\\g"))),
    Case("enum_zero", "ENUM('a','b')", (("0", b""),)),
    Case(
        "enum_many",
        "ENUM(" + ",".join(f"'m{n}'" for n in range(1, 301)) + ")",
        (("'m300'", b"m300"), ("'m1'", b"m1")),
    ),
    Case("enum_latin1", "ENUM('café','x') CHARACTER SET latin1", (("'café'", "café".encode()),)),
    Case(
        "set",
        "SET('a','b\"c','d\\\\e','{}')",
        (("''", b"{}"), ("'{},a'", b'{"a","{}"}'), ("6", b'{"b\\"c","d\\\\e"}')),
    ),
    Case(
        "set64",
        "SET(" + ",".join(f"'s{n}'" for n in range(64)) + ")",
        (("9223372036854775809", b'{"s0","s63"}'), ("~0", b"{" + b",".join(b'"s%d"' % n for n in range(64)) + b"}")),
    ),
    Case("set33", "SET(" + ",".join(f"'s{n}'" for n in range(33)) + ")", (("4294967296", b'{"s32"}'),)),
    Case("set17", "SET(" + ",".join(f"'s{n}'" for n in range(17)) + ")", (("65536", b'{"s16"}'),)),
    Case(
        "point",
        "POINT",
        (("ST_GeomFromText('POINT(1 2)')", b"\\x000000000101000000000000000000f03f0000000000000040"),),
    ),
    Case(
        "uuid",
        "UUID",
        (
            ("'f81d4fae-7dec-11d0-a765-00a0c91e6b00'", b"f81d4fae-7dec-11d0-a765-00a0c91e6b00"),
            ("'00000000-0000-0000-0000-000000000000'", b"00000000-0000-0000-0000-000000000000"),
        ),
        ("mariadb",),
    ),
    Case("inet4", "INET4", (("'1.2.3.0'", b"1.2.3.0"), ("'0.0.0.0'", b"0.0.0.0")), ("mariadb",)),
    Case(
        "inet6",
        "INET6",
        (
            ("'::'", b"::"),
            ("'2001:db8::1'", b"2001:db8::1"),
            ("'::ffff:1.2.3.4'", b"::ffff:1.2.3.4"),
            ("'::1.2.3.4'", b"::1.2.3.4"),
            ("'::1'", b"::1"),
            ("'1:0:0:2::'", b"1:0:0:2::"),
            ("'1:0:2:0:3:0:4:0'", b"1::2:0:3:0:4:0"),
        ),
        ("mariadb",),
    ),
    Case("mdbjson", "JSON", (("'{\"b\": 1,  \"a\":2}'", b'{"b": 1,  "a":2}'),), ("mariadb",)),
    Case(
        "compressed",
        "VARCHAR(2000) COMPRESSED",
        (("REPEAT('ab', 500)", b"ab" * 500), ("'x'", b"x"), ("''", b"")),
        ("mariadb",),
    ),
    Case("compressed_blob", "BLOB COMPRESSED", (("REPEAT(0xAB, 500)", b"\\x" + b"ab" * 500),), ("mariadb",)),
    Case(
        "vector",
        "VECTOR(5)",
        (
            ("STRING_TO_VECTOR('[1, 2.5, -0.0]')", b"{1.0,2.5,-0.0}"),
            ("STRING_TO_VECTOR('[0.1]')", b"{0.10000000149011612}"),
        ),
        ("mysql97",),
    ),
    Case(
        "json",
        "JSON",
        (
            ("'null'", b"null"),
            ("NULL", None),
            ("'{\"bb\": 1, \"a\": [1, 2.0, true, null, \"x\\\\ny\"], \"a\": 2}'", b'{"a": 2, "bb": 1}'),
            ("'[18446744073709551615, -9223372036854775808, 65535, -32768, 70000]'",
             b"[18446744073709551615, -9223372036854775808, 65535, -32768, 70000]"),
            ("'[1e22, 1e-7, -0.0, 1.5e300, 123456789012345.0, 1e15, 1e16]'",
             b"[1e22, 0.0000001, -0.0, 1.5e300, 123456789012345.0, 1e15, 1e16]"),
            ("CAST(CAST('2024-01-02' AS DATE) AS JSON)", b'"2024-01-02"'),
            ("CAST(CAST('2024-01-02 03:04:05' AS DATETIME) AS JSON)", b'"2024-01-02 03:04:05.000000"'),
            ("CAST(CAST('-100:00:00.5' AS TIME(1)) AS JSON)", b'"-100:00:00.500000"'),
            ("CAST(1.50 AS JSON)", b"1.50"),
            ("CAST(0x00FF10 AS JSON)", b'"base64:type15:AP8Q"'),
            ("JSON_OBJECT('k', CAST(REPEAT('x', 100) AS BINARY))",
             b'{"k": "base64:type15:' + b"eHh4" * 19 + b"\\n" + b"eHh4" * 14 + b'eA=="}'),
            ("JSON_ARRAY('\"', '\\\\', '/', CONVERT(0x011F7F USING utf8mb4), '\\b', 'é😀')",
             '["\\"", "\\\\", "/", "\\u0001\\u001f\x7f", "\\b", "é😀"]'.encode()),
            ("'{}'", b"{}"),
            ("'[]'", b"[]"),
            ("'{\"\": {\"a\": [[], {}]}}'", b'{"": {"a": [[], {}]}}'),
            ("JSON_ARRAY(REPEAT('y', 70000))", b'["' + b"y" * 70000 + b'"]'),
        ),
        ("mysql97",),
    ),
)  # fmt: skip


@pytest.mark.parametrize("server_name", ["mariadb", "mysql97", pytest.param("mysql56", marks=pytest.mark.matrix)])
def test_every_type_at_its_edges(server_name: str, request: pytest.FixtureRequest) -> None:
    server = request.getfixturevalue(server_name)
    with source_database(server) as database:
        cases = [case for case in CASES if server_name in case.servers]
        start = binlog_position(database)
        connection = database.connect(init_command="SET time_zone = '+00:00'")
        with connection.cursor() as cursor:
            cursor.execute(LOOSE)
            for case in cases:
                cursor.execute(f"CREATE TABLE `{case.name}` (id INT PRIMARY KEY, v {case.type}) CHARACTER SET utf8mb4")
                rows = ", ".join(f"({number}, {literal})" for number, (literal, _) in enumerate(case.values))
                cursor.execute(f"INSERT INTO `{case.name}` VALUES {rows}")
        connection.close()
        events, tables = row_events(database, start), table_defs(database)
        wrong = []
        for case in cases:
            expected = [(b"%d" % number, text) for number, (_, text) in enumerate(case.values)]
            stream = [after for _, after in decoded(tables[case.name], events)]
            for way, got in (("stream", stream), ("snapshot", selected(database, tables[case.name], "id"))):
                if got != expected:
                    differing = [pair for pair in zip(expected, got, strict=False) if pair[0] != pair[1]]
                    wrong.append(f"{case.name}, {way}, {len(got)} rows: {str(differing[:2])[:600]}")
        assert not wrong, f"{server_info(database).version_text}\n" + "\n".join(wrong)

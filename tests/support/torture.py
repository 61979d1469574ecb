"""Column types by family, with SQL literals and what PostgreSQL must print for them once they have arrived.

Written by hand from the manuals of the servers and of PostgreSQL, not computed: MySQL's and MariaDB's chapters on data
types and character sets (what a literal stores), PostgreSQL's on data types (what `::text` prints). Characters of a
character set come from the Unicode consortium's mapping tables.
"""

from __future__ import annotations

from dataclasses import dataclass

MYSQL = ("mysql-5.6", "mysql-9.7")
MARIADB = ("mariadb-10.11",)
EVERY = MYSQL + MARIADB


@dataclass(frozen=True, slots=True)
class Case:
    """A declaration, the PostgreSQL type it becomes, and (SQL literal, text in the store) pairs; None is NULL."""

    name: str
    declared: str
    becomes: str
    values: tuple[tuple[str, str | None], ...]
    servers: tuple[str, ...] = EVERY


def case(name: str, declared: str, becomes: str, *values: tuple[str, str | None], on: tuple[str, ...] = EVERY) -> Case:
    """A case, NULL always among its values."""
    return Case(name, declared, becomes, (*values, ("NULL", None)), on)


def same(*texts: str) -> tuple[tuple[str, str], ...]:
    """Literals that come out as they are written."""
    return tuple((text, text) for text in texts)


def quoted(*texts: str) -> tuple[tuple[str, str], ...]:
    """Texts that come out as what stands between the quotes."""
    return tuple((f"'{text}'", text) for text in texts)


_NINES = "9" * 65
_TINY = "0." + "1234567890" * 3

FAMILIES: dict[str, tuple[Case, ...]] = {
    "integers": (
        case("tiny", "TINYINT", "smallint", *same("-128", "127", "0", "-1")),
        case("tiny_one", "TINYINT(1)", "smallint", *same("-128", "0", "1", "2", "127")),
        case("tiny_u", "TINYINT UNSIGNED", "smallint", *same("0", "128", "255")),
        case("small", "SMALLINT", "smallint", *same("-32768", "32767")),
        case("small_u", "SMALLINT UNSIGNED", "integer", *same("0", "32768", "65535")),
        case("medium", "MEDIUMINT", "integer", *same("-8388608", "-1", "8388607")),
        case("medium_u", "MEDIUMINT UNSIGNED", "integer", *same("8388608", "16777215")),
        case("plain", "INT", "integer", *same("-2147483648", "2147483647")),
        case("plain_u", "INT UNSIGNED", "bigint", *same("0", "2147483648", "4294967295")),
        case("filled", "INT(7) ZEROFILL", "bigint", ("42", "42"), ("0", "0")),
        case("big", "BIGINT", "bigint", *same("-9223372036854775808", "9223372036854775807")),
        case("big_u", "BIGINT UNSIGNED", "numeric(20,0)", *same("9223372036854775808", "18446744073709551615", "0")),
        case("truth", "BOOLEAN", "smallint", ("TRUE", "1"), ("FALSE", "0")),
        case("years", "YEAR", "smallint", *same("0", "1901", "2155", "2024")),
    ),
    "bits": (
        case("one", "BIT(1)", "bit(1)", ("b'0'", "0"), ("b'1'", "1")),
        case("ten", "BIT(10)", "bit(10)", ("b'1000000001'", "1000000001"), ("5", "0000000101")),
        case("all", "BIT(64)", "bit(64)", ("~0", "1" * 64), ("1", "0" * 63 + "1"), ("1 << 63", "1" + "0" * 63)),
    ),
    "decimals": (
        case("money", "DECIMAL(10,2)", "numeric(10,2)", ("-0.00", "0.00"), ("-0.01", "-0.01"), ("12.5", "12.50"),
             ("99999999.99", "99999999.99"), ("-99999999.99", "-99999999.99")),
        case("whole", "DECIMAL(65,0)", "numeric(65,0)", (_NINES, _NINES), ("-" + _NINES, "-" + _NINES), ("0", "0")),
        case("small_part", "DECIMAL(30,30)", "numeric(30,30)", (_TINY, _TINY), ("-" + _TINY, "-" + _TINY)),
        case("half", "DECIMAL(65,30)", "numeric(65,30)", ("9" * 35 + "." + "9" * 30, "9" * 35 + "." + "9" * 30),
             ("-1", "-1." + "0" * 30)),
        case("positive", "DECIMAL(8,3) UNSIGNED", "numeric(8,3)", ("99999.999", "99999.999"), ("0.001", "0.001")),
        case("padded", "DECIMAL(8,3) ZEROFILL", "numeric(8,3)", ("4.5", "4.500")),
    ),
    "floats": (
        case("single", "FLOAT", "real", ("0.1", "0.1"), ("123456.789", "123456.79"), ("16777216", "1.6777216e+07"),
             ("1e-45", "1e-45"), ("3.4028234e38", "3.4028235e+38"), ("-1.5", "-1.5")),
        case("two", "DOUBLE", "double precision", ("0.1", "0.1"), ("1.7976931348623157e308", "1.7976931348623157e+308"),
             ("5e-324", "5e-324"), ("1e22", "1e+22"), ("123456789012345680", "1.2345678901234568e+17")),
        case("wide", "FLOAT(30)", "double precision", ("0.1", "0.1"), ("123456.789", "123456.789")),
        case("shown", "DOUBLE(20,4)", "double precision", ("1234.5678", "1234.5678"), ("0.00006", "0.0001")),
        case("minus_zero", "DOUBLE", "double precision", ("-0e0", "-0"), on=MYSQL),
    ),
    "texts": (
        # CHAR: the server strips trailing spaces when it reads; VARCHAR and TEXT keep them.
        case("fixed", "CHAR(10)", "character varying(10)", ("'abc   '", "abc"), ("''", ""), ("'  x'", "  x")),
        case("varying", "VARCHAR(300)", "character varying(300)",
             *quoted("a  ", "", "NULL", "null", "é漢字😀", "\uffff"),
             ("'\\\\N'", "\\N"), ("'\\\\.'", "\\."), ("'\\r\\n\\t'", "\r\n\t"), ("'\\\\'", "\\"), ("''''", "'"),
             ("'\"'", '"'), ("'{1,2}'", "{1,2}"), ("CHAR(8,11,12,127 USING utf8mb4)", "\b\v\f\x7f")),
        case("full", "VARCHAR(255)", "character varying(255)", ("REPEAT('😀', 255)", "😀" * 255)),
        case("none", "CHAR(0)", "text", ("''", "")),
        case("nothing", "VARCHAR(0)", "text", ("''", "")),
        case("tiny", "TINYTEXT", "text", ("''", ""), ("REPEAT('x', 255)", "x" * 255)),
        case("body", "TEXT", "text", ("'a  '", "a  "), ("REPEAT('é', 30000)", "é" * 30000)),
        case("medium", "MEDIUMTEXT", "text", ("REPEAT('ab', 50000)", "ab" * 50000)),
        case("long", "LONGTEXT", "text", ("REPEAT('漢', 70000)", "漢" * 70000)),
        case("exact", "VARCHAR(20) COLLATE utf8mb4_bin", "character varying(20)", *quoted("A", "a", "a ")),
        case("squeezed", "VARCHAR(2000) COMPRESSED", "character varying(2000)", ("REPEAT('ab', 500)", "ab" * 500),
             ("'x'", "x"), ("''", ""), on=MARIADB),
    ),
    "binaries": (
        # BINARY(n) is padded with 0x00 to n; the binlog leaves the padding away.
        case("fixed", "BINARY(4)", "bytea", ("0x01000000", "\\x01000000"),
             ("''", "\\x00000000"), ("0x20", "\\x20000000")),
        case("uuid", "BINARY(16)", "bytea", ("0x" + "AB" * 15 + "00", "\\x" + "ab" * 15 + "00")),
        case("wide", "BINARY(255)", "bytea", ("0xFF", "\\xff" + "00" * 254)),
        case("varying", "VARBINARY(300)", "bytea", ("''", "\\x"), ("0x0100", "\\x0100"), ("0x5C4E", "\\x5c4e"),
             ("0x61", "\\x61"), ("UNHEX('FFFE00')", "\\xfffe00")),
        case("tiny", "TINYBLOB", "bytea", ("0x00FF", "\\x00ff"), ("''", "\\x")),
        case("body", "BLOB", "bytea", ("REPEAT(0x00, 65535)", "\\x" + "00" * 65535)),
        case("long", "LONGBLOB", "bytea", ("REPEAT(0xAB, 70000)", "\\x" + "ab" * 70000)),
        case("char_binary", "CHAR(3) CHARACTER SET binary", "bytea", ("'a'", "\\x610000")),
        case("squeezed", "BLOB COMPRESSED", "bytea", ("REPEAT(0xAB, 500)", "\\x" + "ab" * 500), on=MARIADB),
    ),
    "labels": (
        case("plain", "ENUM('a','b''c','','d,e','f\\\\g','é')", "text", ("'a'", "a"), ("2", "b'c"), ("3", ""),
             ("'d,e'", "d,e"), ("5", "f\\g"), ("'é'", "é")),
        case("wrong", "ENUM('a','b')", "text", ("0", ""), ("'b'", "b")),
        case("many", "ENUM(" + ",".join(f"'m{n}'" for n in range(1, 301)) + ")", "text",
             ("'m300'", "m300"), ("1", "m1")),
        case("old", "ENUM('café','x') CHARACTER SET latin1", "text", ("'café'", "café")),
        case("long", f"ENUM('{'L' * 200}')", "text", ("1", "L" * 200)),
        case("some", "SET('a','b\"c','d\\\\e','{}','NULL',' f')", "text[]", ("''", "{}"), ("'{},a'", '{a,"{}"}'),
             ("6", '{"b\\"c","d\\\\e"}'), ("'NULL'", '{"NULL"}'), ("' f'", '{" f"}')),
        case("every", "SET(" + ",".join(f"'s{n}'" for n in range(64)) + ")", "text[]",
             ("9223372036854775809", "{s0,s63}"), ("~0", "{" + ",".join(f"s{n}" for n in range(64)) + "}")),
    ),
    "dates": (
        case("days", "DATE", "date", *quoted("1000-01-01", "9999-12-31", "0001-01-01", "2024-02-29"),
             ("'0000-00-00'", "-infinity")),
        case("moments", "DATETIME", "timestamp(0) without time zone",
             *quoted("2024-03-31 02:30:00", "9999-12-31 23:59:59", "1000-01-01 00:00:00"),
             ("'0000-00-00 00:00:00'", "-infinity")),
        case("finer", "DATETIME(6)", "timestamp(6) without time zone", ("'2024-01-01 00:00:00.000001'",
             "2024-01-01 00:00:00.000001"), ("'2024-01-01 12:00:00.100000'", "2024-01-01 12:00:00.1")),
        case("thousandths", "DATETIME(3)", "timestamp(3) without time zone", ("'9999-12-31 23:59:59.999'",
             "9999-12-31 23:59:59.999")),
        # The session that inserts has time_zone +00:00, and so has the one that reads the store.
        case("stamps", "TIMESTAMP NULL", "timestamp(0) with time zone",
             ("'1970-01-01 00:00:01'", "1970-01-01 00:00:01+00"), ("'2038-01-19 03:14:07'", "2038-01-19 03:14:07+00"),
             ("'2024-10-27 00:30:00'", "2024-10-27 00:30:00+00"), ("'2024-10-27 01:30:00'", "2024-10-27 01:30:00+00"),
             ("'0000-00-00 00:00:00'", "-infinity")),
        case("fine_stamps", "TIMESTAMP(6) NULL", "timestamp(6) with time zone",
             ("'2038-01-19 03:14:07.999999'", "2038-01-19 03:14:07.999999+00"), ("'0000-00-00 00:00:00'", "-infinity")),
        case("spans", "TIME", "interval(0)", ("'838:59:59'", "838:59:59"), ("'-838:59:59'", "-838:59:59"),
             ("'00:00:00'", "00:00:00"), ("'100:00:00'", "100:00:00")),
        case("fine_spans", "TIME(6)", "interval(6)", ("'-00:00:00.000001'", "-00:00:00.000001"),
             ("'-12:34:56.789123'", "-12:34:56.789123"), ("'00:00:00.5'", "00:00:00.5")),
        case("tenths", "TIME(1)", "interval(1)", ("'-00:00:00.1'", "-00:00:00.1")),
    ),
    "json": (
        # jsonb sorts keys by length and then by bytes, and keeps the digits of numbers.
        case("document", "JSON", "jsonb", ("'null'", "null"), ("'{\"bb\": 1, \"a\": [1, true, null]}'",
             '{"a": [1, true, null], "bb": 1}'), ("'{\"a\": 1, \"a\": 2}'", '{"a": 2}'), ("'{}'", "{}"), ("'[]'", "[]"),
             ("'\"\"'", '""'), ("'\"é😀\\\\n\"'", '"é😀\\n"'), ("'18446744073709551615'", "18446744073709551615"),
             ("'-9223372036854775808'", "-9223372036854775808"), ("'0.1'", "0.1"), ("CAST(1.50 AS JSON)", "1.50"),
             ("CAST(CAST('2024-01-02' AS DATE) AS JSON)", '"2024-01-02"'),
             ("CAST(CAST('-100:00:00.5' AS TIME(1)) AS JSON)", '"-100:00:00.500000"'),
             ("CAST(0x00FF10 AS JSON)", '"base64:type15:AP8Q"'), on=("mysql-9.7",)),
        # MariaDB stores the text as it was given, and so does PostgreSQL's json.
        case("text", "JSON", "json", ("'{\"b\": 1,  \"a\":2, \"b\":3}'", '{"b": 1,  "a":2, "b":3}'), ("'null'", "null"),
             ("'[1.10, 123456789012345678901234567890]'", "[1.10, 123456789012345678901234567890]"),
             ("'\"\\\\u0000\"'", '"\\u0000"'), on=MARIADB),
    ),
    "places": (
        # The server's own bytes: SRID, then WKB, little-endian (MySQL's manual, "Internal Geometry Storage Format").
        case("point", "POINT", "bytea",
             ("ST_GeomFromText('POINT(1 2)')", "\\x000000000101000000000000000000f03f0000000000000040")),
        case("line", "GEOMETRY", "bytea", ("ST_GeomFromText('LINESTRING(0 0,1 1)', 0)",
             "\\x00000000010200000002000000" + "00" * 16 + "000000000000f03f" * 2)),
        case("several", "MULTIPOINT", "bytea", ("ST_GeomFromText('MULTIPOINT(1 1)')",
             "\\x000000000104000000010000000101000000" + "000000000000f03f" * 2)),
    ),
    "addresses": (
        case("own", "UUID", "uuid",
             *quoted("f81d4fae-7dec-11d0-a765-00a0c91e6b00", "00000000-0000-0000-0000-000000000000"),
             on=MARIADB),
        case("four", "INET4", "inet", *quoted("1.2.3.0", "0.0.0.0", "255.255.255.255"), on=MARIADB),
        case("six", "INET6", "inet", *quoted("::", "2001:db8::1", "::ffff:1.2.3.4", "::1"), on=MARIADB),
    ),
    "vectors": (
        case("five", "VECTOR(5)", "real[]", ("STRING_TO_VECTOR('[1, 2.5, -0.0]')", "{1,2.5,-0}"),
             ("STRING_TO_VECTOR('[0.1]')", "{0.1}"), on=("mysql-9.7",)),
    ),
}  # fmt: skip
"""Every column of a family is one table's; row n has the n-th value of each column, and NULL where there is none."""

CHARSETS: dict[str, tuple[tuple[str, str], ...]] = {
    # Character set → (bytes in hex, characters). 0xFC of cp866 is the older table's: so have it all three servers.
    "armscii8": (("41", "A"), ("B2B3", "Աա"), ("FC", "Ֆ")),
    "ascii": (("417E", "A~"),),
    "big5": (("A440A4E5", "一文"), ("A55C", "功"), ("41", "A")),
    "cp1250": (("8A9A8E9E", "ŠšŽž"), ("D8F8", "Řř")),
    "cp1251": (("CFF0E8E2E5F2", "Привет"), ("A8B8", "Ёё"), ("88", "€")),
    "cp1256": (("C7C8", "اب"), ("81", "پ"), ("80", "€")),
    "cp1257": (("C0E0", "Ąą"), ("D0F0", "Šš"), ("80", "€")),
    "cp850": (("8182", "üé"), ("E1", "ß"), ("D5", "ı")),
    "cp852": (("A5A4", "ąĄ"), ("E7E6", "šŠ")),
    "cp866": (("8FE0A8A2A5E2", "Привет"), ("F0F1", "Ёё"), ("FC", "ⁿ")),
    "cp932": (("8160", "～"), ("835C", "ソ"), ("8740", "①"), ("B1", "ｱ")),
    "dec8": (("C4E4", "Ää"), ("D7F7", "Œœ"), ("A8", "¤")),
    "eucjpms": (("B4C1BBFA", "漢字"), ("ADA1", "①"), ("8EB1", "ｱ")),
    "euckr": (("B0A1", "가"), ("C7D1B1DB", "한글")),
    "gb18030": (("BABAD7D6", "汉字"), ("94 39 FC 36".replace(" ", ""), "😀"), ("81308130", "\x80")),
    "gb2312": (("BABAD7D6", "汉字"), ("A1A1", "\u3000")),
    "gbk": (("BABAD7D6", "汉字"), ("C2A2", "垄"), ("815C", "乗")),
    "geostd8": (("C0C1", "აბ"), ("41", "A")),
    "greek": (("C1E1", "Αα"), ("D9F9", "Ωω")),
    "hebrew": (("E0FA", "את"), ("AA", "×")),
    "hp8": (("D8CC", "Ää"), ("DE", "ß")),
    "keybcs2": (("8087", "Čč"), ("A8", "š")),
    "koi8r": (("F0D2C9D7C5D4", "Привет"), ("B3A3", "Ёё")),
    "koi8u": (("B4A4", "Єє"), ("B6A6", "Іі"), ("BDAD", "Ґґ")),
    "latin1": (("E9FF", "éÿ"), ("80", "€"), ("81", "\x81"), ("8D8F909D", "\x8d\x8f\x90\x9d"), ("9C", "œ")),
    "latin2": (("A1B1", "Ąą"), ("D8F8", "Řř")),
    "latin5": (("DDFD", "İı"), ("D0F0", "Ğğ")),
    "latin7": (("C0E0", "Ąą"), ("D0F0", "Šš")),
    "macce": (("848E", "Ąé"), ("DB", "Ř")),
    "macroman": (("8E8A", "éä"), ("A5", "•")),
    "sjis": (("8160", "〜"), ("835C", "ソ"), ("B1", "ｱ")),
    "swe7": (("5B5C5D", "ÄÖÅ"), ("7B7C7D", "äöå")),
    "tis620": (("A1D2", "กา"), ("E2", "โ")),
    "ucs2": (("006100E9", "aé"), ("6F225B57", "漢字")),
    "ujis": (("B4C1BBFA", "漢字"), ("8EB1", "ｱ")),
    "utf16": (("D83DDE000061", "😀a"), ("00E9", "é")),
    "utf16le": (("3DD800DE6100", "😀a"), ("E900", "é")),
    "utf32": (("0001F600", "😀"), ("00000061", "a")),
    "utf8": (("C3A9E6BCA2", "é漢"), ("EFBFBD", "\ufffd")),
    "utf8mb4": (("F09F9880", "😀"), ("C3A9", "é"), ("EFBFBF", "\uffff")),
}

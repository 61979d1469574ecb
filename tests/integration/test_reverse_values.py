"""Values of every type go from the store into the source and are what the source had; shapes that plans can have."""

from __future__ import annotations

from typing import Any

import pytest

from servers import Engine
from servers.flavour import MYSQL_5_6
from sync.reverse_state import ReverseMode
from tests.support.reversing import Reversing, reversing
from tests.support.servers import SourceDatabase, StoreDatabase
from transforms.reverse import Reversibility

COMMON = {
    "ti": ("TINYINT", "-128, 127, 0"),
    "tu": ("TINYINT UNSIGNED", "255, 0, 1"),
    "flag": ("TINYINT(1)", "1, 0, 1"),
    "si": ("SMALLINT", "-32768, 32767, 0"),
    "mi": ("MEDIUMINT UNSIGNED ZEROFILL", "16777215, 0, 42"),
    "i": ("INT", "-2147483648, 2147483647, 0"),
    "iu": ("INT UNSIGNED", "4294967295, 0, 7"),
    "b": ("BIGINT", "-9223372036854775808, 9223372036854775807, 0"),
    "bu": ("BIGINT UNSIGNED", "18446744073709551615, 9223372036854775808, 0"),
    "y": ("YEAR", "0, 1901, 2155"),
    "d": ("DECIMAL(12,2)", "-9999999999.99, 0, 12.50"),
    "dd": (
        "DECIMAL(65,30)",
        "99999999999999999999999999999999999.999999999999999999999999999999, -0.000000000000000000000000000001, 0",
    ),
    "f": ("FLOAT", "0.1, -3.4e38, 16777216"),
    "db": ("DOUBLE", "0.1, -1.7976931348623157e308, 1e22"),
    "b1": ("BIT(1)", "b'1', b'0', b'1'"),
    "b13": ("BIT(13)", "b'1010101010101', 0, 8191"),
    "b64": ("BIT(64)", "18446744073709551615, 0, 1"),
    "c": ("CHAR(10) CHARACTER SET utf8mb4", "'abc   ', 'ß😀', ''"),
    "vc": ("VARCHAR(30) CHARACTER SET utf8mb4", "'tail  ', 'q\\'\\\\\\n\\t', 'NULL'"),
    "l1": ("VARCHAR(30) CHARACTER SET latin1", "'€äÿ', 'plain', ''"),
    "sj": ("VARCHAR(30) CHARACTER SET sjis", "'表示', 'abc', ''"),
    "tx": ("MEDIUMTEXT CHARACTER SET utf8", "REPEAT('é', 20000), '', '{\"a\"}'"),
    "bn": ("BINARY(16)", "x'00112233445566778899AABBCCDDEE00', x'01', x''"),
    "vb": ("VARBINARY(20)", "x'00FF5C27', x'', 'text'"),
    "bl": ("BLOB", "x'000102', REPEAT(x'FE', 9000), ''"),
    "e": ("ENUM('a','B b','c''c','d\\\\d')", "'a', 'c\\'c', 'd\\\\d'"),
    "s": ("SET('x','y z','q\"q','w\\\\w')", "'x,w\\\\w', '', 'q\"q,y z'"),
    "dt": ("DATE", "'0000-00-00', '9999-12-31', '1000-01-01'"),
    "ts": ("TIMESTAMP NULL", "'2038-01-19 03:14:07', '0000-00-00 00:00:00', '1970-01-01 00:00:01'"),
    "ts6": ("TIMESTAMP(6) NULL", "'2024-10-27 01:30:00.123456', '2024-03-31 01:30:00.5', '0000-00-00 00:00:00'"),
    "dm": ("DATETIME", "'0000-00-00 00:00:00', '9999-12-31 23:59:59', '2024-03-31 02:30:00'"),
    "dm6": ("DATETIME(6)", "'2024-02-29 12:00:00.000001', '1000-01-01 00:00:00.9', '2024-01-01'"),
    "t": ("TIME", "'838:59:59', '-838:59:59', '00:00:00'"),
    "t6": ("TIME(6)", "'-00:00:00.000001', '12:34:56.789', '100:00:00.5'"),
    "g": ("GEOMETRY", "{geometry}"),
}
MYSQL_JSON = {
    "j": (
        "JSON",
        """'null', '{"b": [1, -0.25, "x\\\\\\\\y", {"é": true}], "a": null}', '[1e20, 18446744073709551615]'""",
    )
}
MARIADB_ONLY = {
    "mj": ("JSON", """'{"b":1,  "a":2}', '[]', '{"q":"it\\'s"}'"""),
    "uu": ("UUID", "'00112233-4455-6677-8899-aabbccddee00', '00000000-0000-0000-0000-000000000000', UUID()"),
    "i4": ("INET4", "'1.2.3.0', '0.0.0.0', '255.255.255.255'"),
    "i6": ("INET6", "'2001:db8::1:0:0', '::', '::ffff:1.2.3.4'"),
}


def typed_table(source_db: SourceDatabase) -> list[str]:
    """Statements that make and fill a table of every type that the server has; row 4 is all NULL."""
    columns = dict(COMMON)
    flavour = source_db.server.flavour
    if flavour.engine is Engine.MARIADB:
        columns |= MARIADB_ONLY
    elif flavour is not MYSQL_5_6:
        columns |= MYSQL_JSON | {"v": ("VECTOR(3)", "{vector}")}
    geometry = "GeomFromText" if flavour is MYSQL_5_6 else "ST_GeomFromText"
    texts = ("POINT(1 2)", "LINESTRING(0 0, 1 1, 2 0.5)", "POLYGON((0 0, 0 1, 1 1, 0 0))")
    places = {
        "{geometry}": [f"{geometry}('{text}', {srid})" for srid, text in zip((0, 3857, 0), texts, strict=True)],
        "{vector}": [f"STRING_TO_VECTOR('{text}')" for text in ("[1,2.5,-0.1]", "[0,0,0]", "[1e-30,3,4]")],
    }
    declared = ", ".join(f"`{name}` {kind} {'' if 'NULL' in kind else 'NULL'}" for name, (kind, _) in columns.items())
    statements = [
        "SET SESSION sql_mode = 'ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO'",
        "SET SESSION time_zone = '+00:00'",
        f"CREATE TABLE typed (id INT NOT NULL PRIMARY KEY, {declared}) ENGINE=InnoDB ROW_FORMAT=DYNAMIC",
        "INSERT INTO typed (id) VALUES (1), (2), (3), (4)",
    ]
    for name, (_, values) in columns.items():
        for number in range(3):
            value = places[values][number] if values in places else _literals(values)[number]
            statements.append(f"UPDATE typed SET `{name}` = {value} WHERE id = {number + 1}")
    return statements


def _literals(values: str) -> list[str]:
    """Three SQL expressions separated by commas outside of quotes and parentheses."""
    parts, depth, quote, current, at = [], 0, "", "", 0
    while at < len(values):
        character = values[at]
        if quote:
            current += character
            if character == "\\":
                at += 1
                current += values[at]
            elif character == quote:
                quote = ""
        elif character == "," and depth == 0:
            parts.append(current.strip())
            current = ""
        else:
            quote = character if character == "'" else ""
            depth += {"(": 1, ")": -1}.get(character, 0)
            current += character
        at += 1
    return [*parts, current.strip()]


def one_session(source_db: SourceDatabase, statements: list[str]) -> None:
    """Run statements in one session."""
    connection = source_db.connect()
    try:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
    finally:
        connection.close()


@pytest.fixture
def typed(source_db: SourceDatabase, store_db: StoreDatabase) -> Any:
    """A table of every type on both sides."""
    one_session(source_db, typed_table(source_db))
    with reversing(source_db, store_db) as bed:
        yield bed


def test_every_type_there_and_back(typed: Reversing) -> None:
    (plan,) = typed.plans
    assert typed.backs[0].way is Reversibility.EXACT, typed.backs[0].verdicts
    seed = typed.source_rows(plan)
    stream = typed.start()
    with typed.store() as connection, connection.transaction():
        connection.execute("CREATE TEMPORARY TABLE aside ON COMMIT DROP AS SELECT * FROM typed")
        connection.execute("DELETE FROM typed")
        connection.execute("INSERT INTO typed SELECT * FROM aside")
    typed.drain(stream)
    assert stream.state.rows == 8
    assert sorted(typed.source_rows(plan), key=str) == sorted(seed, key=str)
    typed.assert_equal()


def test_every_type_changed_column_by_column(typed: Reversing) -> None:
    """Each value is replaced by the next row's, so every type is written by UPDATE and compared as an old value."""
    (plan,) = typed.plans
    stream = typed.start()
    for column in plan.columns:
        if column.target.name == "id":
            continue
        name = f'"{column.target.name}"'
        typed.store_db.execute(
            f"UPDATE typed AS a SET {name} = b.{name} FROM typed AS b WHERE b.id = a.id % 4 + 1",
        )
    typed.drain(stream)
    typed.assert_equal()
    typed.store_db.execute("DELETE FROM typed")
    typed.drain(stream)
    assert typed.source_rows(plan) == []


SHAPES = (
    """CREATE TABLE people (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, first VARCHAR(20) NOT NULL, secret VARCHAR(20)
    NOT NULL DEFAULT 'none', state CHAR(1) NOT NULL, cents INT NOT NULL, active TINYINT(1) NOT NULL,
    gone DATE NOT NULL, must VARCHAR(5) NOT NULL, stamp TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
    ON UPDATE CURRENT_TIMESTAMP, retired INT NOT NULL DEFAULT 0) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4""",
    """INSERT INTO people (first, secret, state, cents, active, gone, must, stamp, retired) VALUES
    ('Ann', 's1', 'N', 150, 1, '2020-01-01', 'x', '2020-01-01', 0),
    ('Bob', 's2', 'P', 20, 0, '2020-01-02', 'y', '2020-01-01', 0),
    ('Old', 's3', 'P', 20, 0, '2020-01-02', 'z', '2020-01-01', 1)""",
)
RULES = {
    "tables": {
        "people": {
            "table": "persons",
            "rename": {"first": "first_name"},
            "exclude": ["secret", "must", "stamp", "retired", "cents"],
            "types": {"active": "boolean"},
            "map": {"state": {"N": "new", "P": "paid"}},
            "add": {"origin": {"value": "legacy", "type": "text"}},
            "expr": {
                "tens": {"sql": "CAST(cents * 10 AS SIGNED)", "type": "bigint", "reverse": "cents = tens * 0.1"},
                "shout": {"sql": "UPPER(first)", "type": "text"},
            },
            "where": "retired = 0",
        }
    }
}


def test_shapes_of_plans(source_db: SourceDatabase, store_db: StoreDatabase) -> None:
    """Renamed, mapped, cast, computed and excluded columns, and rows outside of the filter."""
    with reversing(source_db, store_db, *SHAPES, **RULES) as bed:
        verdicts = {verdict.column: verdict.way for verdict in bed.backs[0].verdicts}
        assert verdicts["state"] is verdicts["active"] is verdicts["cents"] is Reversibility.EXACT
        assert verdicts["secret"] is verdicts["stamp"] is Reversibility.EXACT_WITH_KEPT_VALUE
        assert verdicts["must"] is Reversibility.LOSSY
        stream = bed.start()
        bed.store_db.execute(
            "UPDATE persons SET first_name = 'Anna', state = 'paid', active = false, tens = 1230 WHERE id = 1",
            "INSERT INTO persons (id, first_name, state, tens, active, gone, origin) VALUES"
            " (9, 'Eve', 'new', 70, true, '-infinity', 'pg')",
            "DELETE FROM persons WHERE id = 2",
        )
        bed.drain(stream)
        rows = bed.source_db.rows(
            "SELECT id, first, secret, state, cents, active, CAST(gone AS CHAR), must, retired,"
            " stamp = '2020-01-01' FROM people ORDER BY id"
        )
        assert rows == [
            (1, "Anna", "s1", "P", 123, 0, "2020-01-01", "x", 0, 1),
            (3, "Old", "s3", "P", 20, 0, "2020-01-02", "z", 1, 1),
            (9, "Eve", "none", "N", 7, 1, "0000-00-00", "", 0, 0),
        ]
        bed.store_db.execute("UPDATE persons SET state = 'unheard' WHERE id = 9")
        assert "value map" in bed.wait_halted(stream)


def test_rows_outside_of_the_filter_are_never_touched(source_db: SourceDatabase, store_db: StoreDatabase) -> None:
    with reversing(source_db, store_db, *SHAPES, **RULES) as bed:
        stream = bed.start()
        bed.store_db.execute("TRUNCATE persons")
        bed.drain(stream)
        assert bed.source_db.rows("SELECT id FROM people") == [(3,)]
        bed.store_db.execute(
            "INSERT INTO persons (id, first_name, state, tens, active, gone, origin) VALUES"
            " (3, 'Old', 'paid', 200, false, '2020-01-02', 'pg')"
        )
        assert "3" in bed.wait_halted(stream)
        assert bed.source_db.rows("SELECT id, secret FROM people") == [(3, "s3")]


def test_a_table_without_a_key(source_db: SourceDatabase, store_db: StoreDatabase) -> None:
    with reversing(
        source_db,
        store_db,
        "CREATE TABLE log (word VARCHAR(9), n INT) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4",
        "INSERT INTO log VALUES ('a', 1), ('a', 1), ('A', 1), (NULL, 2)",
    ) as bed:
        stream = bed.start()
        bed.store_db.execute(
            "DELETE FROM log WHERE ctid = (SELECT min(ctid) FROM log WHERE word = 'a')",
            "UPDATE log SET n = 3 WHERE word IS NULL",
            "UPDATE log SET n = 9 WHERE word = 'A'",
            "INSERT INTO log VALUES ('z', NULL)",
        )
        bed.drain(stream)
        bed.assert_equal()
        assert stream.state.mode is ReverseMode.STREAMING


def test_one_source_row_made_of_two_tables(source_db: SourceDatabase, store_db: StoreDatabase) -> None:
    """Two plans share the rows: the first INSERT makes it, the second completes it; the first DELETE takes it away."""
    rules = {
        "tables": {
            "both": {
                "to": [
                    {"table": "left_half", "only": ["id", "a"]},
                    {"table": "right_half", "only": ["id", "b"]},
                ]
            }
        }
    }
    with reversing(
        source_db,
        store_db,
        "CREATE TABLE `both` (id INT NOT NULL PRIMARY KEY, a VARCHAR(9) NOT NULL, b INT NOT NULL) ENGINE=InnoDB",
        "INSERT INTO `both` VALUES (1, 'one', 1), (2, 'two', 2)",
        **rules,
    ) as bed:
        stream = bed.start()
        bed.store_db.execute(
            "INSERT INTO left_half VALUES (3, 'three')",
            "INSERT INTO right_half VALUES (3, 33)",
            "UPDATE right_half SET b = 11 WHERE id = 1",
            "DELETE FROM left_half WHERE id = 2",
            "DELETE FROM right_half WHERE id = 2",
        )
        bed.drain(stream)
        assert bed.source_db.rows("SELECT * FROM `both` ORDER BY id") == [(1, "one", 11), (3, "three", 33)]
        assert stream.state.error is None


def test_what_cascades_in_the_store_arrives_as_rows(source_db: SourceDatabase, store_db: StoreDatabase) -> None:
    """The source's own cascades stay off: the store's rows say everything, children after their parents."""
    with reversing(
        source_db,
        store_db,
        "CREATE TABLE parents (id INT NOT NULL PRIMARY KEY) ENGINE=InnoDB",
        """CREATE TABLE children (id INT NOT NULL PRIMARY KEY, parent INT NULL, keeper INT NULL,
        FOREIGN KEY (parent) REFERENCES parents (id) ON DELETE CASCADE ON UPDATE CASCADE,
        FOREIGN KEY (keeper) REFERENCES parents (id) ON DELETE SET NULL) ENGINE=InnoDB""",
        "INSERT INTO parents VALUES (1), (2), (3)",
        "INSERT INTO children VALUES (10, 1, NULL), (11, 2, 1), (12, 3, NULL)",
    ) as bed:
        stream = bed.start()
        bed.store_db.execute("DELETE FROM parents WHERE id = 1", "UPDATE parents SET id = 30 WHERE id = 3")
        bed.drain(stream)
        bed.assert_equal()
        assert bed.source_db.rows("SELECT * FROM children ORDER BY id") == [(11, 2, None), (12, 30, None)]

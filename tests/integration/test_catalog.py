"""The catalogue reader against the real servers: a schema full of warts, expectations written by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from config.settings import SourceSettings
from model.errors import AccessDenied
from model.tables import (
    CheckDef,
    ColumnDef,
    DefaultKind,
    ForeignKeyDef,
    IndexDef,
    IndexPart,
    TableDef,
    TableId,
)
from stores.mysql import ServerInfo, connect_source, probe
from sync.mysql.catalog import read_catalog, read_tables
from tests.support.servers import SourceDatabase, source_database

COMMON = r"""
CREATE TABLE numbers (
  id int unsigned NOT NULL AUTO_INCREMENT, t1 tinyint(1) NOT NULL DEFAULT '0', tu tinyint unsigned,
  b bigint unsigned NOT NULL DEFAULT 18446744073709551615, z int(5) unsigned zerofill,
  d decimal(65,30) DEFAULT '-1.5', f float DEFAULT '1.5', dd double(10,3), bits bit(5) DEFAULT b'101', y year NOT NULL,
  PRIMARY KEY (id), UNIQUE KEY u_tu (tu, t1)
) ENGINE=InnoDB DEFAULT CHARSET=latin1 COMMENT='a ''quoted'' comment' AUTO_INCREMENT=42;
CREATE TABLE words (
  a varchar(10) DEFAULT 'NULL', b varchar(10) DEFAULT NULL, c varchar(10),
  d varchar(30) NOT NULL DEFAULT 'CURRENT_TIMESTAMP',
  e char(3) NOT NULL DEFAULT '',
  f varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT 'it''s \\ \n"x"',
  g text, h varbinary(8) DEFAULT 0x61, i binary(4) NOT NULL DEFAULT 'ab', j varchar(5) NOT NULL,
  k varchar(9) DEFAULT 'ü€',
  l varbinary(4) DEFAULT 0xff00, m varchar(5) CHARACTER SET utf8 DEFAULT '0x61',
  KEY k_pre (g(10), a), KEY k_c (c) COMMENT 'why', FULLTEXT KEY ft (g)
) ENGINE=MyISAM DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
CREATE TABLE labels (
  id int PRIMARY KEY,
  e enum('a','it''s','x,y','back\\slash','','ü','(par)','a\nb') CHARACTER SET utf8 NOT NULL DEFAULT 'ü',
  s set('r','g b','b''q') DEFAULT 'r,g b'
) DEFAULT CHARSET=latin1;
CREATE TABLE times (
  id int PRIMARY KEY, a timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  b datetime(6) DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6), c datetime DEFAULT '2001-02-03 04:05:06',
  d date NOT NULL DEFAULT '0000-00-00', e time(3), f timestamp(3) NULL DEFAULT NULL,
  g timestamp NOT NULL DEFAULT '0000-00-00 00:00:00', h datetime NULL
);
CREATE TABLE parent (a int NOT NULL, b varchar(20) NOT NULL, c int, PRIMARY KEY (b, a), KEY (c));
CREATE TABLE child (
  id bigint NOT NULL, pa int, pb varchar(20), self bigint, PRIMARY KEY (id),
  CONSTRAINT `fk "odd" näme` FOREIGN KEY (pb, pa) REFERENCES parent (b, a) ON DELETE CASCADE ON UPDATE SET NULL,
  CONSTRAINT fk_self FOREIGN KEY (self) REFERENCES child (id) ON DELETE SET NULL ON UPDATE NO ACTION
);
CREATE TABLE `odd "na.me` (`col``umn` int NOT NULL COMMENT 'ünï', `sel ect` int, UNIQUE KEY `u k` (`col``umn`));
CREATE TABLE parts (id int NOT NULL, y int NOT NULL, PRIMARY KEY (id, y)) PARTITION BY RANGE (y)
  (PARTITION p0 VALUES LESS THAN (2000), PARTITION p1 VALUES LESS THAN MAXVALUE);
CREATE TABLE shapes (id int PRIMARY KEY, g geometry NOT NULL, p point) ENGINE=MyISAM;
CREATE SPATIAL INDEX sp ON shapes (g);
CREATE TABLE keyless (a int, b int, UNIQUE KEY (a));
CREATE TABLE heap (a int, KEY USING HASH (a)) ENGINE=MEMORY;
CREATE VIEW seen AS SELECT id, e FROM labels;
CREATE TRIGGER tr_b BEFORE INSERT ON labels FOR EACH ROW SET NEW.s = 'r';
CREATE TRIGGER tr_a AFTER UPDATE ON labels FOR EACH ROW SET @x = 1;
CREATE TABLE Mixed (a int PRIMARY KEY);
CREATE TABLE mixed (b int PRIMARY KEY)
"""

MYSQL_97 = r"""
CREATE TABLE modern (
  id int PRIMARY KEY, j json DEFAULT (json_array(1,2)), u char(36) DEFAULT (uuid()),
  v int GENERATED ALWAYS AS (id + 1) VIRTUAL, s varchar(50) GENERATED ALWAYS AS (concat(u, _utf8mb4'-', 'x''y')) STORED,
  hid int INVISIBLE DEFAULT 7, d datetime DEFAULT (now() + interval 1 day), n datetime DEFAULT (now()),
  t text DEFAULT ('it''s'), p point NOT NULL SRID 4326, vec vector(3),
  CONSTRAINT ck CHECK (id > 0), CONSTRAINT ck_off CHECK (u <> 'x''y') NOT ENFORCED,
  KEY k_desc (id DESC, u), KEY k_fn ((lower(u)), id), KEY k_inv (u) INVISIBLE,
  KEY k_mv ((CAST(j->'$[*]' AS UNSIGNED ARRAY))), SPATIAL KEY (p)
) DEFAULT CHARSET=latin1;
SET sql_generate_invisible_primary_key=ON;
CREATE TABLE gipk (a int);
SET sql_generate_invisible_primary_key=OFF;
SET SESSION show_gipk_in_create_table_and_information_schema=OFF
"""

MARIADB = r"""
CREATE TABLE modern (
  id int PRIMARY KEY, j json DEFAULT '[1,2]', u char(36) DEFAULT (uuid()), v int GENERATED ALWAYS AS (id + 1) VIRTUAL,
  s int GENERATED ALWAYS AS (id * 2) PERSISTENT, hid int INVISIBLE DEFAULT 7,
  d datetime DEFAULT (now() + interval 1 day), i int DEFAULT (1+1), t text DEFAULT 'now()', uu uuid DEFAULT uuid(),
  ip inet6, comp text COMPRESSED, chk int CHECK (chk > 3), lt longtext, CONSTRAINT ck CHECK (id > 0),
  CONSTRAINT jv2 CHECK (json_valid(lt) and id > 1), KEY k_desc (id DESC, u), KEY k_ign (u) IGNORED
) DEFAULT CHARSET=latin1;
CREATE TABLE ver (id int PRIMARY KEY, x int) WITH SYSTEM VERSIONING;
CREATE TABLE ver2 (
  id int PRIMARY KEY, x int, rs timestamp(6) GENERATED ALWAYS AS ROW START, re timestamp(6) GENERATED ALWAYS AS ROW END,
  PERIOD FOR SYSTEM_TIME(rs, re)
) WITH SYSTEM VERSIONING;
CREATE SEQUENCE seq START WITH 5;
CREATE TABLE seqdef (id int PRIMARY KEY DEFAULT (next value for seq), g geometry REF_SYSTEM_ID=4326)
"""

NULL, LITERAL, NOW, EXPRESSION = DefaultKind.NULL, DefaultKind.LITERAL, DefaultKind.NOW, DefaultKind.EXPRESSION


class Source:
    """A server with the schema, and what was read from it."""

    def __init__(self, flavour: str, database: SourceDatabase) -> None:
        self.flavour = flavour
        self.database = database
        server = database.server
        self.settings = SourceSettings.model_validate(
            {
                "engine": "mariadb" if flavour == "mariadb" else "mysql",
                "host": server.host,
                "port": server.port,
                "user": server.user,
                "password": server.password,
                "databases": [database.database],
            }
        )
        extra = {"mysql97": MYSQL_97, "mariadb": MARIADB}.get(flavour, "")
        connection = connect_source(self.settings, database=database.database)
        with connection.cursor() as cursor:
            cursor.execute("SET sql_mode = ''")
            for statement in filter(str.strip, (COMMON + (";" + extra if extra else "")).split(";\n")):
                cursor.execute(statement.strip(";\n "))
        connection.close()
        self.tables = self.read()

    def read(self, **variables: str) -> dict[TableId, TableDef]:
        connection = connect_source(self.settings)
        try:
            with connection.cursor() as cursor:
                for name, value in variables.items():
                    cursor.execute(f"SET SESSION {name} = %s", (value,))
            return read_catalog(connection, self.info(connection), self.settings.databases)
        finally:
            connection.close()

    @staticmethod
    def info(connection: Any) -> ServerInfo:
        return probe(connection)

    def table(self, name: str) -> TableDef:
        return self.tables[TableId(self.database.database, name)]

    def column(self, table: str, name: str) -> ColumnDef:
        return self.table(table).column(name)


@pytest.fixture(scope="module", params=["mysql56", "mysql97", "mariadb"])
def source_of(request: pytest.FixtureRequest) -> Iterator[Source]:
    server = request.getfixturevalue(request.param)
    with source_database(server) as database:
        yield Source(request.param, database)


@pytest.fixture(scope="module")
def modern(source_of: Source) -> Source:
    if source_of.flavour == "mysql56":
        pytest.skip("MySQL 5.6 has none of this")
    return source_of


def only(source: Source, flavour: str) -> None:
    if source.flavour != flavour:
        pytest.skip(f"for {flavour}")


def parts(*names: str, **prefixes: int) -> tuple[IndexPart, ...]:
    return tuple(IndexPart(name, prefixes.get(name)) for name in names)


def test_numbers(source_of: Source) -> None:
    table = source_of.table("numbers")
    assert table.primary_key == ("id",)
    assert table.indexes == (IndexDef("u_tu", parts("tu", "t1"), unique=True),)
    assert table.comment == "a 'quoted' comment"
    assert table.auto_increment == 42
    assert table.engine == "InnoDB"
    got = {
        c.name: (c.type, c.unsigned, c.nullable, c.length, c.precision, c.scale, c.default_kind, c.default)
        for c in table.columns
    }
    assert got == {
        "id": ("int", True, False, None, None, None, DefaultKind.NONE, None),
        "t1": ("tinyint", False, False, 1, None, None, LITERAL, "0"),
        "tu": ("tinyint", True, True, None, None, None, NULL, None),
        "b": ("bigint", True, False, None, None, None, LITERAL, "18446744073709551615"),
        "z": ("int", True, True, None, None, None, NULL, None),
        "d": ("decimal", False, True, None, 65, 30, LITERAL, "-1." + "5".ljust(30, "0")),
        "f": ("float", False, True, None, None, None, LITERAL, "1.5"),
        "dd": ("double", False, True, None, 10, 3, NULL, None),
        "bits": ("bit", False, True, 5, None, None, LITERAL, "b'101'"),
        "y": ("year", False, False, None, None, None, DefaultKind.NONE, None),
    }
    assert source_of.column("numbers", "id").auto_increment
    assert not source_of.column("numbers", "tu").auto_increment
    assert source_of.column("numbers", "z").column_type.endswith("unsigned zerofill")


def test_texts_and_their_defaults(source_of: Source) -> None:
    table = source_of.table("words")
    assert (table.engine, table.collation, table.primary_key) == ("MyISAM", "utf8mb4_general_ci", ())
    assert {c.name: (c.default_kind, c.default) for c in table.columns} == {
        "a": (LITERAL, "NULL"),
        "b": (NULL, None),
        "c": (NULL, None),
        "d": (LITERAL, "CURRENT_TIMESTAMP"),
        "e": (LITERAL, ""),
        "f": (LITERAL, 'it\'s \\ \n"x"'),
        "g": (NULL, None),
        "h": (LITERAL, "0x61"),
        "i": (LITERAL, "0x61620000"),
        "j": (DefaultKind.NONE, None),
        "k": (LITERAL, "ü€"),
        "l": (LITERAL, "0xff00"),
        "m": (LITERAL, "0x61"),
    }
    assert [(c.name, c.length) for c in table.columns if c.type in ("varchar", "char", "binary", "varbinary")][:3] == [
        ("a", 10),
        ("b", 10),
        ("c", 10),
    ]
    assert (source_of.column("words", "a").charset, source_of.column("words", "f").collation) == (
        "utf8mb4",
        "utf8mb4_bin",
    )
    assert source_of.column("words", "m").charset == "utf8mb3"
    assert (source_of.column("words", "h").charset, source_of.column("words", "h").length) == (None, 8)
    assert table.indexes == (
        IndexDef("ft", parts("g"), kind="fulltext"),
        IndexDef("k_c", parts("c"), comment="why"),
        IndexDef("k_pre", parts("g", "a", g=10)),
    )


def test_labels_with_quotes_commas_backslashes_and_line_ends(source_of: Source) -> None:
    e, s = source_of.column("labels", "e"), source_of.column("labels", "s")
    assert e.labels == ("a", "it's", "x,y", "back\\slash", "", "ü", "(par)", "a\nb")
    assert (e.default, e.nullable, e.charset, e.length) == ("ü", False, "utf8mb3", None)
    assert s.labels == ("r", "g b", "b'q")
    assert (s.default_kind, s.default) == (LITERAL, "r,g b")
    assert source_of.table("labels").triggers == ("tr_a", "tr_b")


def test_moments(source_of: Source) -> None:
    got = {
        c.name: (c.type, c.scale, c.default_kind, c.default, c.on_update_now, c.nullable)
        for c in source_of.table("times").columns[1:]
    }
    assert got == {
        "a": ("timestamp", 0, NOW, "CURRENT_TIMESTAMP", True, False),
        "b": ("datetime", 6, NOW, "CURRENT_TIMESTAMP(6)", True, True),
        "c": ("datetime", 0, LITERAL, "2001-02-03 04:05:06", False, True),
        "d": ("date", None, LITERAL, "0000-00-00", False, False),
        "e": ("time", 3, NULL, None, False, True),
        "f": ("timestamp", 3, NULL, None, False, True),
        "g": ("timestamp", 0, LITERAL, "0000-00-00 00:00:00", False, False),
        "h": ("datetime", 0, NULL, None, False, True),
    }


def test_keys_foreign_keys_and_odd_names(source_of: Source) -> None:
    database = source_of.database.database
    assert source_of.table("parent").primary_key == ("b", "a")
    foreign = {key.name: key for key in source_of.table("child").foreign_keys}
    assert foreign['fk "odd" näme'] == ForeignKeyDef(
        'fk "odd" näme', ("pb", "pa"), TableId(database, "parent"), ("b", "a"), "CASCADE", "SET NULL"
    )
    own = foreign["fk_self"]
    assert (own.ref_table.name, own.on_delete) == ("child", "SET NULL")
    assert own.on_update in ("NO ACTION", "RESTRICT")
    odd = source_of.table('odd "na.me')
    assert odd.indexes == (IndexDef("u k", parts("col`umn"), unique=True),)
    assert odd.key == ("col`umn",)
    assert odd.column("col`umn").comment == "ünï"
    assert source_of.table("keyless").key == ()
    assert source_of.table("Mixed").key == ("a",)
    assert source_of.table("mixed").key == ("b",)


def test_kinds_of_tables(source_of: Source) -> None:
    view = source_of.table("seen")
    assert (view.kind, [c.name for c in view.columns], view.comment) == ("view", ["id", "e"], "")
    assert source_of.table("parts").partitioned
    assert not source_of.table("parent").partitioned
    shapes = source_of.table("shapes")
    assert [(c.name, c.type) for c in shapes.columns] == [("id", "int"), ("g", "geometry"), ("p", "point")]
    assert shapes.indexes == (IndexDef("sp", parts("g"), kind="spatial"),)
    assert source_of.table("heap").indexes == (IndexDef("a", parts("a"), kind="hash"),)
    assert source_of.table("heap").engine == "MEMORY"


def test_estimates_count_rows(source_of: Source) -> None:
    source_of.database.execute("INSERT INTO words (j) VALUES ('x'), ('y')")
    assert source_of.read()[TableId(source_of.database.database, "words")].rows_estimate == 2


def test_every_table_survives_the_schema_history(source_of: Source) -> None:
    for table in source_of.tables.values():
        assert TableDef.from_json(table.to_json()) == table


def test_session_settings_do_not_change_what_is_read(source_of: Source) -> None:
    found = source_of.read(sql_mode="ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH")
    assert {table.id: table.columns for table in found.values()} == {
        table.id: table.columns for table in source_of.tables.values()
    }


def test_session_is_left_as_it_was(source_of: Source) -> None:
    connection = connect_source(source_of.settings)
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION sql_mode = 'ANSI_QUOTES'")
        read_catalog(connection, probe(connection), source_of.settings.databases)
        cursor.execute("SELECT @@SESSION.sql_mode")
        assert cursor.fetchall() == (("ANSI_QUOTES",),)
    connection.close()


def test_a_few_tables_only(source_of: Source) -> None:
    database = source_of.database.database
    wanted = [TableId(database, "mixed"), TableId(database, "child"), TableId(database, "absent")]
    connection = connect_source(source_of.settings)
    found = read_tables(connection, probe(connection), wanted)
    connection.close()
    assert set(found) == {TableId(database, "mixed"), TableId(database, "child")}
    assert found[TableId(database, "child")].columns == source_of.table("child").columns
    assert found[TableId(database, "child")].foreign_keys == source_of.table("child").foreign_keys


def test_a_database_whose_name_differs_by_case_only(source_of: Source) -> None:
    other = source_of.database.database.upper()
    source_of.database.execute(f"CREATE DATABASE `{other}`", f"CREATE TABLE `{other}`.elsewhere (id int)")
    try:
        assert {table.schema for table in source_of.read()} == {source_of.database.database}
    finally:
        source_of.database.execute(f"DROP DATABASE `{other}`")


def test_a_database_that_is_not_ours_to_see(source_of: Source) -> None:
    server = source_of.database.server
    admin = SourceDatabase(server, "mysql")
    admin.execute("CREATE USER 'blind'@'%' IDENTIFIED BY 'pw-of-blind'")
    try:
        settings = source_of.settings.model_copy(
            update={"user": "blind", "password": type(source_of.settings.password)("pw-of-blind")}
        )
        connection = connect_source(settings)
        with pytest.raises(AccessDenied, match=source_of.database.database) as caught:
            read_catalog(connection, probe(connection), source_of.settings.databases)
        connection.close()
        assert "GRANT SELECT" in caught.value.hint
    finally:
        admin.execute("DROP USER 'blind'@'%'")


def test_a_user_with_little_more_than_select_sees_the_same(source_of: Source) -> None:
    """MariaDB hides the rules of foreign keys from such a user; a cascade unseen is rows lost."""
    database, settings = source_of.database, source_of.settings
    database.execute(
        "CREATE USER 'reader'@'%' IDENTIFIED BY 'pw-of-reader'",
        f"GRANT SELECT, LOCK TABLES ON `{database.database}`.* TO 'reader'@'%'",
    )
    try:
        connection = connect_source(
            settings.model_copy(update={"user": "reader", "password": type(settings.password)("pw-of-reader")})
        )
        with connection:
            seen = read_catalog(connection, probe(connection), settings.databases)
        for table, expected in source_of.read().items():
            assert seen[table].foreign_keys == expected.foreign_keys
            # Triggers show only to who may make some; estimates move.
            same = {"triggers": (), "rows_estimate": 0, "bytes_estimate": 0}
            assert dataclasses.replace(seen[table], **same) == dataclasses.replace(expected, **same)
    finally:
        database.execute("DROP USER 'reader'@'%'")


def test_generated_hidden_and_computed_columns(modern: Source) -> None:
    column = modern.column
    assert (column("modern", "v").generated, column("modern", "s").generated) == ("virtual", "stored")
    assert (column("modern", "v").default_kind, column("modern", "v").default) == (DefaultKind.NONE, None)
    assert (column("modern", "hid").invisible, column("modern", "hid").default) == (True, "7")
    assert not column("modern", "id").invisible
    assert (column("modern", "u").default_kind, column("modern", "u").default) == (EXPRESSION, "uuid()")
    assert column("modern", "d").default_kind is EXPRESSION
    desc = next(index for index in modern.table("modern").indexes if index.name == "k_desc")
    assert desc.parts == (IndexPart("id", descending=True), IndexPart("u"))


def test_mysql_97(source_of: Source) -> None:
    only(source_of, "mysql97")
    column = source_of.column
    assert (column("modern", "j").type, column("modern", "j").json_check) == ("json", False)
    assert column("modern", "j").default == "json_array(1,2)"
    assert column("modern", "s").expression == r"concat(`u`,_utf8mb4'-',_utf8mb4'x\'y')"
    assert column("modern", "v").expression == "(`id` + 1)"
    assert (column("modern", "n").default_kind, column("modern", "n").default) == (NOW, "CURRENT_TIMESTAMP")
    assert column("modern", "t").default == r"_utf8mb4'it\'s'"
    assert column("modern", "p").srid == 4326
    assert (column("modern", "vec").type, column("modern", "vec").length) == ("vector", 3)
    indexes = {index.name: index for index in source_of.table("modern").indexes}
    assert indexes["k_fn"].parts == (IndexPart(None, expression="lower(`u`)"), IndexPart("id"))
    assert not indexes["k_inv"].visible
    assert indexes["k_desc"].visible
    assert indexes["k_mv"].parts[0].expression == "cast(json_extract(`j`,_utf8mb4'$[*]') as unsigned array)"
    assert indexes["p"].kind == "spatial"
    assert source_of.table("modern").checks == (
        CheckDef("ck", "(`id` > 0)"),
        CheckDef("ck_off", r"(`u` <> _utf8mb4'x\'y')", enforced=False),
    )


def test_generated_invisible_primary_key_is_seen_even_when_it_is_hidden(source_of: Source) -> None:
    only(source_of, "mysql97")
    found = source_of.read(show_gipk_in_create_table_and_information_schema="OFF")
    gipk = found[TableId(source_of.database.database, "gipk")]
    assert gipk.primary_key == ("my_row_id",)
    assert [(c.name, c.invisible, c.auto_increment) for c in gipk.columns] == [
        ("my_row_id", True, True),
        ("a", False, False),
    ]


def test_mariadb(source_of: Source) -> None:
    only(source_of, "mariadb")
    column = source_of.column
    assert (column("modern", "j").type, column("modern", "j").json_check) == ("longtext", True)
    assert (column("modern", "j").default_kind, column("modern", "j").default) == (LITERAL, "[1,2]")
    assert not column("modern", "lt").json_check
    assert (column("modern", "t").default_kind, column("modern", "t").default) == (LITERAL, "now()")
    assert (column("modern", "i").default_kind, column("modern", "i").default) == (EXPRESSION, "(1 + 1)")
    assert [column("modern", name).type for name in ("uu", "ip", "comp")] == ["uuid", "inet6", "text"]
    assert "COMPRESSED" in column("modern", "comp").column_type
    assert column("modern", "s").expression == "`id` * 2"
    ignored = next(index for index in source_of.table("modern").indexes if index.name == "k_ign")
    assert not ignored.visible
    assert source_of.table("modern").checks == (
        CheckDef("chk", "`chk` > 3"),
        CheckDef("ck", "`id` > 0"),
        CheckDef("jv2", "json_valid(`lt`) and `id` > 1"),
    )
    assert column("seqdef", "g").srid == 4326
    assert column("seqdef", "id").default_kind is EXPRESSION
    assert source_of.table("seq").kind == "sequence"


def test_versioned_tables_have_the_columns_of_their_row_images(source_of: Source) -> None:
    """The binlog's table map of `ver` has four columns, although the catalogue shows two."""
    only(source_of, "mariadb")
    ver, ver2 = source_of.table("ver"), source_of.table("ver2")
    assert (ver.kind, ver2.kind) == ("versioned", "versioned")
    assert [(c.name, c.invisible) for c in ver.columns] == [
        ("id", False),
        ("x", False),
        ("row_start", True),
        ("row_end", True),
    ]
    assert [(c.name, c.expression) for c in ver2.columns[2:]] == [("rs", "ROW START"), ("re", "ROW END")]

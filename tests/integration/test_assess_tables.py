"""The checks of tables: each wart is found, and the fix that is offered mends it."""

from __future__ import annotations

import pytest
from ruamel.yaml import YAML

from servers import RunningServer
from servers.flavour import MYSQL_5_6
from sync.assess import Assessment, assess
from tests.support.assessing import levels, mend, settings_for, statements, worst
from tests.support.servers import SourceDatabase, source_database

NOWHERE = "postgresql://nobody@127.0.0.1:1/none"
LATIN = "CHARACTER SET latin1 COLLATE latin1_swedish_ci"


def looked_at(source: SourceDatabase, **parts: object) -> Assessment:
    return assess(settings_for(source.server, source.database, NOWHERE, **parts))


def subjects(assessment: Assessment, check: str) -> set[str]:
    return {finding.subject.rpartition(".")[2] for finding in assessment.of(check) if finding.level != "OK"}


def test_keys_and_engines(source_db: SourceDatabase) -> None:
    source_db.execute(
        "CREATE TABLE keyless (a int)",
        "CREATE TABLE half (a int, b int NOT NULL, UNIQUE (a))",
        "CREATE TABLE whole (a int NOT NULL, UNIQUE (a))",
        "CREATE TABLE isam (a int PRIMARY KEY) ENGINE=MyISAM",
        "CREATE TABLE mem (a int PRIMARY KEY) ENGINE=MEMORY",
    )
    result = looked_at(source_db)
    assert levels(result, "primary_key", "engines") == {"primary_key": "WARN", "engines": "WARN"}
    assert subjects(result, "primary_key") == {"keyless", "half"}
    assert subjects(result, "engines") == {"isam", "mem"}
    assert "emptied by a restart" in next(f.message for f in result.of("engines") if "mem" in f.subject)
    bad = [f for check in ("primary_key", "engines") for f in result.of(check)]
    mend(source_db.server, *bad)
    assert levels(looked_at(source_db), "primary_key", "engines") == {"primary_key": "OK", "engines": "OK"}


def test_skipped_tables_are_not_complained_about(source_db: SourceDatabase) -> None:
    source_db.execute("CREATE TABLE keyless (a int)", "CREATE TABLE good (a int PRIMARY KEY)")
    result = looked_at(source_db, tables={"keyless": {"skip": True}})
    assert levels(result, "primary_key", "grants_lock") == {"primary_key": "OK", "grants_lock": "OK"}


def test_cascades(mysql97: RunningServer, mariadb: RunningServer) -> None:
    for server, words in ((mysql97, "logs the child rows' changes itself"), (mariadb, "repeats it in the stores")):
        with source_database(server) as source:
            source.execute(
                "CREATE TABLE p (id int PRIMARY KEY)",
                "CREATE TABLE c (id int PRIMARY KEY, p int, FOREIGN KEY (p) REFERENCES p (id) ON DELETE CASCADE)",
            )
            finding = worst(looked_at(source), "cascades")
            assert (finding.level, words in finding.message) == ("OK", True)
            source.execute("DROP TABLE c")
            assert "no foreign key" in worst(looked_at(source), "cascades").message


def test_triggers_views_and_odd_columns(source_db: SourceDatabase) -> None:
    old = source_db.server.flavour is MYSQL_5_6
    odd = "g int, h int" if old else "g int AS (id + 1) STORED, h int INVISIBLE"
    source_db.execute(
        f"CREATE TABLE t (id int PRIMARY KEY, {odd}, f tinyint(1))",
        "CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.f = 1",
        "CREATE VIEW v AS SELECT * FROM t",
    )
    result = looked_at(source_db)
    trigger = worst(result, "triggers")
    assert (trigger.level, "tr" in trigger.message) == ("WARN", True)
    assert source_db.rows(statements(trigger.fix)[0])
    kinds = " ".join(f.message for f in result.of("column_kinds"))
    assert ("t.g" in kinds) is ("t.h" in kinds) is not old
    assert worst(result, "other_objects").subject == f"{source_db.database}.v"
    source_db.execute("DROP TRIGGER tr")
    assert worst(looked_at(source_db), "triggers").level == "OK"


def test_versioned_tables_block(mariadb: RunningServer) -> None:
    with source_database(mariadb) as source:
        source.execute(
            "CREATE TABLE v (id int PRIMARY KEY) WITH SYSTEM VERSIONING", "CREATE TABLE o (id int PRIMARY KEY)"
        )
        finding = worst(looked_at(source), "versioned_tables")
        assert (finding.level, finding.subject) == ("BLOCK", f"{source.database}.v")
        assert levels(looked_at(source, tables={"v": {"skip": True}}), "versioned_tables", "plan") == {
            "versioned_tables": "OK",
            "plan": "OK",
        }


def test_zero_dates_that_cannot_become_null(source_db: SourceDatabase) -> None:
    source_db.execute("CREATE TABLE t (id int PRIMARY KEY, d date NOT NULL, e date)")
    finding = worst(looked_at(source_db, defaults={"zero_dates": "null"}), "zero_dates")
    assert (finding.level, "d are NOT NULL" in finding.message) == ("WARN", True)
    assert worst(looked_at(source_db), "zero_dates").level == "OK"


def test_names(source_db: SourceDatabase) -> None:
    long = "n" * 60 + "ääää"
    source_db.execute(
        f"CREATE TABLE `{long}` (id int PRIMARY KEY)", "CREATE TABLE t (FooBar int PRIMARY KEY, foo_bar int)"
    )
    result = looked_at(source_db)
    assert levels(result, "long_names", "colliding_names") == {"long_names": "WARN", "colliding_names": "OK"}
    folded = worst(looked_at(source_db, defaults={"naming": "snake_case"}), "colliding_names")
    assert (folded.level, "FooBar and foo_bar" in folded.message) == ("BLOCK", True)
    mended = looked_at(source_db, defaults={"naming": "snake_case"}, tables={"t": {"rename": {"foo_bar": "foo_bar_2"}}})
    assert worst(mended, "colliding_names").level == "OK"


def test_unique_keys_of_loose_collations(source_db: SourceDatabase) -> None:
    source_db.execute(f"CREATE TABLE t (id int PRIMARY KEY, n varchar(20) {LATIN} NOT NULL, UNIQUE KEY u (n))")
    result = looked_at(source_db)
    finding = worst(result, "collation_keys")
    assert (finding.level, finding.subject) == ("WARN", f"{source_db.database}.t")
    mend(source_db.server, finding)
    after = worst(looked_at(source_db), "collation_keys")
    assert (after.level, "trailing blanks" in after.message) == ("OK", True)


def test_foreign_keys_that_only_the_collation_matches(source_db: SourceDatabase) -> None:
    source_db.execute(
        f"CREATE TABLE p (code varchar(10) {LATIN} PRIMARY KEY)",
        f"CREATE TABLE c (id int PRIMARY KEY, code varchar(10) {LATIN},"
        " CONSTRAINT fk FOREIGN KEY (code) REFERENCES p (code))",
        "INSERT INTO p VALUES ('abc'), ('def')",
        "INSERT INTO c VALUES (1, 'abc'), (2, 'ABC'), (3, 'abc  '), (4, NULL)",
    )
    finding = worst(looked_at(source_db), "collation_foreign_keys")
    assert finding.level == "WARN"
    assert finding.message.startswith("fk: 2 rows")
    mend(source_db.server, finding)
    assert worst(looked_at(source_db), "collation_foreign_keys").level == "OK"
    assert source_db.rows("SELECT id, code FROM c ORDER BY id") == [(1, "abc"), (2, "abc"), (3, "abc"), (4, None)]


def test_long_index_entries(source_db: SourceDatabase) -> None:
    if source_db.server.flavour is MYSQL_5_6:
        pytest.skip("its InnoDB refuses index entries over 767 bytes unless innodb_large_prefix is on")
    source_db.execute(
        "CREATE TABLE t (id int PRIMARY KEY, w varchar(760) CHARACTER SET utf8mb4,"
        " x varchar(760) CHARACTER SET utf8mb4, KEY k (w), KEY pre (x(100)))"
    )
    findings = [f for f in looked_at(source_db).of("index_entries") if f.level != "OK"]
    assert [f.message.split(":")[0] for f in findings] == ["k"]
    source_db.execute("INSERT INTO t VALUES (1, REPEAT('€', 760), NULL), (2, 'a', NULL)")
    assert source_db.rows(statements(findings[0].fix)[0]) == [(0,)]
    source_db.execute("UPDATE t SET w = REPEAT('😀', 700) WHERE id = 2")
    assert source_db.rows(statements(findings[0].fix)[0]) == [(1,)]


def test_no_lock_is_asked_for_when_every_table_has_a_key(source_db: SourceDatabase) -> None:
    source_db.execute("CREATE TABLE t (id int PRIMARY KEY)")
    assert worst(looked_at(source_db), "grants_lock").message == "no lock is needed"


@pytest.mark.parametrize("server", ["mysql56"])
def test_fixes_are_in_the_words_of_the_old_server(server: str, request: pytest.FixtureRequest) -> None:
    with source_database(request.getfixturevalue(server)) as source:
        source.execute(
            "CREATE TABLE k (n varchar(20) CHARACTER SET utf8 NOT NULL, UNIQUE (n))", "CREATE TABLE a (b int)"
        )
        result = looked_at(source)
        mend(source.server, worst(result, "collation_keys"), worst(result, "primary_key"))
        assert levels(looked_at(source), "collation_keys", "primary_key") == {
            "collation_keys": "OK",
            "primary_key": "OK",
        }


def test_each_loss_is_told_with_the_column_and_what_changes_it(source_db: SourceDatabase) -> None:
    """Written by hand from the type map; what is not named here must not be told."""
    source_db.execute(
        "CREATE TABLE t (id int PRIMARY KEY, big bigint unsigned, f float, d date, c char(5)"
        " COLLATE utf8mb4_general_ci, b varchar(9) COLLATE utf8mb4_bin, e enum('x','y'),"
        " s set('x','y'), bits bit(3), t time(2), at datetime,"
        " seen timestamp NULL ON UPDATE CURRENT_TIMESTAMP, pad binary(4), y year, plain int, words text"
        " COLLATE utf8mb4_bin, KEY pre (words(7)))"
        " ENGINE=InnoDB DEFAULT CHARSET utf8mb4 PARTITION BY KEY (id) PARTITIONS 2",
        "CREATE TABLE w (id int PRIMARY KEY, spot point, words text COLLATE utf8mb4_bin, FULLTEXT KEY w (words))"
        " ENGINE=InnoDB DEFAULT CHARSET utf8mb4",
    )
    told = [
        (finding.level.value, finding.subject.partition(".")[2], finding.message, finding.fix)
        for finding in looked_at(source_db, tables={"t": {"types": {"plain": "text"}}}).of("losses")
    ]
    kept = {(place, message.partition("; otherwise: ")[2]) for level, place, message, _ in told if level == "OK"}
    assert kept == {
        ("t.big", "tables: {t: {types: {big: bigint}}}"),
        ("t.f", "tables: {t: {types: {f: numeric}}}"),
        ("t.d", "tables: {t: {zero_dates: infinity | null | quarantine}}"),
        ("t.at", "tables: {t: {zero_dates: infinity | null | quarantine}}"),
        ("t.at", """tables: {t: {types: {at: "timestamptz at time zone 'Europe/Berlin'"}}}"""),
        ("t.seen", "tables: {t: {zero_dates: infinity | null | quarantine}}"),
        ("t.c", "defaults: {nul_characters: strip}"),
        ("t.c", "tables: {t: {types: {c: citext}}}"),
        ("t.c", ""),
        ("t.b", "defaults: {nul_characters: strip}"),
        ("t.b", ""),
        ("t.words", "defaults: {nul_characters: strip}"),
        ("t.words", ""),
        ("w.words", "defaults: {nul_characters: strip}"),
        ("w.words", ""),
        ("t.e", "tables: {t: {types: {e: enum}}}"),
        ("t.s", "tables: {t: {types: {s: text}}}"),
        ("t.bits", "tables: {t: {types: {bits: bigint}}}"),
        ("t.t", "tables: {t: {types: {t: time}}}"),
        ("t.pad", ""),
        ("t.y", ""),
        ("w.spot", "tables: {w: {types: {spot: geometry}}}"),
    }
    lost = {(place, message.partition(":")[0]) for level, place, message, _ in told if level == "WARN"}
    assert lost == {("t.seen", "column"), ("w.w", "index"), ("t", "partitions are not kept")}
    for _, place, message, _ in told:
        if "otherwise: tables: " in message and "|" not in message:
            rules = YAML(typ="safe").load(message.partition("otherwise: ")[2])["tables"]
            assert worst(looked_at(source_db, tables=rules), "plan").level == "OK", (place, rules)


def test_what_is_no_table_is_told_with_what_to_do(source_db: SourceDatabase) -> None:
    source_db.execute(
        "CREATE TABLE t (id int PRIMARY KEY)",
        "CREATE PROCEDURE sweep() DELETE FROM t",
        "CREATE FUNCTION one() RETURNS int DETERMINISTIC RETURN 1",
        "CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY DO DELETE FROM t",
        "CREATE VIEW v AS SELECT id FROM t",
    )
    result = looked_at(source_db)
    assert subjects(result, "routines") == {"sweep", "one", "nightly"}
    for finding in (*result.of("routines"), *(one for one in result.of("other_objects") if one.level != "OK")):
        show, *later = statements(finding.fix)
        assert source_db.rows(show), finding
        for statement in later:
            source_db.execute(statement)
    source_db.execute("DROP PROCEDURE sweep", "DROP FUNCTION one", "DROP EVENT nightly", "DROP VIEW v")
    assert levels(looked_at(source_db), "routines", "other_objects") == {"routines": "OK", "other_objects": "OK"}

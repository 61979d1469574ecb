"""Which ALTER TABLE and index statements leave rows, columns, keys and cascades as they are."""

from __future__ import annotations

import dataclasses

import pytest

from sync.ddl_alter import harmless, read_alteration
from sync.ddl_policy import Meaning, judge
from sync.ddl_tokens import ANSI_QUOTES, NO_BACKSLASH_ESCAPES, Kind, tokens
from tests.support.changes import make_table

PARENT = make_table("p", "id int")
TABLE = make_table(
    "t", "id int,a int,b int", parents=(("a", "p", "CASCADE", "RESTRICT"), ("b", "p", "NO ACTION", "RESTRICT"))
)
_BARE = make_table("bare", "id int,note text", key=(), uniques=(("id",),))
BARE = dataclasses.replace(_BARE, columns=tuple(dataclasses.replace(one, nullable=False) for one in _BARE.columns))
DEFINITIONS = {table.id: table for table in (PARENT, TABLE, BARE)}


def is_harmless(text: str) -> bool:
    alteration = read_alteration(text, "shop")
    return alteration is not None and harmless(alteration, DEFINITIONS)


@pytest.mark.parametrize(
    "text",
    [
        "CREATE INDEX i ON t (a)",
        "CREATE UNIQUE INDEX i USING BTREE ON shop.t (a, b(10) DESC) COMMENT 'x, y' ALGORITHM=INPLACE LOCK=NONE",
        "CREATE OR REPLACE INDEX IF NOT EXISTS i ON t (a)",
        "DROP INDEX i ON t",
        "DROP INDEX IF EXISTS `i` ON `shop`.`t`",
        "ALTER TABLE t ADD INDEX (a), ADD KEY k (b), DROP KEY j, ALGORITHM=INPLACE, LOCK=NONE",
        "ALTER TABLE t ADD UNIQUE (a)",
        "ALTER TABLE bare ADD KEY (note)",
        "ALTER TABLE t ADD CONSTRAINT u UNIQUE KEY (a)",
        "ALTER TABLE t ADD CONSTRAINT UNIQUE (a)",
        "ALTER TABLE t ADD FULLTEXT INDEX f (a)",
        "ALTER TABLE t RENAME INDEX x TO y",
        "ALTER TABLE t COMMENT='ADD COLUMN c int'",
        "ALTER TABLE t COMMENT = 'it''s', AUTO_INCREMENT = 5 ROW_FORMAT=DYNAMIC",
        "ALTER TABLE t ENGINE=InnoDB",
        "ALTER TABLE t ENGINE INNODB, FORCE",
        "ALTER TABLE t FORCE",
        "ALTER TABLE t ORDER BY a DESC",
        "ALTER TABLE t /*!50600 ADD INDEX (a) */",
        "ALTER TABLE t ADD INDEX (a) -- , DROP COLUMN b",
        "alter online table T add index (a) /* generated */;",
        "SET STATEMENT lock_wait_timeout=1 FOR ALTER TABLE t ADD INDEX (a)",
        "ALTER TABLE IF EXISTS t WAIT 5 ADD INDEX (a)",
        "ALTER TABLE t ADD FOREIGN KEY (b) REFERENCES p (id)",
        "ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (b) REFERENCES p (id) ON DELETE RESTRICT ON UPDATE NO ACTION",
        "ALTER TABLE t DROP FOREIGN KEY fk_t_b",
        "ALTER TABLE other ADD FOREIGN KEY (b) REFERENCES p (id)",
    ],
)
def test_these_go_on(text: str) -> None:
    assert is_harmless(text)


@pytest.mark.parametrize(
    "text",
    [
        "ALTER TABLE t ADD c int",
        "ALTER TABLE t ADD INDEX (a), ADD c int",
        "ALTER TABLE t ADD INDEX (a) /*! , DROP COLUMN b */",
        "ALTER TABLE t ADD INDEX (a) /*M!100100 , DROP COLUMN b */",
        "ALTER TABLE t ADD INDEX ((a + b))",
        "ALTER TABLE bare ADD UNIQUE KEY long_one (note)",
        "ALTER TABLE t ADD INDEX i (b, (a + b))",
        "ALTER TABLE t DROP a",
        "ALTER TABLE t DROP PRIMARY KEY",
        "ALTER TABLE t ADD PRIMARY KEY (a)",
        "ALTER TABLE t ADD CONSTRAINT PRIMARY KEY (a)",
        "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 1)",
        "DROP INDEX `PRIMARY` ON t",
        "ALTER TABLE t DROP INDEX `PRIMARY`",
        "DROP INDEX u0 ON bare",
        "ALTER TABLE bare DROP KEY u0",
        "ALTER TABLE t ENGINE=MyISAM",
        "ALTER TABLE t RENAME TO s",
        "ALTER TABLE t RENAME COLUMN a TO c",
        "ALTER TABLE t COMMENT='x' CHARSET=latin1",
        "ALTER TABLE t CONVERT TO CHARACTER SET utf8mb4",
        "ALTER TABLE t DROP PARTITION p0",
        "ALTER TABLE t TRUNCATE PARTITION p0",
        "ALTER TABLE t DISCARD TABLESPACE",
        "ALTER TABLE t DROP FOREIGN KEY fk_t_a",
        "ALTER TABLE t DROP FOREIGN KEY unheard_of",
        "ALTER TABLE t ADD FOREIGN KEY (b) REFERENCES p (id) ON DELETE CASCADE",
        "ALTER TABLE t ADD FOREIGN KEY (b) REFERENCES p (id) ON UPDATE SET NULL",
        "ALTER TABLE t ADD INDEX (a",
        "ALTER TABLE t ADD INDEX (a) 'open",
        "TRUNCATE TABLE t",
        "DROP TABLE t",
    ],
)
def test_these_do_not(text: str) -> None:
    assert not is_harmless(text)


def test_a_harmless_statement_names_the_tables_that_it_is_about() -> None:
    for text in ("ANALYZE TABLE t", "CREATE VIEW v AS SELECT * FROM t", "DROP INDEX i ON t", "GRANT SELECT ON t TO u"):
        judgement = judge(text, "shop", DEFINITIONS, DEFINITIONS)
        assert (judgement.meaning, judgement.tables) == (Meaning.HARMLESS, (TABLE.id,)), text
    assert judge("DROP TEMPORARY TABLE t", "shop", DEFINITIONS, DEFINITIONS).tables == ()


def test_quotes_follow_the_sql_mode() -> None:
    assert [token.kind for token in tokens('"a"') or ()] == [Kind.TEXT]
    assert [token.kind for token in tokens('"a"', ANSI_QUOTES) or ()] == [Kind.NAME]
    assert [token.text for token in tokens(r"'it\'s' 'a\nb'") or ()] == ["it's", "a\nb"]
    assert tokens(r"'a\'", NO_BACKSLASH_ESCAPES) is None

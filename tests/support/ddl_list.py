"""DDL for a table under traffic, each with what has to come of it. Applied one after the other to the same table.

The table begins as `BASE`; every statement leaves it so that the next one works.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

MYSQL = ("mysql-5.6", "mysql-9.7")
NEW = ("mysql-9.7", "mariadb-10.11")
MARIADB = ("mariadb-10.11",)
EVERY = (*MYSQL, *MARIADB)

BASE = (
    "CREATE TABLE t (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, name VARCHAR(20) NOT NULL DEFAULT '', n INT UNSIGNED,"
    " amount DECIMAL(8,2), kind ENUM('a','b') DEFAULT 'a', at DATETIME NULL, note TEXT, flags SET('x','y'),"
    " KEY by_name (name)) ENGINE=InnoDB DEFAULT CHARSET utf8mb4"
)


class End(StrEnum):
    """What has to come of a statement."""

    FOLLOWED = "followed"
    """The store does it by itself."""
    ASKED = "asked"
    """The table is held until somebody approves, then the store does it."""
    HELD = "held"
    """The table is held with a message that says what to type."""


@dataclass(frozen=True, slots=True)
class Ddl:
    """A statement; `column` with `type` (None: no such column) is what the store must have then."""

    statement: str
    end: End = End.FOLLOWED
    column: str = ""
    type: str | None = None
    servers: tuple[str, ...] = EVERY


def _ddl(statement: str, column: str = "", type_: str | None = None, *, on: tuple[str, ...] = EVERY) -> Ddl:
    return Ddl(statement, End.FOLLOWED, column, type_, on)


def _asked(statement: str, column: str = "", type_: str | None = None, *, on: tuple[str, ...] = EVERY) -> Ddl:
    return Ddl(statement, End.ASKED, column, type_, on)


LIST: tuple[Ddl, ...] = (
    _ddl("ALTER TABLE t ADD COLUMN a1 INT", "a1", "integer"),
    _ddl("ALTER TABLE t ADD a2 INT NOT NULL DEFAULT 7 FIRST", "a2", "integer"),
    _ddl("alter table `t` add `a3` varchar(10) not null after id", "a3", "character varying(10)"),
    _ddl("/* a comment */ ALTER /*!50000 TABLE */ t ADD a4 DECIMAL(10,3) NOT NULL", "a4", "numeric(10,3)"),
    _ddl("ALTER TABLE t ADD a5 ENUM('p','q') NOT NULL, ADD a6 SET('u','v') NOT NULL", "a6", "text[]"),
    _ddl("ALTER TABLE t ADD a7 DATE NULL DEFAULT '2020-02-29'", "a7", "date"),
    _ddl("ALTER TABLE t ADD a8 TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP", "a8", "timestamp(0) with time zone"),
    _ddl("ALTER TABLE t ADD a9 BINARY(3) NOT NULL, ADD a10 BIT(5) NOT NULL DEFAULT b'101'", "a10", "bit(5)"),
    _ddl("ALTER TABLE t ADD COLUMN (a11 INT, a12 BLOB)", "a12", "bytea"),
    _ddl("ALTER TABLE t ADD COLUMN IF NOT EXISTS a1 INT", "a1", "integer", on=MARIADB),
    _ddl("SET STATEMENT max_statement_time=60 FOR ALTER TABLE t ADD a13 INT DEFAULT 3", "a13", "integer", on=MARIADB),
    _ddl("ALTER TABLE t ADD a14 INT AS (a2 + 1) PERSISTENT", "a14", "integer", on=MARIADB),
    _ddl("ALTER TABLE t ADD a14 INT GENERATED ALWAYS AS (a2 + 1) STORED", "a14", "integer", on=("mysql-9.7",)),
    _ddl("ALTER TABLE t ADD a15 INT INVISIBLE DEFAULT 2", "a15", "integer", on=NEW),
    _ddl("ALTER TABLE t ADD a16 JSON", "a16", None, on=()),
    _ddl("ALTER TABLE t MODIFY name VARCHAR(40) NOT NULL DEFAULT ''", "name", "character varying(40)"),
    _ddl("ALTER TABLE t MODIFY COLUMN n BIGINT UNSIGNED", "n", "numeric(20,0)"),
    _ddl("ALTER TABLE t MODIFY amount DECIMAL(12,4)", "amount", "numeric(12,4)"),
    _ddl("ALTER TABLE t MODIFY kind ENUM('a','b','c') DEFAULT 'b'", "kind", "text"),
    _ddl("ALTER TABLE t MODIFY flags SET('x','y','z')", "flags", "text[]"),
    _ddl("ALTER TABLE t MODIFY at DATETIME(3) NULL", "at", "timestamp(3) without time zone"),
    _ddl("ALTER TABLE t MODIFY note LONGTEXT", "note", "text"),
    _ddl("ALTER TABLE t MODIFY id BIGINT NOT NULL AUTO_INCREMENT", "id", "bigint"),
    _ddl("ALTER TABLE t CHANGE COLUMN a1 b1 BIGINT", "b1", "bigint"),
    _ddl("ALTER TABLE t CHANGE a11 a12x INT, CHANGE a12 a11 BLOB", "a12x", "integer"),
    _ddl("ALTER TABLE t RENAME COLUMN a12x TO b2", "b2", "integer", on=NEW),
    _ddl("ALTER TABLE t ALTER COLUMN b1 SET DEFAULT 9", "b1", "bigint"),
    _ddl("ALTER TABLE t ALTER b1 DROP DEFAULT", "b1", "bigint"),
    _ddl("ALTER TABLE t ADD INDEX by_n (n), ADD KEY by_prefix (note(10))"),
    _ddl("CREATE INDEX by_amount ON t (amount DESC)"),
    _ddl("CREATE UNIQUE INDEX by_both ON t (id, n)"),
    _ddl("ALTER TABLE t RENAME INDEX by_n TO by_number", on=NEW),
    _ddl("DROP INDEX by_amount ON t"),
    _ddl("ALTER TABLE t DROP KEY by_both, ALGORITHM=INPLACE, LOCK=NONE"),
    _ddl("ALTER TABLE t ADD CONSTRAINT positive CHECK (n >= 0)", on=NEW),
    _ddl("ALTER TABLE t DROP CONSTRAINT positive", on=NEW),
    _ddl("ALTER TABLE t COMMENT = 'it''s; a table', AUTO_INCREMENT = 1000000"),
    _ddl("ALTER TABLE t CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", "name", "character varying(40)"),
    _ddl("ALTER TABLE t ENGINE=InnoDB"),
    _ddl("ALTER TABLE t ADD FULLTEXT INDEX words (note)"),
    _ddl("ALTER TABLE t MODIFY name VARCHAR(40) NULL", "name", "character varying(40)"),
    _ddl("ALTER TABLE t MODIFY COLUMN a4 DECIMAL(10,3) NOT NULL AFTER note", "a4", "numeric(10,3)"),
    _ddl("CREATE TABLE IF NOT EXISTS t (id INT)"),
    _ddl("CREATE OR REPLACE VIEW v AS SELECT id FROM t"),
    _ddl("CREATE TABLE other LIKE t"),
    _ddl("RENAME TABLE other TO another"),
    _ddl("DROP TABLE another"),
    _ddl("ANALYZE TABLE t"),
    _asked("ALTER TABLE t DROP COLUMN b1", "b1"),
    _asked("ALTER TABLE t DROP a3, ADD c1 INT", "c1", "integer"),
    _asked("ALTER TABLE t MODIFY name VARCHAR(30)", "name", "character varying(30)"),
    _asked("ALTER TABLE t MODIFY n INT UNSIGNED", "n", "bigint"),
    _asked("ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (id, a2)", "a2", "integer"),
    _asked("TRUNCATE TABLE t"),
    _asked("TRUNCATE t"),
)
_SOME = {
    "ALTER TABLE t ADD COLUMN a1 INT",
    "ALTER TABLE t ADD a5 ENUM('p','q') NOT NULL, ADD a6 SET('u','v') NOT NULL",
    "ALTER TABLE t ADD a8 TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP",
    "ALTER TABLE t MODIFY name VARCHAR(40) NOT NULL DEFAULT ''",
    "ALTER TABLE t MODIFY COLUMN n BIGINT UNSIGNED",
    "ALTER TABLE t CHANGE COLUMN a1 b1 BIGINT",
    "ALTER TABLE t ADD INDEX by_n (n), ADD KEY by_prefix (note(10))",
    "CREATE TABLE IF NOT EXISTS t (id INT)",
    "ALTER TABLE t DROP COLUMN b1",
    "TRUNCATE TABLE t",
}
SOME: tuple[Ddl, ...] = tuple(ddl for ddl in LIST if ddl.statement in _SOME)
"""One of each kind, which work without the others."""
ENDS: tuple[Ddl, ...] = (
    Ddl("ALTER TABLE t MODIFY at DATE", End.HELD),
    Ddl("ALTER TABLE t ADD c2 DATETIME DEFAULT CURRENT_TIMESTAMP", End.HELD),
    Ddl("ALTER TABLE t MODIFY note TEXT CHARACTER SET latin1", End.HELD),
    Ddl("RENAME TABLE t TO elsewhere", End.HELD),
    Ddl("ALTER TABLE t RENAME TO elsewhere", End.HELD),
    Ddl("DROP TABLE t", End.ASKED),
    Ddl("CREATE OR REPLACE TABLE t (id INT PRIMARY KEY)", End.HELD, servers=MARIADB),
    Ddl("ALTER IGNORE TABLE t ADD UNIQUE (name)", End.HELD, servers=("mysql-5.6", *MARIADB)),
)
"""Each for a table of its own: they end its way."""
BURST: tuple[Ddl, ...] = (
    _ddl(
        "ALTER TABLE t ADD z1 INT NOT NULL DEFAULT 3 AFTER id, ADD z2 VARCHAR(10) NULL", "z2", "character varying(10)"
    ),
    _ddl("CREATE INDEX by_z1 ON t (z1)"),
    _ddl("ALTER TABLE t CHANGE kind sort ENUM('a','b') DEFAULT 'a' FIRST", "sort", "text"),
    _ddl("ALTER TABLE t MODIFY name VARCHAR(60) NOT NULL DEFAULT '' AFTER amount", "name", "character varying(60)"),
    _ddl("ALTER TABLE t ADD z3 DECIMAL(6,2) NOT NULL DEFAULT 1.25, ADD KEY by_sort (sort)", "z3", "numeric(6,2)"),
    _ddl("ALTER TABLE t ADD z4 INT NOT NULL DEFAULT 5, ADD z5 VARCHAR(10) NULL"),
    _ddl("ALTER TABLE t MODIFY z4 BIGINT NOT NULL DEFAULT 6, MODIFY z5 VARCHAR(30) NULL", "z4", "bigint"),
    _asked("ALTER TABLE t DROP COLUMN flags", "flags"),
    _ddl("ALTER TABLE t MODIFY amount DECIMAL(12,4)", "amount", "numeric(12,4)"),
    _asked("TRUNCATE TABLE t"),
    _ddl("ALTER TABLE t CHANGE at moment DATETIME(2) NULL", "moment", "timestamp(2) without time zone"),
    _ddl("ALTER TABLE t DROP INDEX by_sort, COMMENT = 'after it all'"),
)
"""One after the other without a pause: what the catalogue says is true of the last one only."""

"""Plans become real tables: created phase by phase, twice without change, and every drift is seen."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr

from config.load import load_settings
from demo.retailcore.domains import TABLES, Domain, all_tables
from demo.retailcore.mapping import config_text, environment
from demo.retailcore.schema import create_database
from model.errors import SchemaDrift, ValueRefused
from model.tables import CheckDef, ForeignKeyDef, IndexDef, IndexPart, TableDef, TableId
from servers import RunningServer
from stores.mysql import probe
from stores.postgres import PostgresConnection, connect_store
from sync.mysql.catalog import read_catalog
from sync.postgres.drift import differences, render
from sync.postgres.schema_apply import apply_schema
from sync.postgres.store_catalog import read_store
from tests.support.plans import column, compile_one, compile_tables, make_settings, sakila, table
from tests.support.servers import SourceDatabase, StoreDatabase, store_database
from tests.support.streaming import wait_until
from transforms.compile import compile_plan
from transforms.ddl import Phase
from transforms.plan import TablePlan
from transforms.target import TargetTable


@pytest.fixture(scope="module")
def shared(store: RunningServer) -> Iterator[StoreDatabase]:
    """One database for the module; `connection` empties it."""
    with store_database(store) as database:
        yield database


@pytest.fixture
def connection(shared: StoreDatabase) -> Iterator[PostgresConnection]:
    """A session as appliers have it, in an empty database."""
    with connect_store(SecretStr(shared.dsn)) as opened:
        for schema in ("public", *Domain):
            opened.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))
        yield opened


def create(connection: PostgresConnection, targets: list[TargetTable]) -> int:
    """Create all phases and prove that a second run finds nothing to do; the number of objects."""
    made = sum(len(apply_schema(connection, targets, phase)) for phase in Phase)
    assert [apply_schema(connection, targets, phase) for phase in Phase] == [[], [], []]
    found = differences(read_store(connection, {target.schema for target in targets}), targets)
    assert found == (), render(found)
    return made


def test_sakila_is_created_cleanly(connection: PostgresConnection) -> None:
    plan = compile_tables(*sakila())
    assert len(plan.plans) == 16
    create(connection, [table_plan.target for table_plan in plan.plans])
    keys = connection.execute("SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND convalidated").fetchone()
    assert keys == (22,)


def test_retailcore_is_created_cleanly(source_db: SourceDatabase, connection: PostgresConnection) -> None:
    opened = source_db.connect()
    create_database(opened, source_db.database)
    info = probe(opened)
    tables = read_catalog(opened, info, [source_db.database])
    opened.close()
    plan = compile_plan(make_settings(), tables, info.flavour)
    assert {str(table_plan.source.id.name) for table_plan in plan.plans} == set(all_tables())
    assert [table.name for table in plan.skipped] == ["order_overview"]
    create(connection, [table_plan.target for table_plan in plan.plans])


def test_the_retailcore_configuration_makes_three_stores(
    source_db: SourceDatabase, shared: StoreDatabase, connection: PostgresConnection, tmp_path: Path
) -> None:
    opened = source_db.connect()
    create_database(opened, source_db.database)
    info = probe(opened)
    tables = read_catalog(opened, info, [source_db.database])
    opened.close()
    file = tmp_path / "retailcore.yaml"
    file.write_text(
        config_text(
            engine=info.flavour, host="localhost", port=3306, user="u", database=source_db.database, directory=tmp_path
        )
    )
    settings = load_settings(file, environment=environment("secret", dict.fromkeys(Domain, shared.dsn)))
    plan = compile_plan(settings, tables, info.flavour)
    for domain in Domain:
        plans = plan.of_store(domain)
        assert {table_plan.source.id.name for table_plan in plans} == set(TABLES[domain])
        create(connection, [table_plan.target for table_plan in plans])
    notes = " ".join(note for table_plan in plan.plans for note in table_plan.notes)
    for name in ("fk_product_prices_group", "fk_reviews_user", "fk_order_user", "fk_order_items_product"):
        assert f"foreign key {name}: dropped" in notes


def awkward() -> list[TableDef]:
    """Tables with everything that DDL can trip over."""
    long = "x" * 70
    parent = table(
        "Order by",
        column("id", "bigint(20) unsigned", auto_increment=True),
        column('a "quoted" name', "varchar(20)", default="it's", comment="it's \\ here"),
        column("ctid", "int", default="-5"),
        column(long, "int", nullable=True),
        column("zero", "datetime(3)", default="0000-00-00 00:00:00.000"),
        column("flags", "bit(5)", default="b'101'"),
        column("tags", "set('a','b','c')", default="c,a"),
        column("hash", "binary(4)", default="0x6162"),
        column("kind", "enum('new','us''ed')", labels=("new", "us'ed"), default="us'ed"),
        column("body", "longtext", nullable=True),
        column("doc", "json", nullable=True),
        column("price", "decimal(10,2)"),
        column("qty", "int"),
        column("total", "decimal(14,2)", nullable=True, generated="stored", expression="(`price` * `qty`)"),
        column("upper", "varchar(20)", nullable=True, generated="virtual", expression="upper(`kind`)"),
        indexes=(
            IndexDef("by_name", (IndexPart('a "quoted" name', prefix=5), IndexPart("id", descending=True))),
            IndexDef("only_name", (IndexPart('a "quoted" name', prefix=3),), unique=True),
            IndexDef("qty", (IndexPart("qty"), IndexPart("price")), unique=True),
            IndexDef("text", (IndexPart("body"), IndexPart('a "quoted" name')), kind="fulltext"),
            IndexDef("hash", (IndexPart("hash", prefix=2),)),
        ),
        checks=(
            CheckDef("positive", "(`price` >= 0) and (`qty` between 0 and 100)"),
            CheckDef("odd", "sha1(`kind`) = 1"),
        ),
        comment="it's a table",
    )
    child = table(
        "child",
        column("id", "int", auto_increment=True),
        column("parent", "bigint(20) unsigned", nullable=True),
        column("qty", "int"),
        column("price", "decimal(10,2)"),
        indexes=(IndexDef("by_name", (IndexPart("parent"),)),),
        foreign_keys=(
            ForeignKeyDef("fk1", ("parent",), TableId("shop", "Order by"), ("id",), "SET NULL", "CASCADE"),
            ForeignKeyDef(
                "fk2", ("price", "qty"), TableId("shop", "Order by"), ("price", "qty"), "NO ACTION", "RESTRICT"
            ),
        ),
    )
    return [parent, child]


def test_awkward_tables(connection: PostgresConnection) -> None:
    plan = compile_tables(*awkward(), defaults={"enum": "enum"})
    targets = [table_plan.target for table_plan in plan.plans]
    create(connection, targets)
    connection.execute(b'INSERT INTO "Order by" (price, qty) VALUES (1.25, 3)')
    with pytest.raises(psycopg.errors.UniqueViolation, match="only_name"):
        connection.execute(b'INSERT INTO "Order by" (price, qty) VALUES (2, 2)')
    row = connection.execute(
        b'SELECT id, "a ""quoted"" name", ctid_, zero::text, flags, tags, hash, kind, total FROM "Order by" ORDER BY id'
    ).fetchone()
    assert row is not None
    assert [str(value) for value in row[:5]] == ["1", "it's", "-5", "-infinity", "00101"]
    assert list(row[5:]) == [["a", "c"], b"ab\0\0", "us'ed", Decimal("3.75")]
    with pytest.raises(psycopg.errors.CheckViolation):
        connection.execute(b'UPDATE "Order by" SET qty = 101')
    comment = connection.execute("SELECT obj_description('\"Order by\"'::regclass)").fetchone()
    assert comment == ("it's a table",)
    notes = "\n".join(plan.plans[0].notes)
    assert "check odd: dropped" in notes and "column upper: generated in the source" in notes


def one(**more: Any) -> TablePlan:
    """A small plan with a unique index and a plain one."""
    source = table(
        "t",
        column("id", "int"),
        column("name", "varchar(20)", nullable=True),
        indexes=(IndexDef("u", (IndexPart("name"),), unique=True), IndexDef("i", (IndexPart("name"),))),
        **more,
    )
    return compile_one(source)


@pytest.mark.parametrize(
    ("change", "misfit"),
    [
        ("ALTER TABLE t DROP COLUMN name", True),
        ("ALTER TABLE t ALTER name TYPE varchar(10)", True),
        ("ALTER TABLE t ALTER name SET NOT NULL", True),
        ("ALTER TABLE t ADD extra int NOT NULL", True),
        ("ALTER TABLE t DROP CONSTRAINT t_pkey", True),
        ("ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (name)", True),
        ("DROP TABLE t; CREATE VIEW t AS SELECT 1 AS id", True),
        ("DROP INDEX t_u; CREATE UNIQUE INDEX t_u ON t (id, name)", True),
        ("ALTER TABLE t ADD extra int", False),
        ("ALTER TABLE t ADD extra int NOT NULL DEFAULT 5", False),
        ("DROP INDEX t_i", False),
        ("DROP TABLE t", False),
    ],
)
def test_drift_is_seen_and_a_misfit_refused(connection: PostgresConnection, change: str, misfit: bool) -> None:
    target = one().target
    create(connection, [target])
    for statement in change.split(";"):
        connection.execute(statement.encode())
    found = differences(read_store(connection, ["public"]), [target])
    assert found and any(difference.misfit for difference in found) == misfit
    assert render(found).startswith("@@ public.t")
    if misfit:
        with pytest.raises(SchemaDrift) as caught:
            apply_schema(connection, [target], Phase.BEFORE_COPY)
        assert "public.t" in str(caught.value)
    else:
        for phase in Phase:
            apply_schema(connection, [target], phase)


def test_missing_columns_are_named_with_their_type(connection: PostgresConnection) -> None:
    target = one().target
    connection.execute("CREATE SCHEMA public")
    connection.execute("CREATE TABLE t (id integer PRIMARY KEY, name text)")
    (first, *_) = differences(read_store(connection, ["public"]), [target])
    assert (first.object, first.expected, first.found) == ("column name", "character varying(20)", "text")


def test_a_taken_index_name_is_refused(connection: PostgresConnection) -> None:
    target = one().target
    apply_schema(connection, [target], Phase.BEFORE_COPY)
    connection.execute("CREATE TABLE other (id int)")
    connection.execute("CREATE INDEX t_i ON other (id)")
    with pytest.raises(SchemaDrift, match="taken"):
        apply_schema(connection, [target], Phase.AFTER_COPY)


def test_nobody_waits_for_the_indexes_of_another_table(connection: PostgresConnection, shared: StoreDatabase) -> None:
    """A copy that builds the indexes of a large table must hold back neither other copies nor the stream."""
    columns, plain = (column("id", "int"), column("n", "int")), IndexDef("n", (IndexPart("n"),))
    tables = [table(name, *columns, indexes=(plain,)) for name in ("big", "small")]
    big, small = (plan.target for plan in compile_tables(*tables).plans)
    apply_schema(connection, [big, small], Phase.BEFORE_COPY)
    with connect_store(SecretStr(shared.dsn)) as reader, connect_store(SecretStr(shared.dsn)) as builder:
        reader.execute("BEGIN")
        reader.execute("LOCK TABLE big IN ROW EXCLUSIVE MODE")
        with ThreadPoolExecutor() as threads:
            building = threads.submit(apply_schema, builder, [big], Phase.AFTER_COPY)
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'big'::regclass"
            try:
                wait_until(lambda: connection.execute(waiting).fetchone() == (1,))
                connection.execute("SET lock_timeout = '5s'")
                assert len(apply_schema(connection, [small], Phase.AFTER_COPY)) == 1
                assert apply_schema(connection, [small], Phase.AFTER_CONSISTENT) == []
                assert not building.done()
            finally:
                reader.execute("ROLLBACK")
            assert len(building.result(30)) == 1
    assert connection.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").fetchone() == (0,)


def test_duplicates_stop_the_unique_index_and_say_which_rows(connection: PostgresConnection) -> None:
    target = one().target
    apply_schema(connection, [target], Phase.BEFORE_COPY)
    connection.execute("INSERT INTO t VALUES (1, 'a'), (2, 'a')")
    with pytest.raises(ValueRefused) as caught:
        apply_schema(connection, [target], Phase.AFTER_CONSISTENT)
    assert "(name)=(a)" in str(caught.value)
    connection.execute("DELETE FROM t WHERE id = 2")
    assert len(apply_schema(connection, [target], Phase.AFTER_CONSISTENT)) == 1


def test_a_projected_row_fits_its_table(connection: PostgresConnection) -> None:
    plan = compile_one(
        table(
            "t",
            column("id", "int unsigned", auto_increment=True),
            column("status", "char(1)"),
            column("first", "varchar(20)"),
            column("last", "varchar(20)"),
            column("born", "date"),
        ),
        tables={
            "t": {
                "rename": {"id": "user_id"},
                "exclude": ["first", "last"],
                "map": {"status": {"A": "active", "*": None}},
                "expr": {"name": {"sql": "CONCAT(first, ' ', last)"}, "year": {"sql": "YEAR(born)", "type": "int"}},
                "add": {"region": {"value": "eu"}, "version": {"value": 1, "type": "smallint"}},
                "where": "status <> 'X'",
            }
        },
    )
    create(connection, [plan.target])
    names = ", ".join(f'"{column.target.name}"' for column in plan.columns)
    for row in ((b"1", b"A", b"Ada", b"King", b"1815-12-10"), (b"2", b"?", b"B", b"C", b"0000-00-00")):
        assert plan.accepts(row)
        fields = [field.decode() if isinstance(field, bytes) else None for field in plan.project(row)]
        connection.execute(f"INSERT INTO t ({names}) VALUES ({', '.join(['%s'] * len(fields))})".encode(), fields)
    assert not plan.accepts((b"3", b"X", b"", b"", b"2000-01-01"))
    rows = connection.execute(
        b"SELECT user_id, status, name, year, region, version, born::text FROM t ORDER BY 1"
    ).fetchall()
    assert rows == [
        (1, "active", "Ada King", 1815, "eu", 1, "1815-12-10"),
        (2, None, "B C", 0, "eu", 1, "-infinity"),
    ]

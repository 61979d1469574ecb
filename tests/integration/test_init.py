"""`crossfade init` on real servers: the file works as it is, holds no secret, and says what was decided."""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.load import load_settings
from config.settings import Settings
from model.errors import ExitCode, Refused, Unreachable, UsageError
from servers import RunningServer
from stores.mysql import connect_source, probe
from stores.postgres import connect_store
from sync.assess import assess
from sync.mysql.catalog import read_catalog
from sync.postgres.schema_apply import apply_schema
from sync.starter import PASSWORD_VARIABLE, write_starter
from tests.support.servers import SourceDatabase, StoreDatabase, source_database, store_database
from transforms.compile import compile_plan
from transforms.ddl import Phase
from transforms.plan import MigrationPlan

SAKILA = Path(__file__).parents[3] / "shared" / "data" / "sakila"
STORE = "main=postgresql://app:store-secret@127.0.0.1:5432/shop"


def plan_of(settings: Settings) -> MigrationPlan:
    with closing(connect_source(settings.source)) as connection:
        info = probe(connection)
        return compile_plan(settings, read_catalog(connection, info, settings.source.databases), info.flavour)


@contextmanager
def sakila(server: RunningServer) -> Iterator[SourceDatabase]:
    """The sample database, loaded under a name of its own."""
    if not SAKILA.is_dir():
        pytest.skip(
            f"NOT TESTED: the Sakila sample data is not in {SAKILA.parent.name}/{SAKILA.name} beside the repository"
        )
    with source_database(server) as database:
        connection = database.connect(client_flag=1 << 16)
        with closing(connection), connection.cursor() as cursor:
            for name in ("sakila-schema.sql", "sakila-data.sql"):
                for statement in statements((SAKILA / name).read_text(encoding="utf-8")):
                    if not re.match(r"(DROP|CREATE) SCHEMA|USE ", statement):
                        cursor.execute(re.sub(r"\bsakila\.", "", statement))
                        while cursor.nextset():
                            pass
        yield database


def statements(script: str) -> Iterator[str]:
    delimiter, buffer = ";", ""
    for line in script.splitlines():
        if changed := re.match(r"DELIMITER (\S+)", line):
            delimiter = changed[1]
            continue
        if not line.startswith("--"):
            buffer += line + "\n"
        if buffer.rstrip().endswith(delimiter):
            statement = buffer.rstrip().removesuffix(delimiter).strip()
            buffer = ""
            if statement:
                yield statement


def test_sakila_needs_no_hand_edit(
    mysql56: RunningServer, mysql97: RunningServer, mariadb: RunningServer, postgres15: RunningServer, tmp_path: Path
) -> None:
    for server in (mysql56, mysql97, mariadb):
        with sakila(server) as source, store_database(postgres15) as store:
            file = tmp_path / f"{server.flavour}.yaml"
            write_starter(source.dsn, [f"main={store.dsn}"], file)
            settings = load_settings(file)
            plan = plan_of(settings)
            assert len(plan.plans) == 16
            assert len(plan.skipped) == 7
            assert all("view" in reason for reason in plan.skipped.values())
            assert [f for f in assess(settings).findings if f.level == "BLOCK"] == []
            with closing(connect_store(settings.stores["main"].dsn)) as connection:
                for phase in Phase:
                    apply_schema(connection, [item.target for item in plan.plans], phase)
            assert len(store.rows("SELECT FROM pg_tables WHERE schemaname = 'public'")) == 16


def test_no_secret_is_in_the_file_and_files_with_secrets_are_ours_alone(
    source_db: SourceDatabase, tmp_path: Path
) -> None:
    source_db.execute("CREATE TABLE t (id int PRIMARY KEY)")
    target = tmp_path / "conf" / "move.yaml"
    old = os.umask(0)
    try:
        written = write_starter(source_db.dsn, [STORE, "postgresql://h/plain"], target)
    finally:
        os.umask(old)
    folder = tmp_path / "conf" / "move.secrets"
    assert written == [target, folder / "source_password", folder / "store_main.dsn"]
    text = target.read_text()
    assert source_db.server.password not in text
    assert "store-secret" not in text
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in written[1:]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (folder / ".gitignore").read_text() == "*\n"
    settings = load_settings(target)
    assert settings.source.password.get_secret_value() == source_db.server.password
    assert settings.stores["main"].dsn.get_secret_value() == "postgresql://app:store-secret@127.0.0.1:5432/shop"
    assert settings.stores["plain"].dsn.get_secret_value() == "postgresql://h/plain"
    assert settings.name == source_db.database


def test_file_can_be_moved_with_its_secrets(source_db: SourceDatabase, tmp_path: Path) -> None:
    source_db.execute("CREATE TABLE t (id int PRIMARY KEY)")
    write_starter(source_db.dsn, [STORE], tmp_path / "a" / "m.yaml")
    (tmp_path / "a").rename(tmp_path / "b")
    assert load_settings(tmp_path / "b" / "m.yaml").source.password.get_secret_value() == source_db.server.password


def test_decisions_are_written_beside_their_tables(mariadb: RunningServer, tmp_path: Path) -> None:
    with source_database(mariadb) as source:
        source.execute(
            "CREATE TABLE plain (id int PRIMARY KEY)",
            "CREATE TABLE keyless (a int) ENGINE=MyISAM",
            "CREATE TABLE flags (id int PRIMARY KEY, active tinyint(1), g geometry)",
            "CREATE TABLE `null` (id int PRIMARY KEY)",
            'CREATE TABLE `odd: "name" #1` (id int PRIMARY KEY)',
            "CREATE TABLE `glob*` (id int PRIMARY KEY)",
            "CREATE TABLE old (id int PRIMARY KEY) WITH SYSTEM VERSIONING",
            "CREATE TABLE zero (id int PRIMARY KEY, d date NOT NULL DEFAULT '0000-00-00')",
            "CREATE SEQUENCE seq",
            "CREATE VIEW v AS SELECT 1",
        )
        target = tmp_path / "m.yaml"
        write_starter(source.dsn, [STORE], target)
        text = target.read_text()
        for words in (
            "No primary key",
            "Engine MyISAM",
            "types: {active: boolean}",
            "Geometry",
            "0000-00-00, then -infinity",
        ):
            assert words in text
        settings = load_settings(target)
        assert {name: rule.skip for name, rule in settings.tables.items()} == {
            "plain": False,
            "keyless": False,
            "flags": False,
            "null": False,
            'odd: "name" #1': False,
            "old": True,
            "zero": False,
            "seq": True,
            "v": True,
        }
        assert all(rule.reason for rule in settings.tables.values() if rule.skip)
        assert {plan.source.id.name for plan in plan_of(settings).plans} == {
            "plain",
            "keyless",
            "flags",
            "null",
            'odd: "name" #1',
            "glob*",
            "zero",
        }


def test_a_table_that_the_plan_refuses_is_skipped_with_the_reason(mysql97: RunningServer, tmp_path: Path) -> None:
    with source_database(mysql97) as source:
        source.execute(
            "CREATE TABLE good (id int PRIMARY KEY)",
            "CREATE TABLE clash (id int PRIMARY KEY, ctid int, ctid_ int)",
        )
        write_starter(source.dsn, [STORE], tmp_path / "m.yaml")
        settings = load_settings(tmp_path / "m.yaml")
        assert settings.tables["clash"].skip
        assert "ctid" in (settings.tables["clash"].reason or "")
        assert [plan.source.id.name for plan in plan_of(settings).plans] == ["good"]


def test_several_databases_with_tables_of_one_name(source_db: SourceDatabase, tmp_path: Path) -> None:
    with source_database(source_db.server) as second:
        names = sorted([source_db.database, second.database])
        for database in (source_db, second):
            database.execute("CREATE TABLE orders (id int PRIMARY KEY)")
        url = source_db.server.dsn(",".join(names))
        write_starter(url, [STORE], tmp_path / "m.yaml")
        plan = plan_of(load_settings(tmp_path / "m.yaml"))
        assert sorted(item.target.name for item in plan.plans) == ["orders", f"{names[1]}_orders"]


def test_password_from_the_environment_stays_there(
    source_db: SourceDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source_db.execute("CREATE TABLE t (id int PRIMARY KEY)")
    server = source_db.server
    url = source_db.dsn.replace(f":{server.password}@", "@")
    monkeypatch.setenv(PASSWORD_VARIABLE, server.password)
    written = write_starter(url, ["postgresql://h/d"], tmp_path / "m.yaml")
    assert written == [tmp_path / "m.yaml"]
    assert f"${{env:{PASSWORD_VARIABLE}}}" in written[0].read_text()
    assert load_settings(written[0]).source.password.get_secret_value() == server.password


def test_existing_file_is_not_overwritten_without_being_told(source_db: SourceDatabase, tmp_path: Path) -> None:
    source_db.execute("CREATE TABLE t (id int PRIMARY KEY)")
    target = tmp_path / "m.yaml"
    target.write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        write_starter(source_db.dsn, [STORE], target)
    assert target.read_text() == "mine"
    write_starter(source_db.dsn, [STORE], target, overwrite=True)
    write_starter(source_db.dsn, [STORE], target, overwrite=True)
    assert load_settings(target).stores


@pytest.mark.parametrize(
    ("source", "stores", "words"),
    [
        ("postgres://u:hidden-pw@h/d", [STORE], "mysql://"),
        ("mysql://u:hidden-pw@h:x/d", [STORE], "cannot be read"),
        ("mysql://u:hidden-pw@h:0/d?tls=hidden-pw", [STORE], "tls"),
        ("mysql://u:hidden-pw@h/d", ["main=nonsense hidden-pw"], "connection string"),
        ("mysql://u:hidden-pw@h/d", [STORE, STORE], "called main"),
        ("mysql://u:hidden-pw@h/d", [], "no store"),
    ],
)
def test_misuse(source: str, stores: list[str], words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        write_starter(source, stores, tmp_path / "m.yaml")
    assert caught.value.exit_code == ExitCode.USAGE
    assert "hidden-pw" not in f"{caught.value} {caught.value.hint}"
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_when_the_source_fails(source_db: SourceDatabase, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no table"):
        write_starter(source_db.dsn, [STORE], tmp_path / "m.yaml")
    with pytest.raises(Unreachable):
        write_starter("mysql://u:p@127.0.0.1:1/d", [STORE], tmp_path / "m.yaml")
    assert list(tmp_path.iterdir()) == []


def test_conninfo_strings_and_generated_names(source_db: SourceDatabase, tmp_path: Path) -> None:
    source_db.execute("CREATE TABLE t (id int PRIMARY KEY)")
    stores = ["host=h dbname=Shop", "postgresql://h/shop", "two=host=h dbname=x"]
    write_starter(source_db.dsn, stores, tmp_path / "m.yaml", name=f"mig_{secrets.token_hex(3)}")
    settings = load_settings(tmp_path / "m.yaml")
    assert list(settings.stores) == ["shop", "shop_2", "two"]
    assert settings.stores["two"].dsn.get_secret_value() == "host=h dbname=x"
    assert settings.defaults.store == "shop"


def test_store_database_is_not_needed_yet(source_db: SourceDatabase, store_db: StoreDatabase, tmp_path: Path) -> None:
    source_db.execute("CREATE TABLE t (id int PRIMARY KEY)")
    write_starter(source_db.dsn, [store_db.dsn], tmp_path / "m.yaml")
    assert assess(load_settings(tmp_path / "m.yaml")).blocked is False
    assert store_db.rows("SELECT count(*) FROM pg_namespace WHERE nspname = 'crossfade'") == [(0,)]


def test_example_of_reshaping_compiles_against_its_tables(mysql97: RunningServer) -> None:
    with source_database(mysql97) as source:
        source.execute(
            "CREATE TABLE customer (id int PRIMARY KEY, name text, pw_hash varbinary(60), last_login datetime)",
            "CREATE TABLE ticket (tkt_no int PRIMARY KEY, state char(1), urgent tinyint(1))",
            "CREATE TABLE event (id int PRIMARY KEY, year int)",
            "CREATE TABLE contact (id int PRIMARY KEY, first varchar(20), last varchar(20))",
            "CREATE TABLE tmp_1 (a int)",
        )
        file = Path(__file__).parents[2] / "config" / "examples" / "reshaping.yaml"
        dsns = {"PEOPLE_DSN": "postgresql://h/p", "ARCHIVE_DSN": "postgresql://h/a"}
        example = load_settings(file, environment=dsns)
        server = {"host": source.server.host, "port": source.server.port, "user": source.server.user}
        settings = example.model_copy(
            update={
                "source": example.source.model_copy(
                    update={**server, "password": SecretStr(source.server.password), "databases": (source.database,)}
                )
            }
        )
        plan = plan_of(settings)
        assert {f"{item.target.store}:{item.target.name}": len(item.columns) for item in plan.plans} == {
            "people:person": 2,
            "people:person_login": 3,
            "people:ticket": 3,
            "archive:old_event": 3,
            "people:contact": 4,
        }
        assert [table.name for table in plan.skipped] == ["tmp_1"]

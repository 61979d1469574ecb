"""Copy and stream together, while the source is written to: every table ends exact, without a lock on anything."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pymysql
from pydantic import SecretStr

from config.settings import ApplySettings, RetrySettings
from stores.control import schema_history
from stores.control.schema_history import SchemaVersion
from stores.mysql import connect_source, probe, variables
from stores.postgres import connect_store
from sync.applier import StoreApplier
from sync.applier_ports import StorePlan
from sync.cascades import CascadeGraph, build_graph, cascades_are_logged
from sync.changes import ChangeReader
from sync.mysql.decode import TableDecoder
from sync.relay.reader import RelayReader
from tests.integration.test_applier_source import SHOP, Following, one_statement
from tests.support.applying import STREAM, Steps, running, wait_for
from tests.support.copying import Copying, copying
from tests.support.servers import SourceDatabase, StoreDatabase

NAMES = ("a", "b", "c", "tree", "log")
TYPES = {"id": "integer", "a_id": "integer", "b_id": "integer", "parent": "integer", "a": "integer"}


def applier_of(copied: Copying, directory: Path) -> StoreApplier:
    """An applier over the relay that the copy uses."""
    connection = connect_source(copied.settings.source)
    try:
        info = probe(connection)
        native = variables(connection, "innodb_native_foreign_keys").get("innodb_native_foreign_keys")
    finally:
        connection.close()
    tables = {table.id: table for table in copied.catalog().values()}
    logged = cascades_are_logged(info, native)
    with copied.store() as store:
        schema_history.append(store, STREAM, [SchemaVersion(table.id, 1, table) for table in tables.values()])
    return StoreApplier(
        StorePlan("main", STREAM, copied.plans, CascadeGraph() if logged else build_graph(tables, copied.plans)),
        RelayReader(directory),
        lambda: connect_store(SecretStr(copied.store_db.dsn)),
        fence=copied.fence,
        phases=copied.phases,
        steps=Steps(),
        read_changes=lambda history: ChangeReader(tables, history, TableDecoder, mariadb=info.mariadb),
        settings=ApplySettings(max_rows=100),
        retry=RetrySettings(attempts=5, first_wait_s=0.01, max_wait_s=0.1),
    )


def work(source_db: SourceDatabase, stop: threading.Event, seed: int) -> None:
    """Random transactions until told to stop."""
    dice = random.Random(seed)
    connection = source_db.connect(autocommit=False)
    try:
        with connection.cursor() as cursor:
            while not stop.is_set():
                for _ in range(dice.randrange(1, 5)):
                    try:
                        cursor.execute(one_statement(dice))
                    except (pymysql.err.IntegrityError, pymysql.err.OperationalError):
                        continue
                connection.commit()
                stop.wait(0.005)
    finally:
        connection.close()


def test_a_copy_under_writes_ends_exact(source_db: SourceDatabase, store_db: StoreDatabase, tmp_path: Path) -> None:
    source_db.execute(*SHOP)
    for start in range(1000, 3000, 500):
        for table, row in (("a", "({0}, 'n{0}', 'm')"), ("b", "({0}, {0}, 'm')"), ("c", "({0}, {0}, {0})")):
            rows = ", ".join(row.format(number) for number in range(start, start + 500))
            source_db.execute(f"INSERT INTO {table} VALUES {rows}")
    writing, stop = threading.Event(), threading.Event()
    writers = [threading.Thread(target=work, args=(source_db, writing, seed), daemon=True) for seed in (1, 2)]
    with copying(source_db, store_db, tmp_path, chunk_bytes=1 << 12) as copied:
        copied.plan(*NAMES, types=TYPES)
        applier = applier_of(copied, tmp_path)
        following_it = Following(source_db, store_db, copied.follower, copied.plans, applier)
        with running(applier):
            for writer in writers:
                writer.start()
            try:
                copied.run(stop)
                # Whole families go while the replay is on its way.
                source_db.insist(
                    "DELETE FROM a WHERE id BETWEEN 1200 AND 1300", "UPDATE a SET id = id + 9000 WHERE id > 2900"
                )
            finally:
                writing.set()
                for writer in writers:
                    writer.join(30)
            following_it.settle()
            wait_for(applier, lambda state: state.phases.get("streaming") == len(NAMES))
            following_it.settle()
            assert following_it.differences() == {}
            assert not copied.parked

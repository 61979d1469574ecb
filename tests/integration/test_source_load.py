"""What a source says of its load, and what its replicas say of their lag."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.settings import SourceSettings
from model.errors import AccessDenied
from servers import RunningServer
from stores.mysql import connect_source
from sync.mysql import throttle
from sync.mysql.replica_lag import ReplicaLag
from sync.mysql.source_load import LoadLimits, history_length, overload
from tests.support.copying import copying
from tests.support.replicas import PASSWORD, USER, follow, session
from tests.support.servers import SourceDatabase, StoreDatabase
from tests.support.streaming import settings_of, wait_until

OLD_VERSIONS = 60


@contextmanager
def kept_history(source_db: SourceDatabase) -> Iterator[None]:
    """Changes whose old versions somebody may still read, as long as this lasts."""
    source_db.execute("CREATE TABLE much (id int PRIMARY KEY, n int)", "INSERT INTO much VALUES (1, 0)")
    with closing(source_db.connect(autocommit=False)) as reader, reader.cursor() as cursor:
        cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT")
        cursor.execute("SELECT n FROM much")
        cursor.fetchall()
        source_db.execute(*["UPDATE much SET n = n + 1"] * OLD_VERSIONS)
        yield


def test_history_and_threads_are_read(source_db: SourceDatabase) -> None:
    with kept_history(source_db), closing(connect_source(settings_of(source_db.server))) as connection:
        words = overload(connection, LoadLimits(history_length=OLD_VERSIONS // 2))
        assert words is not None and words.startswith("the source's history list length is ")
        assert words.endswith(f", the limit is {OLD_VERSIONS // 2}")
        assert overload(connection, LoadLimits(threads_running=1000, history_length=10**9)) is None


def test_history_needs_process_on_mysql(mysql97: RunningServer) -> None:
    with session(mysql97) as cursor:
        cursor.execute("CREATE USER bare_reader IDENTIFIED BY 'bare-secret'")
    try:
        settings = settings_of(mysql97).model_copy(update={"user": "bare_reader", "password": SecretStr("bare-secret")})
        with closing(connect_source(settings)) as connection, pytest.raises(AccessDenied) as caught:
            history_length(connection)
        assert "PROCESS" in caught.value.hint
    finally:
        with session(mysql97) as cursor:
            cursor.execute("DROP USER bare_reader")


def test_a_copy_pauses_for_history_and_goes_on_with_another_limit(
    source_db: SourceDatabase, store_db: StoreDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttle, "PAUSE_S", 0.01)
    with kept_history(source_db), copying(source_db, store_db, tmp_path) as copy:
        copy.plan("much")
        copy.settings = copy.settings.model_copy(
            update={"snapshot": copy.settings.snapshot.model_copy(update={"max_history_length": 1})}
        )
        backfill = copy.backfill()
        thread = threading.Thread(target=backfill.run, args=(threading.Event(),))
        thread.start()
        wait_until(lambda: "history list length" in (backfill.pause_reason or ""))
        assert copy.rows("much") == []
        backfill.tune(copy.settings.snapshot.model_copy(update={"max_history_length": None}))
        thread.join(30)
        assert not thread.is_alive() and backfill.pause_reason is None
        assert copy.rows("much") == [("1", str(OLD_VERSIONS))]


def test_who_does_not_follow_or_is_away_counts_as_behind(source: RunningServer) -> None:
    settings = settings_of(source)
    lag = ReplicaLag(settings.model_copy(update={"replicas": (f"{source.host}:{source.port}",)}))
    try:
        assert lag.behind(1.0) == f"replica {source.host}:{source.port} is no replica"
    finally:
        lag.close()
    away = ReplicaLag(settings.model_copy(update={"replicas": ("127.0.0.1:1",), "connect_timeout_s": 1.0}))
    assert "replica 127.0.0.1:1 cannot be asked how far it is behind" in str(away.behind(1.0))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_replica_that_lags(start_private: Callable[..., RunningServer]) -> None:
    source, replica = start_private("mariadb-10.11"), start_private("mariadb-10.11")
    follow(source, replica, "shop")
    settings: SourceSettings = settings_of(source).model_copy(
        update={
            "user": USER, "password": SecretStr(PASSWORD), "replicas": (f"{replica.host}:{replica.port}",),
        }
    )  # fmt: skip
    lag = ReplicaLag(settings)
    name = f"replica {replica.host}:{replica.port}"
    with session(source) as here, session(replica) as there:
        here.execute("CREATE DATABASE shop")
        here.execute("CREATE TABLE shop.t (id int PRIMARY KEY)")
        wait_until(lambda: there.execute("SELECT 1 FROM information_schema.tables WHERE table_schema = 'shop'") == 1)
        wait_until(lambda: lag.behind(1.0) is None)
        there.execute("LOCK TABLES shop.t READ")
        here.execute("INSERT INTO shop.t VALUES (1)")
        wait_until(lambda: str(lag.behind(1.0)).startswith(f"{name} is "))
        assert lag.behind(1e6) is None
        there.execute("UNLOCK TABLES")
        wait_until(lambda: lag.behind(1.0) is None)
        there.execute("STOP SLAVE")
        assert str(lag.behind(1.0)).startswith(f"{name} does not replicate")
    lag.close()

"""A private source, a private store and a folder for one benchmark, and the settings of a migration between them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql
from pydantic import SecretStr
from pymysql.constants import CLIENT

from config.settings import Defaults, RelaySettings, Settings, SourceSettings, StoreSettings
from model.position import Flavour
from servers import RunningServer, start_server
from stores.postgres import PostgresConnection, connect_store

DATABASE = "bench"
STORE = "main"
FAST = {"sync_binlog": 0, "innodb_flush_log_at_trx_commit": 2}
"""The source writes what is measured as fast as it can; the store keeps its durability."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Both servers while they run. The source has an empty database `bench`."""

    source: RunningServer
    store: RunningServer
    folder: Path
    settings: Settings

    def source_connection(self, **options: Any) -> pymysql.Connection[Any]:
        """A connection to the database `bench`, with autocommit and several statements at once."""
        return pymysql.connect(
            host=self.source.host,
            port=self.source.port,
            user=self.source.user,
            password=self.source.password,
            database=DATABASE,
            charset="utf8mb4",
            autocommit=True,
            client_flag=CLIENT.MULTI_STATEMENTS,
            init_command="SET time_zone = '+00:00'",
            **options,
        )

    def store_connection(self) -> PostgresConnection:
        """A connection to the store, with autocommit."""
        return connect_store(self.settings.stores[STORE].dsn)


@contextmanager
def open_stage(source: str = "mariadb-10.11", store: str = "postgres-15") -> Iterator[Stage]:
    """Start the servers; they end, and everything is removed, with the context."""
    with ExitStack() as stack:
        there = stack.enter_context(start_server(source, options=FAST))
        here = stack.enter_context(start_server(store))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crossfade-bench-")))
        stage = Stage(there, here, folder, _settings(there, here, folder))
        with (
            pymysql.connect(host=there.host, port=there.port, user=there.user, password=there.password) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(f"CREATE DATABASE {DATABASE}")
        yield stage


def _settings(source: RunningServer, store: RunningServer, folder: Path) -> Settings:
    return Settings(
        name="bench",
        source=SourceSettings(
            engine=Flavour.MARIADB if "mariadb" in str(source.flavour) else Flavour.MYSQL,
            host=source.host,
            port=source.port,
            user=source.user,
            password=SecretStr(source.password),
            databases=(DATABASE,),
        ),
        stores={STORE: StoreSettings(dsn=SecretStr(store.dsn("postgres")))},
        relay=RelaySettings(directory=folder / "relay"),
        defaults=Defaults(store=STORE),
    )


def timed(work: Callable[[], object]) -> float:
    """Seconds that `work` takes, on the clock."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def peak_rss_mb() -> float:
    """The most memory that this process has had resident, MB (10**6 bytes).

    Linux counts into `ru_maxrss` what the parent held when it started us (exec_mmap in fs/exec.c): a large parent makes
    a small child look large. `VmHWM` (proc(5), /proc/pid/status) is of our own memory alone.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1_000_000
    raise RuntimeError("the kernel does not tell the peak of resident memory")

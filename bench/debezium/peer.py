"""Debezium's way from the binlog to the store: its connector for MariaDB, Kafka, and its JDBC sink.

A broker and a Connect worker of its own, both on loopback and both ended with the benchmark. Only a catch-up is timed:
one round of changes goes through first, so that the virtual machines are warm; then the source's connector is stopped,
the next round is written, and the connector goes on. The clock starts when the first of its rows is visible in the
store, for starting a connector should not be held against the peer; nor are the other rows of that batch.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGTERM

from bench.changes import Changes
from bench.debezium import configuration
from bench.debezium.configuration import HOST, SINK, SOURCE, write_properties
from bench.debezium.fetch import jar_folder
from bench.stage import DATABASE, Stage
from servers.account import Account
from servers.commands import run
from servers.ports import free_port
from servers.process import ServerProcess

NAME = "debezium"
ROWS = 100_000
_HEAP = "-Xmx1g"
_CLUSTER = "Y3Jvc3NmYWRlLWJlbmNoMQ"
"""Any 16 bytes in base64."""
_POLL_S = 0.02
_CHECK_S = 1.0
_LIMIT_S = 300.0
_STOP_S = 20.0


def installed() -> bool:
    """Whether the jars have been fetched and there is a Java to run them."""
    return shutil.which("java") is not None and any(jar_folder().glob("debezium-connector-jdbc-*.jar"))


def catch_up_rate(stage: Stage, changes: Changes) -> float:
    """Rows a second of one round of `changes`. Raises RuntimeError and TimeoutError."""
    with stage.store_connection() as copy:
        copy.execute(f"CREATE SCHEMA {DATABASE}".encode())
        with _running(stage) as connect:
            connect.wait(lambda: changes.copied(copy) and _streams(stage))
            changes.write()
            connect.wait(lambda: changes.done(copy))
            connect.stop(SOURCE)
            changes.write()
            connect.resume(SOURCE)
            connect.wait(lambda: changes.begun(copy))
            begun = time.perf_counter()
            connect.wait(lambda: changes.done(copy))
            return changes.rows / (time.perf_counter() - begun)


def _streams(stage: Stage) -> bool:
    """Whether somebody reads the source's binlog: the snapshot is over."""
    with stage.source_connection() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM information_schema.processlist WHERE command LIKE 'Binlog Dump%'")
        return bool(cursor.fetchone()[0])


@dataclass(frozen=True, slots=True)
class _Connect:
    """The Connect worker, by its REST interface."""

    port: int
    processes: tuple[ServerProcess, ...]

    def wait(self, arrived: Callable[[], bool]) -> None:
        """Until it has arrived; meanwhile a task that failed is told of, as is a process that ended."""
        begun = checked = time.perf_counter()
        while not arrived():
            now = time.perf_counter()
            if now - checked > _CHECK_S:
                checked = now
                self._check()
            if now - begun > _LIMIT_S:
                raise TimeoutError(f"Debezium did not get there within {_LIMIT_S:.0f} s")
            time.sleep(_POLL_S)

    def answers(self) -> bool:
        """Whether the connectors have tasks that run."""
        try:
            return all(self._tasks(name) for name in (SINK, SOURCE))
        except OSError:  # not listening yet, or it does not know the connector yet
            return False

    def stop(self, name: str) -> None:
        """End the tasks of a connector and wait until they have ended; it keeps its place."""
        self._ask(f"{name}/stop", "PUT")
        self.wait(lambda: not self._tasks(name))

    def resume(self, name: str) -> None:
        """Let it go on."""
        self._ask(f"{name}/resume", "PUT")

    def _check(self) -> None:
        if not all(process.is_running for process in self.processes):
            raise RuntimeError("Kafka or Kafka Connect has ended")
        for name in (SINK, SOURCE):
            try:
                self._tasks(name)
            except OSError:
                continue

    def _tasks(self, name: str) -> list[str]:
        status = json.loads(self._ask(f"{name}/status", "GET"))
        for part in (status["connector"], *status["tasks"]):
            if part["state"] == "FAILED":
                causes = [line for line in part.get("trace", "").splitlines() if not line.startswith("\tat ")]
                raise RuntimeError(f"Debezium's {name} failed: {' | '.join(causes)[-1000:]}")
        return [task["state"] for task in status["tasks"]]

    def _ask(self, path: str, method: str) -> bytes:
        request = urllib.request.Request(f"http://{HOST}:{self.port}/connectors/{path}", method=method)
        with urllib.request.urlopen(request, timeout=_LIMIT_S) as answer:
            content: bytes = answer.read()
        return content


@contextmanager
def _running(stage: Stage) -> Iterator[_Connect]:
    folder = stage.folder / NAME
    folder.mkdir(mode=0o700)
    kafka, rest = free_port(), free_port()
    broker = write_properties(folder / "broker", configuration.broker(folder, kafka, free_port()))
    run(_java("kafka.tools.StorageTool", "format", "-t", _CLUSTER, "-c", broker))
    files = (
        write_properties(folder / "worker", configuration.worker(folder, kafka, rest)),
        write_properties(folder / SOURCE, configuration.source(stage, folder)),
        write_properties(folder / SINK, configuration.sink(stage, "postgres")),
    )
    processes: list[ServerProcess] = []
    try:
        processes.append(_start(folder, "kafka.Kafka", broker))
        processes.append(_start(folder, "org.apache.kafka.connect.cli.ConnectStandalone", *files))
        connect = _Connect(rest, tuple(processes))
        connect.wait(connect.answers)
        yield connect
    finally:
        for process in reversed(processes):
            process.stop(SIGTERM, _STOP_S)


def _java(main: str, *arguments: str | Path) -> list[str]:
    return ["java", _HEAP, "-cp", f"{jar_folder()}/*", main, *map(str, arguments)]


def _start(folder: Path, main: str, *arguments: Path) -> ServerProcess:
    ours = Account("ours", os.geteuid(), os.getegid())
    return ServerProcess(
        _java(main, *arguments),
        account=ours,
        environment={**os.environ},
        cwd=folder,
        log=folder / "output",
        temporary=None,
    )

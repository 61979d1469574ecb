"""pg_chameleon as a peer, when the program `chameleon` is on the PATH (install it in an environment of its own).

Its own type map makes INT UNSIGNED an integer, which stops it at the first large value, so it is told to use bigint.
It replicates into a database of its own in the same store. It refuses to run as root; then it runs as `nobody`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg

from bench.changes import Changes
from bench.stage import DATABASE, Stage, timed

NAME = "pg_chameleon"
ROWS = 20_000
_PROGRAM = "chameleon"
_TARGET = "chameleon"
_POLL_S = 0.1
_LIMIT_S = 900.0


def installed() -> bool:
    """Whether the program can be run."""
    return shutil.which(_PROGRAM) is not None


def catch_up_rate(stage: Stage, changes: Changes) -> float:
    """Rows a second of one round, from the start of the program on. Raises RuntimeError and TimeoutError."""
    peer = Chameleon.make(stage)
    peer.copy()
    changes.write()
    return changes.rows / peer.catch_up(changes.done)


def _user() -> str | None:
    return "nobody" if os.geteuid() == 0 else None


@dataclass(frozen=True, slots=True)
class Chameleon:
    """One replica of the database `bench`."""

    stage: Stage
    home: Path

    @staticmethod
    def make(stage: Stage) -> Chameleon:
        """Write its configuration and register the source. Raises RuntimeError."""
        self = Chameleon(stage, stage.folder / "chameleon")
        self.home.mkdir(mode=0o700)
        folder = self.home / ".pg_chameleon"
        user = _user()
        if user is not None:
            stage.folder.chmod(0o711)
            shutil.chown(self.home, user)
        self._run("set_configuration_files")
        file = folder / "configuration" / "default.yml"
        file.touch(mode=0o600)
        file.write_text(self._configuration(folder))
        if user is not None:
            shutil.chown(file, user)
        with stage.store_connection() as connection:
            connection.execute(b"CREATE DATABASE chameleon")
        self._run("create_replica_schema")
        self._run("add_source", "--source", "mysql")
        return self

    def copy(self) -> float:
        """Its first copy; seconds."""
        return timed(lambda: self._run("init_replica", "--source", "mysql", "--debug"))

    def catch_up(self, done: Callable[[psycopg.Connection[tuple[object, ...]]], bool]) -> float:
        """Let it replicate until `done` says so of its database; seconds. Raises TimeoutError."""
        begun = time.perf_counter()
        child = subprocess.Popen(
            [_PROGRAM, "start_replica", "--source", "mysql", "--debug"],
            env=self._environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            user=_user(),
            cwd=self.home,
        )
        try:
            with psycopg.connect(self.stage.store.dsn(_TARGET), autocommit=True) as connection:
                while not done(connection):
                    if time.perf_counter() - begun > _LIMIT_S or child.poll() is not None:
                        raise TimeoutError("pg_chameleon did not catch up")
                    time.sleep(_POLL_S)
            return time.perf_counter() - begun
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, 9)
            child.wait()

    def _run(self, *arguments: str) -> None:
        done = subprocess.run(
            [_PROGRAM, *arguments],
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            user=_user(),
            cwd=self.home,
        )
        if done.returncode:
            raise RuntimeError(f"pg_chameleon's {arguments[0]} failed: {(done.stdout + done.stderr)[-1000:]}")

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "HOME": str(self.home)}

    def _configuration(self, folder: Path) -> str:
        source, store = self.stage.source, self.stage.store
        return f"""---
pid_dir: '{folder}/pid/'
log_dir: '{folder}/logs/'
log_dest: file
log_level: info
log_days_keep: 1
rollbar_key: ''
rollbar_env: ''
type_override:
  "int(10) unsigned":
    override_to: bigint
    override_tables:
      - "*"
pg_conn:
  host: "{store.host}"
  port: "{store.port}"
  user: "{store.user}"
  password: "{store.password}"
  database: "{_TARGET}"
  charset: "utf8"
sources:
  mysql:
    db_conn:
      host: "{source.host}"
      port: "{source.port}"
      user: "{source.user}"
      password: "{source.password}"
      charset: "utf8"
      connect_timeout: 10
    schema_mappings:
      {DATABASE}: {DATABASE}
    limit_tables:
    skip_tables:
    grant_select_to:
    lock_timeout: "120s"
    my_server_id: 100
    replica_batch_size: 10000
    replay_max_rows: 10000
    batch_retention: '1 day'
    copy_max_memory: "300M"
    copy_mode: 'file'
    out_dir: '{self.home}'
    sleep_loop: 1
    on_error_replay: exit
    on_error_read: exit
    auto_maintenance: "disabled"
    gtid_enable: false
    type: mysql
    keep_existing_schema: No
"""

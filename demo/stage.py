"""The demo's stage: private servers, the shop with its data, three stores, a configuration, and the crossfade command.

Everything lives below one temporary folder and is removed at the end, unless it is to be kept.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from demo.retailcore.address import MysqlAddress
from demo.retailcore.domains import Domain
from demo.retailcore.generate import Generated, generate
from demo.retailcore.mapping import config_text, environment
from demo.retailcore.schema import create_database
from servers import Engine, flavour_named, start_server

DATABASE = "retailcore"
CUTOVER = "\ncutover: {max_lag_s: 10}    # servers, daemon and customers share this machine\n"


@dataclass(frozen=True, slots=True)
class Finished:
    """One call of the command line."""

    code: int
    out: str
    err: str

    def document(self) -> dict[str, Any]:
        """The JSON object it printed."""
        return dict(json.loads(self.out))


class Stage:
    """Servers, data and the command. Use as a context manager."""

    def __init__(self, source: str, store: str, *, keep: bool, say: Callable[[str], None]) -> None:
        self._source_name, self._store_name = source, store
        self._keep = keep
        self._say = say
        self._stack = ExitStack()
        self.folder = Path(tempfile.mkdtemp(prefix="crossfade-demo-"))
        self.config = self.folder / "crossfade.yaml"
        self.log = self.folder / "daemon.log"
        self.dsns: dict[Domain, str] = {}
        self._daemon: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *error: object) -> None:
        if self._daemon is not None and self._daemon.poll() is None:
            self._daemon.terminate()
            try:
                self._daemon.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self._daemon.kill()
                self._daemon.wait()
        self._stack.close()
        if not self._keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    # -- setting up

    def start_servers(self) -> None:
        """Start the source and one PostgreSQL server with three databases."""
        source_flavour, store_flavour = flavour_named(self._source_name), flavour_named(self._store_name)
        self.source = self._stack.enter_context(start_server(source_flavour, say=self._say))
        self.store = self._stack.enter_context(start_server(store_flavour, say=self._say))
        engine = "mariadb" if source_flavour.engine is Engine.MARIADB else "mysql"
        with closing(psycopg.connect(self.store.dsn("postgres"), autocommit=True)) as connection:
            for domain in Domain:
                connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(domain)))
                self.dsns[domain] = self.store.dsn(str(domain))
        text = config_text(
            engine=engine,
            host=self.source.host,
            port=self.source.port,
            user=self.source.user,
            database=DATABASE,
            directory=self.folder,
        )
        self.config.write_text(text + CUTOVER)
        self.environment = environment(self.source.password, self.dsns)
        script = "".join(f"export {name}='{value}'\n" for name, value in self.environment.items())
        secrets = self.folder / "environment.sh"
        secrets.touch(mode=0o600)
        secrets.write_text(script)

    @property
    def address(self) -> MysqlAddress:
        """The shop's database."""
        return MysqlAddress(self.source.host, self.source.port, self.source.user, self.source.password, DATABASE)

    def fill(self, rows: int) -> Generated:
        """Make the shop's schema and data."""
        root = MysqlAddress(self.source.host, self.source.port, self.source.user, self.source.password)
        with closing(root.connect()) as connection:
            create_database(connection, DATABASE)
        return generate(self.address, rows)

    def stores(self, stack: ExitStack) -> dict[Domain, psycopg.Connection[Any]]:
        """One connection to each store, closed by `stack`."""
        return {domain: stack.enter_context(psycopg.connect(dsn, autocommit=True)) for domain, dsn in self.dsns.items()}

    # -- the command

    def _command(self, *arguments: str) -> list[str]:
        root = Path(__file__).resolve().parent.parent
        start = ["-m", "crossfade"] if (root / "crossfade" / "__main__.py").is_file() else ["-m", "cli"]
        return [sys.executable, *start, "-c", str(self.config), *arguments]

    def _environment(self) -> Mapping[str, str]:
        root = Path(__file__).resolve().parent.parent
        paths = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {**os.environ, **self.environment, "PYTHONPATH": os.pathsep.join(paths), "NO_COLOR": "1"}

    def crossfade(self, *arguments: str, timeout_s: float = 600.0) -> Finished:
        """Run one command to its end."""
        done = subprocess.run(
            self._command(*arguments),
            env=self._environment(),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    def start_daemon(self) -> None:
        """`crossfade start` in the background; its log goes to the folder."""
        with self.log.open("ab") as log:
            self._daemon = subprocess.Popen(
                self._command("start"), env=self._environment(), cwd=self.folder, stdout=log, stderr=log
            )

    def daemon_ended(self) -> int | None:
        """The daemon's exit code, None while it runs."""
        return self._daemon.poll() if self._daemon else None

    def log_tail(self, lines: int = 15) -> str:
        """The end of the daemon's log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""

"""Private database servers: started, stopped, killed and started again.

    with start_server("mysql-9.7") as server:
        connect(server.dsn("shop"))

A server listens on the loopback interface only and dies with the process that started it.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Protocol

from model.errors import UsageError
from servers.account import Account, server_account
from servers.container import ContainerServer
from servers.data_folder import Passport, driver, prepare
from servers.errors import ServerFailed, ServerUnavailable
from servers.flavour import Engine, Flavour, flavour_named
from servers.installation import ContainerImage, Installation
from servers.options import Options
from servers.ports import LOOPBACK, free_port
from servers.process import ServerProcess
from servers.provisioning import provision
from servers.routes import Say

_START_SECONDS = 120.0
_POLL_SECONDS = 0.03
_PORT_TRIES = 5
_LOG = "server.log"


class Machine(Protocol):
    """What runs a server: a process of this machine or a container."""

    @property
    def pid(self) -> int:
        """Process id of the server, 0 while it is stopped."""

    def start(self, options: Options | None) -> None:
        """Start on the same port and data; None keeps the options of the last start."""

    def stop(self) -> None:
        """Stop cleanly and wait for the end."""

    def kill(self) -> None:
        """Kill without warning and wait for the end."""

    def remove(self) -> None:
        """Kill, and delete the data if it was made for this server."""


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A private server and how to reach it. The value stays good over stop, kill and restart."""

    flavour: Flavour
    version: str
    host: str
    port: int
    user: str
    password: str = field(repr=False)
    data_dir: Path
    log: Path
    machine: Machine = field(repr=False, compare=False)

    @property
    def pid(self) -> int:
        """The server's process id; 0 while it is stopped."""
        return self.machine.pid

    def dsn(self, database: str | None = None) -> str:
        """The server's URL, password included: `mariadb://`, `mysql://` or `postgresql://`."""
        if database is None and self.flavour.engine is Engine.POSTGRES:
            database = "postgres"
        path = f"/{database}" if database else ""
        return f"{self.flavour.engine}://{self.user}:{self.password}@{self.host}:{self.port}{path}"

    def stop(self) -> None:
        """Stop cleanly; the data stays for `restart` until this process ends."""
        self.machine.stop()

    def kill(self) -> None:
        """End the server and all its children with SIGKILL, as a power cut would."""
        self.machine.kill()

    def restart(self, options: Options | None = None) -> RunningServer:
        """Stop it if it runs, and start it on the same port and data, with new `options` if given. Returns itself."""
        self.machine.stop()
        self.machine.start(options)
        return self

    def remove(self) -> None:
        """End the server and delete its data, unless the folder was given by the caller."""
        self.machine.remove()

    def __enter__(self) -> RunningServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()


class LocalServer:
    """A server as a process of this machine."""

    def __init__(
        self, installation: Installation, account: Account, data: Path, owned: Path | None, options: Options | None
    ) -> None:
        """`owned` is the temporary folder around `data`, deleted in the end; None when the data is the caller's."""
        self._installation = installation
        self._account = account
        self._driver = driver(installation.flavour)
        self._data = data
        self._owned = owned
        self._options = options
        self._process: ServerProcess | None = None
        self.passport: Passport

    @property
    def pid(self) -> int:
        """The server's process id; 0 while it is stopped."""
        return self._process.pid if self._process is not None and self._process.is_running else 0

    def create(self) -> None:
        """Prepare the data folder and start for the first time, on its old port or on one that is free."""
        self.passport = prepare(self._installation, self._data, self._account)
        atexit.register(self._at_exit)
        for _ in range(_PORT_TRIES):
            port = self.passport.port or free_port()
            self.passport = replace(self.passport, port=port, version=self._installation.version)
            try:
                self.start(None)
            except ServerFailed as failure:
                if self._driver.PORT_TAKEN not in str(failure):
                    raise
                self.passport = replace(self.passport, port=0)
            else:
                self.passport.write(self._data, self._account)
                return
        raise ServerUnavailable(f"{self._installation.flavour} found no free port in {_PORT_TRIES} tries")

    def start(self, options: Options | None) -> None:
        """Start and wait until it answers. Raises ServerFailed with the end of its log."""
        if options is not None:
            self._options = options
        command = self._driver.configure(self._installation, self._data, self.passport.port, self._options)
        log = self._data / _LOG
        seen = log.stat().st_size if log.exists() else 0
        log.touch(mode=0o600)
        self._account.give(self._data)
        self._process = ServerProcess(
            command,
            account=self._account,
            environment=self._installation.environment,
            cwd=self._data,
            log=log,
            temporary=self._owned,
        )
        deadline = time.monotonic() + _START_SECONDS
        pause = threading.Event()
        while not self._driver.answers(self.passport.port, self.passport.password, self._data):
            if not self._process.is_running:
                raise self._failure("stopped while starting", log, seen)
            if time.monotonic() > deadline:
                self._process.kill()
                raise self._failure(f"did not answer within {_START_SECONDS:.0f} s", log, seen)
            pause.wait(_POLL_SECONDS)

    def stop(self) -> None:
        """Stop cleanly and wait for the end."""
        if self._process is not None:
            self._process.stop(self._driver.STOP_SIGNAL)

    def kill(self) -> None:
        """Kill without warning and wait for the end."""
        if self._process is not None:
            self._process.kill()

    def remove(self) -> None:
        """End it; a data folder of the caller's is left clean, a temporary one is deleted."""
        if self._owned is None:
            self.stop()
        else:
            self.kill()
            shutil.rmtree(self._owned, ignore_errors=True)
        atexit.unregister(self._at_exit)

    def _at_exit(self) -> None:
        self.remove()

    def _failure(self, what: str, log: Path, seen: int) -> ServerFailed:
        with log.open("rb") as file:
            file.seek(seen)
            lines = file.read().decode(errors="replace").splitlines()
        tail = "\n  ".join(lines[-25:])
        return ServerFailed(f"{self._installation.flavour} {what}; the end of its log:\n  {tail}", log=log)


def start_server(
    flavour: Flavour | str,
    *,
    options: Options | None = None,
    data_dir: Path | None = None,
    say: Say = lambda line: None,
    local: bool = True,
    containers: bool = True,
) -> RunningServer:
    """Start a private server of `flavour` and wait until it answers.

    `options` are server variables that override our defaults (None as a value takes a default away). `data_dir` is
    a folder to keep: one that holds a server of ours is started again on its port. Without it the data is temporary.
    Raises ServerUnavailable when the flavour cannot be had here, ServerFailed when it does not start.
    """
    wanted = flavour_named(flavour) if isinstance(flavour, str) else flavour
    found = provision(wanted, say=say, local=local, containers=containers)
    if isinstance(found, ContainerImage):
        if data_dir is not None:
            raise UsageError("A server in a container keeps no data folder", hint="Leave the data folder out.")
        return _start_container(found, options)
    account = server_account()
    owned = None
    if data_dir is None:
        owned = _temporary_folder(account)
        data = owned / "data"
    else:
        data = data_dir.resolve()
        if not account.can_reach(data):
            raise UsageError(
                f"The servers' account {account.name} cannot reach the data folder",
                hint="Take a folder whose parents everybody may enter.",
                folder=data,
            )
    machine = LocalServer(found, account, data, owned, options)
    try:
        machine.create()
    except BaseException:
        machine.remove()
        raise
    return RunningServer(
        wanted,
        found.version,
        LOOPBACK,
        machine.passport.port,
        driver(wanted).USER,
        machine.passport.password,
        data,
        data / _LOG,
        machine,
    )


def _temporary_folder(account: Account) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="crossfade-server-")).resolve()
    if not account.can_reach(folder / "data"):
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix="crossfade-server-", dir="/tmp"))
    account.give(folder)
    return folder


def _start_container(image: ContainerImage, options: Options | None) -> RunningServer:
    machine = ContainerServer(image, options, free_port())
    machine.start(None)
    user = driver(image.flavour).USER
    nowhere = Path(f"/{image.image}")
    return RunningServer(
        image.flavour, image.version, LOOPBACK, machine.port, user, machine.password, nowhere, nowhere, machine
    )

"""A server in a container, for machines that have a container engine and no server programs.

Ports are published on the loopback interface. Variables are the command line's, as the official images take them.
"""

from __future__ import annotations

import atexit
import secrets
import threading
import time
from typing import Any

from servers.data_folder import driver
from servers.errors import ServerFailed
from servers.flavour import MYSQL_5_6, Engine
from servers.installation import ContainerImage
from servers.options import Options, Value, merged, texts
from servers.ports import LOOPBACK

_START_SECONDS = 180.0
_POLL_SECONDS = 0.2


class ContainerServer:
    """One container; the data lives and dies with it."""

    def __init__(self, image: ContainerImage, options: Options | None, port: int) -> None:
        self._image = image
        self._options = options
        self._driver = driver(image.flavour)
        self._container: Any = None
        self.port = port
        self.password = secrets.token_hex(12)

    @property
    def pid(self) -> int:
        """The engine's process id of the server; 0 while it is stopped."""
        if self._container is None:
            return 0
        inner = self._container.get_wrapped_container()
        inner.reload()
        return int(inner.attrs["State"]["Pid"])

    def start(self, options: Options | None) -> None:
        """Start and wait until it answers. New options need a new container, so they are refused after the first."""
        if self._container is None:
            self._create()
        elif options is not None and dict(options) != dict(self._options or {}):
            raise ServerFailed("A server in a container cannot be restarted with other options")
        else:
            self._container.get_wrapped_container().start()
        deadline = time.monotonic() + _START_SECONDS
        pause = threading.Event()
        while not self._driver.answers(self.port, self.password, None):
            if time.monotonic() > deadline:
                said = self._container.get_wrapped_container().logs(tail=25).decode(errors="replace")
                self.remove()
                raise ServerFailed(f"{self._image.image} did not answer within {_START_SECONDS:.0f} s:\n{said}")
            pause.wait(_POLL_SECONDS)

    def stop(self) -> None:
        """Stop cleanly and wait for the end."""
        if self._container is not None:
            self._container.get_wrapped_container().stop(timeout=60)

    def kill(self) -> None:
        """Kill without warning and wait for the end."""
        if self.pid:
            inner = self._container.get_wrapped_container()
            inner.kill()
            inner.wait()

    def remove(self) -> None:
        """End it and delete its data."""
        if self._container is not None:
            self._container.stop(force=True, delete_volume=True)
            self._container = None
        atexit.unregister(self.remove)

    def _create(self) -> None:
        from testcontainers.core.container import DockerContainer

        is_postgres = self._image.flavour.engine is Engine.POSTGRES
        inside = 5432 if is_postgres else 3306
        container = DockerContainer(self._image.image).with_command(self.command())
        for name in ("POSTGRES_PASSWORD",) if is_postgres else ("MYSQL_ROOT_PASSWORD", "MARIADB_ROOT_PASSWORD"):
            container = container.with_env(name, self.password)
        container = container.with_kwargs(ports={f"{inside}/tcp": (LOOPBACK, self.port)})
        atexit.register(self.remove)
        self._container = container.start()

    def command(self) -> list[str]:
        """The words after the image's name."""
        if self._image.flavour.engine is Engine.POSTGRES:
            chosen = merged(
                {"wal_level": "logical", "max_prepared_transactions": 20, "max_replication_slots": 20}, self._options
            )
            settings = [f"{name}={text}" for name, value in chosen.items() for text in texts(value)]
            return [word for setting in settings for word in ("-c", setting)]
        defaults: dict[str, Value] = {
            "server_id": self.port,
            "log_bin": "binlog",
            "binlog_format": "ROW",
            "binlog_row_image": "FULL",
            "sync_binlog": 1,
            "max_allowed_packet": "1G",
            "local_infile": True,
            "character_set_server": "utf8mb4",
        }
        if self._image.flavour is not MYSQL_5_6:
            defaults["binlog_row_metadata"] = "FULL"
            if self._image.flavour.engine is Engine.MYSQL:
                defaults |= {"gtid_mode": "ON", "enforce_gtid_consistency": "ON"}
        chosen = merged(defaults, self._options)
        return [f"--{name.replace('_', '-')}={text}" for name, value in chosen.items() for text in texts(value)]

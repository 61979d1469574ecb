"""PostgreSQL: how a data folder is made and what the server is told.

Passwords by SCRAM over TCP, logical decoding on, and durable: a killed server must come back with what it confirmed.
"""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import psycopg

from servers.account import Account
from servers.errors import ServerFailed
from servers.installation import Installation
from servers.options import Options, Value, merged, texts
from servers.ports import LOOPBACK

USER = "postgres"
STOP_SIGNAL = signal.SIGINT
"""Fast shutdown: ends sessions, writes a checkpoint."""
PORT_TAKEN = "Address already in use"
_CONFIGURATION = "crossfade.conf"
_INIT_SECONDS = 300


def initialise(installation: Installation, data: Path, account: Account, password: str) -> None:
    """Make a cluster in the empty folder `data` with one superuser, `postgres`, with `password`."""
    outside = data.with_name("setup")
    outside.mkdir()
    (outside / "password").write_text(password + "\n")
    account.give(outside)
    account.give(data)
    command = [
        str(installation.program.with_name("initdb")),
        f"--pgdata={data}",
        f"--username={USER}",
        f"--pwfile={outside / 'password'}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
        "--no-sync",
    ]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_INIT_SECONDS,
            cwd=data,
            env=installation.environment,
            user=None if account.is_us else account.uid,
            group=None if account.is_us else account.gid,
            extra_groups=None if account.is_us else [],
            umask=0o077,
        )
    except subprocess.TimeoutExpired as error:
        raise ServerFailed(f"{installation.flavour} was not initialised within {_INIT_SECONDS} s") from error
    if done.returncode != 0:
        raise ServerFailed(f"{installation.flavour} could not be initialised:\n{(done.stdout + done.stderr)[-2000:]}")
    with (data / "postgresql.conf").open("a") as file:
        file.write(f"\ninclude_if_exists = '{_CONFIGURATION}'\n")


def configure(installation: Installation, data: Path, port: int, options: Options | None) -> list[str]:
    """Write the configuration file; the command that starts the server."""
    defaults: dict[str, Value] = {
        "listen_addresses": LOOPBACK,
        "port": port,
        "unix_socket_directories": "",
        "password_encryption": "scram-sha-256",
        "wal_level": "logical",
        "fsync": True,
        "synchronous_commit": True,
        "shared_buffers": "64MB",
        "max_connections": 100,
        "max_prepared_transactions": 20,
        "max_replication_slots": 20,
        "max_wal_senders": 20,
        "huge_pages": False,
        "timezone": "UTC",
        "log_timezone": "UTC",
        "lc_messages": "C",
        "log_line_prefix": "%m [%p] %q%a %u@%d ",
    }
    lines = []
    for name, value in merged(defaults, options).items():
        for text in texts(value):
            escaped = text.replace("'", "''")
            lines.append(f"{name} = '{escaped}'")
    path = data / _CONFIGURATION
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o600)
    return [str(installation.program), "-D", str(data)]


def answers(port: int, password: str, data: Path | None) -> bool:
    """Whether a server lets the superuser in and, unless `data` is None, works on that folder.

    Servers copied from one template share a password, so another one that took our port would let us in too.
    """
    try:
        with psycopg.connect(
            host=LOOPBACK, port=port, user=USER, password=password, dbname="postgres", connect_timeout=5
        ) as connection:
            row = connection.execute("SHOW data_directory").fetchone()
    except psycopg.OperationalError:
        return False
    return row is not None and (data is None or Path(row[0]) == data)

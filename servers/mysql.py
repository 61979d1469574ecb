"""MariaDB and MySQL: how a data folder is made and what the server is told.

The binary log is on (ROW, FULL images and metadata) and durable on every commit; root comes in over TCP with a
password. Everything else stays at the server's own defaults, for a legacy server is what we stand in for, except what
would only make it big or slow to start.
"""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pymysql

from servers.account import Account
from servers.errors import ServerFailed
from servers.flavour import MYSQL_5_6, Engine
from servers.installation import Installation
from servers.options import Options, Value, merged, texts
from servers.ports import LOOPBACK

USER = "root"
STOP_SIGNAL = signal.SIGTERM
PORT_TAKEN = "Address already in use"
_CONFIGURATION = "my.cnf"
_INIT_SECONDS = 300


def initialise(installation: Installation, data: Path, account: Account, password: str) -> None:
    """Fill the empty folder `data` with system tables and one account, root with `password`, for every host."""
    configuration = _write(
        data,
        _folders(installation, data) | {"skip_log_bin": True, "log_error": "init.log"} | {"performance_schema": False},
    )
    statements = data / "init.sql"
    feed = ""
    if installation.flavour.engine is Engine.MYSQL and installation.flavour is not MYSQL_5_6:
        statements.write_text(
            f"ALTER USER root@localhost IDENTIFIED BY '{password}';\n"
            f"CREATE USER root@'%' IDENTIFIED BY '{password}';\n"
            "GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;\n"
        )
        mode = ["--initialize-insecure", f"--init-file={statements}"]
    else:
        feed = _bootstrap_script(installation, password)
        mode = ["--bootstrap", "--innodb-buffer-pool-size=32M"]
    # mysqld insists on an empty folder, so our files wait beside it.
    outside = data.with_name("setup")
    outside.mkdir()
    for path in (configuration, statements):
        if path.exists():
            path.rename(outside / path.name)
    account.give(outside)
    account.give(data)
    command = [str(installation.program), f"--defaults-file={outside / _CONFIGURATION}"]
    mode = [word.replace(str(statements), str(outside / statements.name)) for word in mode]
    try:
        done = subprocess.run(
            [*command, *mode],
            input=feed,
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
    log = data / "init.log"
    said = log.read_text(errors="replace") if log.exists() else ""
    if done.returncode != 0:
        raise ServerFailed(f"{installation.flavour} could not be initialised:\n{(said + done.stderr)[-2000:]}")
    log.unlink(missing_ok=True)
    (data / "auto.cnf").unlink(missing_ok=True)  # holds the server's identity: each copy makes its own


def configure(installation: Installation, data: Path, port: int, options: Options | None) -> list[str]:
    """Write the configuration file; the command that starts the server."""
    defaults: dict[str, Value] = {
        **_folders(installation, data),
        "port": port,
        "bind_address": LOOPBACK,
        "socket": "mysqld.sock",
        "pid_file": "mysqld.pid",
        "log_error": "server.log",
        "skip_name_resolve": True,
        "server_id": port,
        "log_bin": "binlog",
        "binlog_format": "ROW",
        "binlog_row_image": "FULL",
        "sync_binlog": 1,
        "innodb_flush_log_at_trx_commit": 1,
        "innodb_buffer_pool_size": "64M",
        "max_allowed_packet": "1G",
        "local_infile": True,
        "character_set_server": "utf8mb4",
        "performance_schema": False,  # 250 MB and half of the start of MySQL 9.7
    }
    if installation.flavour is MYSQL_5_6:
        defaults |= {
            "innodb_use_native_aio": False,
            "innodb_file_format": "Barracuda",
            "innodb_large_prefix": True,
        }
    elif installation.flavour.engine is Engine.MARIADB:
        defaults |= {"binlog_row_metadata": "FULL"}
    else:
        defaults |= {
            "binlog_row_metadata": "FULL",
            "gtid_mode": "ON",
            "enforce_gtid_consistency": "ON",
            "innodb_redo_log_capacity": "128M",
            "mysqlx": "OFF",
            "secure_file_priv": "NULL",
        }
    path = _write(data, merged(defaults, options))
    return [str(installation.program), f"--defaults-file={path}"]


def answers(port: int, password: str, data: Path | None) -> bool:
    """Whether a server lets root in and, unless `data` is None, works on that folder.

    Servers copied from one template share a password, so another one that took our port would let us in too.
    """
    try:
        with pymysql.connect(
            host=LOOPBACK, port=port, user=USER, password=password, connect_timeout=5, read_timeout=5
        ) as connection:
            cursor = connection.cursor()
            cursor.execute("SELECT @@datadir")
            (folder,) = cursor.fetchall()[0]
    except pymysql.err.OperationalError:
        return False
    return data is None or Path(folder) == data


def _folders(installation: Installation, data: Path) -> dict[str, Value]:
    messages = installation.folder("share/mysql", "share/mariadb", "share")
    plugins = installation.folder("lib/mysql/plugin", "lib64/mysql/plugin", "lib/plugin")
    folders: dict[str, Value] = {"basedir": str(installation.home), "datadir": str(data), "tmpdir": str(data)}
    if messages is not None:
        folders |= {"lc_messages_dir": str(messages)}
        # Two packagings: character sets beside the messages, or (newer Debian) in a folder of the same name.
        if (messages / "charsets").is_dir():
            folders |= {"character_sets_dir": str(messages / "charsets")}
    if plugins is not None:
        folders |= {"plugin_dir": str(plugins)}
    return folders


def _write(data: Path, options: Options) -> Path:
    lines = ["[mysqld]"]
    for name, value in options.items():
        lines += [f"{name} = {text}" for text in texts(value)]
    path = data / _CONFIGURATION
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o600)
    return path


def _bootstrap_script(installation: Installation, password: str) -> str:
    """The SQL that makes the system tables of a server without `--initialize`, from the files it brings."""
    share = installation.folder("share/mysql", "share/mariadb", "share")
    assert share is not None
    is_mariadb = installation.flavour.engine is Engine.MARIADB
    names = ["system_tables.sql", "performance_tables.sql", "system_tables_data.sql"]
    script = ["CREATE DATABASE IF NOT EXISTS mysql;", "USE mysql;"]
    if is_mariadb:
        # The variables that the server's own install script sets: root by password, not by unix socket.
        script += [
            "SET @auth_root_socket = NULL;",
            "SET @skip_auth_anonymous = 1;",
        ]
        names.append("sys_schema.sql")
    else:
        script += ["CREATE DATABASE IF NOT EXISTS test;"]
    for name in names:
        for prefix in ("mariadb", "mysql"):
            if (path := share / f"{prefix}_{name}").is_file():
                script.append(path.read_text())
                break
    script.append("USE mysql;")
    if is_mariadb:
        script += [
            "FLUSH PRIVILEGES;",
            "DELETE FROM mysql.global_priv WHERE User = '' OR (User = 'root' AND Host <> 'localhost');",
            "FLUSH PRIVILEGES;",
            f"ALTER USER root@localhost IDENTIFIED BY '{password}';",
            f"CREATE USER root@'%' IDENTIFIED BY '{password}';",
            "GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;",
        ]
    else:
        script += [
            "DELETE FROM user WHERE user = '' OR host NOT IN ('localhost', '127.0.0.1');",
            "UPDATE user SET host = '%' WHERE host = '127.0.0.1';",
            f"UPDATE user SET password = PASSWORD('{password}') WHERE user = 'root';",
            "DELETE FROM db;",
        ]
    return "\n".join(script) + "\n"

"""Connections to the source and what we need to know of it before anything else. Only connects and asks."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Any

import pymysql
from pymysql.cursors import Cursor

from config.settings import SourceSettings, Tls
from model.errors import Refused
from model.position import BinlogCoordinate, Flavour, Position
from stores.errors import translated

MysqlConnection = pymysql.connections.Connection


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """Facts of the source that choose our SQL and our protocol."""

    flavour: Flavour
    version: tuple[int, int, int]
    version_text: str
    server_id: int
    server_uuid: str
    """MariaDB has none: `hostname:port` stands in."""
    gtids: bool
    """Whether transactions carry GTIDs (always on MariaDB; MySQL with gtid_mode=ON)."""

    @property
    def mariadb(self) -> bool:
        """Whether this is MariaDB."""
        return self.flavour is Flavour.MARIADB


def tls_context(settings: SourceSettings) -> ssl.SSLContext | None:
    """The TLS context that the settings ask for, None for none. Raises OSError for an unreadable CA file."""
    if settings.tls is Tls.OFF:
        return None
    if settings.tls in (Tls.VERIFY_CA, Tls.VERIFY_FULL):
        context = ssl.create_default_context(cafile=str(settings.tls_ca) if settings.tls_ca else None)
        context.check_hostname = settings.tls is Tls.VERIFY_FULL
    else:
        # Who is not verified needs no list of authorities, which takes longer to read than to connect.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.tls is Tls.PREFERRED:
        # Servers as old as 5.6 speak TLS 1.0 only; "preferred" means better than nothing.
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context


def connect_source(
    settings: SourceSettings,
    *,
    database: str | None = None,
    cursor: type[Cursor] = Cursor,
    read_timeout_s: float | None = None,
    **options: Any,
) -> MysqlConnection[Any]:
    """Open a connection: utf8mb4, UTC, autocommit. Raises Unreachable or AccessDenied."""
    arguments: dict[str, Any] = {
        "host": settings.host,
        "port": settings.port,
        "user": settings.user,
        "password": settings.password.get_secret_value().encode(),
        "database": database,
        "charset": "utf8mb4",
        "autocommit": True,
        "connect_timeout": max(1, int(settings.connect_timeout_s)),
        "read_timeout": read_timeout_s,
        "cursorclass": cursor,
        "max_allowed_packet": 1 << 30,
        "init_command": _init_command(settings),
        **options,
    }
    with translated(f"source {settings.host}:{settings.port}"):
        context = tls_context(settings)
        if context is None:
            return pymysql.connect(**arguments, ssl_disabled=True)
        if settings.tls is not Tls.PREFERRED:
            return pymysql.connect(**arguments, ssl=context)
        try:
            return pymysql.connect(**arguments, ssl=context)
        except (ssl.SSLError, pymysql.err.OperationalError) as error:
            if isinstance(error, pymysql.err.OperationalError) and error.args[0] not in (2003, 2013, 2026):
                raise
            return pymysql.connect(**arguments, ssl_disabled=True)


def _init_command(settings: SourceSettings) -> str:
    command = "SET time_zone = '+00:00'"
    if settings.gate_pass is not None:
        command += f", @crossfade_pass = 0x{settings.gate_pass.get_secret_value().encode().hex()}"
    return command


def account_of(connection: MysqlConnection[Any], thread: int) -> str | None:
    """`user@host` of a connection that is still open; None when it is gone or not for us to see."""
    with translated("source"), connection.cursor() as cursor:
        cursor.execute("SELECT USER, HOST FROM information_schema.PROCESSLIST WHERE ID = %s", (thread,))
        row = cursor.fetchone()
    return f"{row[0]}@{row[1]}" if row else None


def variables(connection: MysqlConnection[Any], pattern: str = "%") -> dict[str, str]:
    """Global variables whose names match the LIKE pattern, names in lower case."""
    with translated("source"), connection.cursor() as cursor:
        cursor.execute("SHOW GLOBAL VARIABLES LIKE %s", (pattern,))
        return {str(name).lower(): str(value) for name, value, *_ in cursor.fetchall()}


def probe(connection: MysqlConnection[Any]) -> ServerInfo:
    """Ask the server who it is."""
    settings = variables(connection)
    text = settings["version"]
    mariadb = "mariadb" in text.lower() or "mariadb" in settings.get("version_comment", "").lower()
    numbers = text.removeprefix("5.5.5-").split("-")[0].split(".")
    version = (int(numbers[0]), int(numbers[1]), int(numbers[2]) if len(numbers) > 2 else 0)
    identity = settings.get("server_uuid") or f"{settings.get('hostname', '')}:{settings.get('port', '')}"
    return ServerInfo(
        flavour=Flavour.MARIADB if mariadb else Flavour.MYSQL,
        version=version,
        version_text=text,
        server_id=int(settings.get("server_id", "0")),
        server_uuid=identity,
        gtids=mariadb or settings.get("gtid_mode", "OFF").upper() == "ON",
    )


def lists_replicas(info: ServerInfo) -> bool:
    """Whether a server may be asked for its replicas.

    MySQL 5.6 ends with signal 11 in SHOW SLAVE HOSTS when one of them disconnects at that moment: `get_slave_uuid`
    reads what the ending thread has freed (seen with 5.6.24).
    """
    return info.mariadb or info.version >= (5, 7, 0)


def binlog_end(connection: MysqlConnection[Any], info: ServerInfo) -> Position:
    """End of the binlog, flush side (rule R2): everything that any snapshot has seen is before it.

    Raises Refused when the server writes no binlog.
    """
    modern = not info.mariadb and info.version >= (8, 2, 0)
    with translated("source"), connection.cursor() as cursor:
        cursor.execute("SHOW BINARY LOG STATUS" if modern else "SHOW MASTER STATUS")
        row = cursor.fetchone()
    if not row:
        raise Refused(
            "the source writes no binary log",
            hint="Set log_bin on the source and restart it, then: crossfade assess",
        )
    return Position(info.flavour, BinlogCoordinate(str(row[0]), int(row[1])))


def executed_gtids(connection: MysqlConnection[Any], info: ServerInfo) -> str:
    """GTIDs of committed transactions, "" when the source has none.

    MySQL: commit side (rule R1). MariaDB: flush side, never to be used as a low watermark.
    """
    if not info.gtids:
        return ""
    query = "SELECT @@GLOBAL.gtid_binlog_pos" if info.mariadb else "SELECT @@GLOBAL.gtid_executed"
    with translated("source"), connection.cursor() as cursor:
        cursor.execute(query)
        row = cursor.fetchone()
    return str(row[0]).replace("\n", "") if row and row[0] else ""

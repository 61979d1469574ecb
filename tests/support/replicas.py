"""A private MariaDB as the replica of another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

import pymysql

from servers import RunningServer

USER, PASSWORD = "mover", "mover-secret"


@contextmanager
def session(server: RunningServer) -> Iterator[pymysql.cursors.Cursor]:
    """A session of the server's own user."""
    with (
        closing(
            pymysql.connect(
                host=server.host, port=server.port, user=server.user, password=server.password, autocommit=True
            )
        ) as connection,
        connection.cursor() as cursor,
    ):
        yield cursor


def follow(source: RunningServer, replica: RunningServer, database: str) -> None:
    """Let a MariaDB replica follow one database from now on."""
    for server in (source, replica):
        with session(server) as cursor:
            cursor.execute(f"CREATE USER {USER} IDENTIFIED BY '{PASSWORD}'")
            cursor.execute(f"GRANT ALL ON *.* TO {USER}")
    with session(source) as cursor:
        cursor.execute("SHOW MASTER STATUS")
        file, position = (cursor.fetchone() or ("", 0))[:2]
    with session(replica) as cursor:
        cursor.execute(f"SET GLOBAL replicate_wild_do_table = '{database}.%'")
        cursor.execute(
            f"CHANGE MASTER TO MASTER_HOST = '{source.host}', MASTER_PORT = {source.port}, MASTER_USER = '{USER}', "
            f"MASTER_PASSWORD = '{PASSWORD}', MASTER_LOG_FILE = '{file}', MASTER_LOG_POS = {position}, "
            "MASTER_USE_GTID = no, MASTER_CONNECT_RETRY = 1"
        )
        cursor.execute("START SLAVE")

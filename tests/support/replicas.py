"""A private server as the replica of another of its kind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

import pymysql

from servers import Engine, RunningServer
from servers.flavour import MYSQL_5_6

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
    """Let a replica follow from now on; a MariaDB one follows one database only."""
    mariadb = source.flavour.engine is Engine.MARIADB
    modern = not mariadb and source.flavour is not MYSQL_5_6
    for server in (source, replica):
        with session(server) as cursor:
            cursor.execute(f"CREATE USER {USER} IDENTIFIED BY '{PASSWORD}'")
            cursor.execute(f"GRANT ALL ON *.* TO {USER}")
    with session(source) as cursor:
        cursor.execute("SHOW BINARY LOG STATUS" if modern else "SHOW MASTER STATUS")
        file, position = (cursor.fetchone() or ("", 0))[:2]
    wanted = {
        "HOST": f"'{source.host}'", "PORT": source.port, "USER": f"'{USER}'", "PASSWORD": f"'{PASSWORD}'",
        "LOG_FILE": f"'{file}'", "LOG_POS": position, "CONNECT_RETRY": 1,
    }  # fmt: skip
    word = "SOURCE" if modern else "MASTER"
    options = [f"{word}_{name} = {value}" for name, value in wanted.items()]
    if mariadb:
        options.append("MASTER_USE_GTID = no")
    else:
        options += [f"{word}_AUTO_POSITION = 0", *(["GET_SOURCE_PUBLIC_KEY = 1"] if modern else [])]
    with session(replica) as cursor:
        if mariadb:
            cursor.execute(f"SET GLOBAL replicate_wild_do_table = '{database}.%'")
        cursor.execute(f"CHANGE {'REPLICATION SOURCE' if modern else 'MASTER'} TO {', '.join(options)}")
        cursor.execute(f"START {'REPLICA' if modern else 'SLAVE'}")

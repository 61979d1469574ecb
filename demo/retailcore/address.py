"""Where the legacy server is and how the shop connects to it: as an old PHP application would, with sql_mode ''."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pymysql
from pymysql.constants import CLIENT


@dataclass(frozen=True, slots=True)
class MysqlAddress:
    """A database on a MySQL or MariaDB server."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str | None = None

    def connect(self, *, autocommit: bool = True, timeout: float = 20.0) -> pymysql.Connection[Any]:
        """A new connection in UTC; `timeout` seconds bound connecting and each read. Raises pymysql.MySQLError."""
        return pymysql.connect(
            host=self.host,
            port=self.port,
            user=self.user,
            password=self.password,
            database=self.database,
            charset="utf8mb4",
            autocommit=autocommit,
            client_flag=CLIENT.FOUND_ROWS,
            connect_timeout=max(1, int(timeout)),
            read_timeout=timeout,
            write_timeout=timeout,
            init_command="SET SESSION sql_mode = '', time_zone = '+00:00'",
        )

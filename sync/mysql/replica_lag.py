"""How far the source's replicas are behind, by their own word. One that gives none counts as behind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pymysql.cursors import DictCursor

from config.settings import SourceSettings
from model.errors import AccessDenied, CrossfadeError
from stores.errors import translated
from stores.mysql import MysqlConnection, connect_source

_STATEMENTS = "SHOW REPLICA STATUS", "SHOW SLAVE STATUS"
"""MySQL 8.4 knows only the first, MySQL 5.6 and MariaDB before 10.5.1 only the second."""
_GRANT = "GRANT REPLICATION CLIENT (MariaDB: REPLICA MONITOR) ON *.* there."
_SYNTAX_ERROR = 1064


def judged(status: Mapping[str, Any] | None, limit_s: float) -> str | None:
    """What is wrong with a replica by its own status, in words; None: it is at most `limit_s` behind."""
    if status is None:
        return "is no replica"
    lag = status.get("Seconds_Behind_Source", status.get("Seconds_Behind_Master"))
    if lag is None:
        return "does not replicate: see its replication, or take it out of source.replicas"
    return f"is {lag} s behind, the limit is {limit_s:g}" if float(lag) > limit_s else None


class ReplicaLag:
    """Asks every server that `source.replicas` names, over connections that it keeps. For one thread at a time."""

    def __init__(self, settings: SourceSettings) -> None:
        self._settings = settings
        self._connections: dict[str, MysqlConnection[Any]] = {}

    def behind(self, limit_s: float) -> str | None:
        """The first replica that is further behind, in words, or cannot say how far; None: there is none."""
        for name in self._settings.replicas:
            try:
                why = judged(self.status(name), limit_s)
            except AccessDenied as error:
                why = f"cannot be asked how far it is behind: {error}. {_GRANT}"
            except CrossfadeError as error:
                why = f"cannot be asked how far it is behind: {error}"
            if why is not None:
                return f"replica {name} {why}"
        return None

    def close(self) -> None:
        """Let go of the connections."""
        while self._connections:
            self._connections.popitem()[1].close()

    def status(self, name: str) -> dict[str, Any] | None:
        """What the replica says of its replication; None: it has none. A connection that fails is not kept.

        Raises AccessDenied, Unreachable, ConnectionLost.
        """
        connection = self._connections.pop(name, None) or connect_source(self._settings.of_replica(name))
        try:
            row = self._asked(connection, name)
        except BaseException:
            connection.close()
            raise
        self._connections[name] = connection
        return row

    def _asked(self, connection: MysqlConnection[Any], name: str) -> dict[str, Any] | None:
        for statement in _STATEMENTS:
            try:
                with translated(f"replica {name}"), connection.cursor(DictCursor) as cursor:
                    cursor.execute(statement)
                    row: dict[str, Any] | None = cursor.fetchone()
                    return row
            except CrossfadeError as error:
                if error.where.get("errno") != _SYNTAX_ERROR:
                    raise
        return None

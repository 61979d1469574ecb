"""Everything the source's checks look at, gathered once. What our user may not see is None, never a guess."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from pymysql.cursors import Cursor, DictCursor

from config.settings import Settings
from model.errors import AccessDenied, CrossfadeError, Refused
from model.tables import TableDef, TableId
from stores.errors import translated
from stores.mysql import MysqlConnection, ServerInfo, connect_source, lists_replicas, probe, variables
from sync.assess.privileges import Privileges
from sync.mysql.catalog import read_catalog
from sync.mysql.open_transactions import oldest_left_s
from sync.mysql.prepared_xa import PreparedXa, prepared_xa
from transforms.compile import compile_plan
from transforms.plan import MigrationPlan
from transforms.rules import rule_of, skip_reason

Rows = tuple[dict[str, str], ...]


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """The source as it is."""

    settings: Settings
    info: ServerInfo
    variables: Mapping[str, str]
    user: str
    """Our account as GRANT wants it: 'crossfade'@'%'."""
    privileges: Privileges
    binlog_status: Rows | None
    """SHOW MASTER STATUS; empty without a binlog, None when we may not see it."""
    replicas: Rows | None
    """SHOW REPLICAS; None when we may not see it, or must not ask."""
    replication: Rows | None
    """SHOW REPLICA STATUS: not empty on a server that is itself a replica."""
    tables: Mapping[TableId, TableDef]
    """All tables of the databases, views and sequences too."""
    prepared_xa: tuple[PreparedXa, ...] | None = ()
    """XA transactions without a verdict, of the whole server; None when we may not ask."""
    prepared_age_s: int | None = None
    """Seconds since the oldest of those began whose session is gone; None without one, or when we may not see it."""
    unseen: str = ""
    """Why the catalogue could not be read, "" when it could."""
    plan: MigrationPlan | None = None
    plan_error: CrossfadeError | None = None
    connection: MysqlConnection[Any] | None = field(default=None, compare=False, repr=False)
    """For the checks that count rows."""

    @property
    def subject(self) -> str:
        """The source in a finding."""
        return "source"

    def variable(self, name: str, default: str = "") -> str:
        """A global variable in upper case; `default` where the server does not have it."""
        return self.variables.get(name, default).upper()

    def on(self, name: str) -> bool:
        """Whether a switch is on."""
        return self.variable(name) in ("ON", "1", "YES", "TRUE")

    @property
    def migrated(self) -> tuple[TableDef, ...]:
        """The tables that the rules do not leave out."""
        found = []
        for table in self.tables.values():
            rule = rule_of(self.settings, table.id)
            if skip_reason(table, rule[1] if rule else None) is None:
                found.append(table)
        return tuple(found)

    @property
    def bytes_estimate(self) -> int:
        """Bytes of all migrated tables, as the engine estimates them."""
        return sum(table.bytes_estimate for table in self.migrated)


def gather_source(connection: MysqlConnection[Any], settings: Settings) -> SourceFacts:
    """Ask the source everything. Raises Unreachable when the connection is lost."""
    info = probe(connection)
    modern = not info.mariadb and info.version >= (8, 2, 0)
    replicas_word = not info.mariadb and info.version >= (8, 0, 22)
    tables: Mapping[TableId, TableDef] = {}
    unseen = ""
    try:
        tables = read_catalog(connection, info, settings.source.databases)
    except (AccessDenied, Refused) as error:
        unseen = str(error)
    plan: MigrationPlan | None = None
    plan_error: CrossfadeError | None = None
    if tables:
        try:
            plan = compile_plan(settings, tables, info.flavour)
        except CrossfadeError as error:
            plan_error = error
    with closing(connect_source(settings.source, use_unicode=False)) as raw:
        waiting = prepared_xa(raw)
        waiting_s = _left_s(raw) if waiting else None
    return SourceFacts(
        settings=settings,
        info=info,
        variables=variables(connection),
        user=_user(connection),
        privileges=_privileges(connection),
        binlog_status=_records(connection, "SHOW BINARY LOG STATUS" if modern else "SHOW MASTER STATUS"),
        replicas=(
            _records(connection, "SHOW REPLICAS" if replicas_word else "SHOW SLAVE HOSTS")
            if lists_replicas(info)
            else None
        ),
        replication=_records(connection, "SHOW REPLICA STATUS" if replicas_word else "SHOW SLAVE STATUS"),
        tables=tables,
        prepared_xa=waiting,
        prepared_age_s=waiting_s,
        unseen=unseen,
        plan=plan,
        plan_error=plan_error,
        connection=connection,
    )


def _left_s(connection: MysqlConnection[Any]) -> int | None:
    try:
        return oldest_left_s(connection)
    except AccessDenied:
        return None


def _user(connection: MysqlConnection[Any]) -> str:
    with translated("source"), connection.cursor(Cursor) as cursor:
        cursor.execute("SELECT CURRENT_USER()")
        row = cursor.fetchone()
    name, _, host = str(row[0] if row else "").rpartition("@")
    return f"'{name}'@'{host}'"


def _privileges(connection: MysqlConnection[Any]) -> Privileges:
    """What SHOW GRANTS says, privileges of the session's roles among it."""
    with translated("source"), connection.cursor(Cursor) as cursor:
        cursor.execute("SHOW GRANTS")
        return Privileges.parse(str(line) for (line,) in cursor.fetchall())


def _records(connection: MysqlConnection[Any], statement: str) -> Rows | None:
    """The rows of a SHOW statement with lower-case names; None when we lack the privilege for it."""
    try:
        with translated("source"), connection.cursor(DictCursor) as cursor:
            cursor.execute(statement)
            rows = cursor.fetchall()
    except AccessDenied:
        return None
    except Refused as error:
        # MySQL 8 answers SHOW BINARY LOG STATUS without a binlog with error 1381.
        if error.where.get("errno") == 1381:
            return ()
        raise
    return tuple(
        {str(name).lower(): "" if value is None else str(value) for name, value in row.items()} for row in rows
    )

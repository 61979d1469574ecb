"""The SQL that creates the least-privileged users that a migration needs, for its source's flavour and its stores.

Passwords are never in it: whoever runs it chooses them.
"""

from __future__ import annotations

from psycopg.conninfo import conninfo_to_dict

from config.settings import Settings
from sync.mysql.literals import quoted_name
from sync.mysql.prepared_xa import PRIVILEGE

_PASSWORD = "<choose a password>"


def grants_script(settings: Settings) -> str:
    """The whole script: one part for the source, one for each store."""
    return "\n\n".join([_source(settings), *(_store(settings, name) for name in settings.stores)]) + "\n"


def _source(settings: Settings) -> str:
    source = settings.source
    user = "'" + source.user.replace("\\", "\\\\").replace("'", "''") + "'@'%'"
    product = "MariaDB" if source.engine.value == "mariadb" else "MySQL"
    databases = [quoted_name(name) for name in source.databases]
    prepared = [
        "-- from MySQL 8 on, to be told of prepared XA transactions",
        f"-- GRANT {PRIVILEGE} ON *.* TO {user};",
    ]
    limits = []
    if settings.snapshot.max_history_length is not None and product == "MySQL":
        limits += ["-- snapshot.max_history_length", f"GRANT PROCESS ON *.* TO {user};"]
    if settings.snapshot.max_replica_lag_s is not None and product == "MariaDB":
        limits += [
            "-- snapshot.max_replica_lag_s, on the replicas too (before MariaDB 10.5 leave it out)",
            f"GRANT REPLICA MONITOR ON *.* TO {user};",
        ]
    lines = [
        f"-- {product} {source.host}:{source.port}: run as an administrator. Put our host in place of %.",
        f"CREATE USER {user} IDENTIFIED BY '{_PASSWORD}';",
        "-- follow the binlog",
        f"GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {user};",
        "-- copy and verify: LOCK TABLES is for tables without a key and for sources without GTIDs",
        *(f"GRANT SELECT, LOCK TABLES ON {database}.* TO {user};" for database in databases),
        *(prepared if product == "MySQL" else ()),
        *limits,
        "-- only before a cutover: the write gate, and the way back",
        *(
            f"-- GRANT CREATE, ALTER, DROP, TRIGGER, INSERT, UPDATE, DELETE ON {database}.* TO {user};"
            for database in databases
        ),
    ]
    return "\n".join(lines)


def _store(settings: Settings, name: str) -> str:
    store = settings.stores[name]
    parts = conninfo_to_dict(store.dsn.get_secret_value())
    role = _quoted(str(parts.get("user") or "crossfade"))
    database = _quoted(str(parts.get("dbname") or parts.get("user") or "postgres"))
    schema = _quoted(store.schema_)
    host = f"{parts.get('host') or 'localhost'}:{parts.get('port') or 5432}"
    return "\n".join(
        [
            f"-- store {name}, PostgreSQL {host}: run in the database {database} as a superuser.",
            f"CREATE ROLE {role} LOGIN PASSWORD '{_PASSWORD}';",
            "-- schemas and tables of its own",
            f"GRANT CONNECT, CREATE ON DATABASE {database} TO {role};",
            f"CREATE SCHEMA IF NOT EXISTS {schema};",
            f"GRANT USAGE, CREATE ON SCHEMA {schema} TO {role};",
            "-- apply changes without firing triggers and foreign keys (from PostgreSQL 15 on, before it a superuser)",
            f"GRANT SET ON PARAMETER session_replication_role TO {role};",
            "-- only for the way back after a cutover, with wal_level = logical",
            f"-- ALTER ROLE {role} REPLICATION;",
        ]
    )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'

"""Connections to the stores. Only connects."""

from __future__ import annotations

from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from model.errors import ConfigError
from stores.errors import translated

PostgresConnection = psycopg.Connection[tuple[Any, ...]]


def dsn_label(dsn: SecretStr) -> str:
    """Host, port and database of a DSN, for messages; never its password."""
    try:
        parts = conninfo_to_dict(dsn.get_secret_value())
    except psycopg.ProgrammingError:
        hint = "Use postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
        raise ConfigError("a store's dsn is not a PostgreSQL connection string", hint=hint) from None
    return f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"


_FIND_EXTENSIONS: Final = """
SELECT set_config('search_path', concat_ws(', ', nullif(current_setting('search_path'), ''),
                  string_agg(DISTINCT quote_ident(n.nspname), ', ')), false)
  FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
 WHERE e.extname IN ('postgis', 'vector', 'citext') AND n.nspname <> ALL (current_schemas(true))
HAVING count(*) > 0
"""
"""Types of extensions are known by their bare names wherever they live; what was found before is found first still."""


def connect_store(dsn: SecretStr, *, application: str = "crossfade", autocommit: bool = True) -> PostgresConnection:
    """Open a connection: UTF-8, UTC, keepalives, no idle or statement timeout. Raises Unreachable or AccessDenied."""
    label = dsn_label(dsn)
    with translated(f"store {label}"):
        connection = psycopg.connect(
            dsn.get_secret_value(),
            autocommit=True,
            application_name=application,
            connect_timeout=10,
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
            client_encoding="UTF8",
            options="-c timezone=UTC -c datestyle=ISO -c intervalstyle=postgres -c extra_float_digits=1",
        )
        try:
            connection.execute(_FIND_EXTENSIONS)
            connection.autocommit = autocommit
        except BaseException:
            connection.close()
            raise
        return connection

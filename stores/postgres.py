"""Connections to the stores. Only connects."""

from __future__ import annotations

from typing import Any

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


def connect_store(dsn: SecretStr, *, application: str = "crossfade", autocommit: bool = True) -> PostgresConnection:
    """Open a connection: UTF-8, UTC, keepalives, no idle or statement timeout. Raises Unreachable or AccessDenied."""
    label = dsn_label(dsn)
    with translated(f"store {label}"):
        return psycopg.connect(
            dsn.get_secret_value(),
            autocommit=autocommit,
            application_name=application,
            connect_timeout=10,
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
            client_encoding="UTF8",
            options="-c timezone=UTC -c datestyle=ISO -c intervalstyle=postgres -c extra_float_digits=1",
        )

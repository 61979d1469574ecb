"""Reads `mysql://user:password@host:port/db1,db2?tls=required` into the fields of `source`; echoes no password."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from model.position import Flavour

OPTIONS = ("tls", "tls_ca", "position", "server_id")
"""Fields of `source` that may stand behind the `?`."""


def source_fields(url: str) -> dict[str, Any]:
    """The fields that the URL gives. Raises ValueError saying what is wrong with it, without its text."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("host or port of the URL cannot be read") from None
    if parts.scheme not in (Flavour.MYSQL, Flavour.MARIADB):
        raise ValueError("the URL must begin with mysql:// or mariadb://")
    if not parts.username:
        raise ValueError("the URL names no user")
    databases = [unquote(name) for name in parts.path.removeprefix("/").split(",") if name]
    fields: dict[str, Any] = {"engine": parts.scheme, "user": unquote(parts.username)}
    if parts.hostname:
        fields["host"] = parts.hostname
    if port is not None:
        fields["port"] = port
    if parts.password is not None:
        fields["password"] = unquote(parts.password)
    if databases:
        fields["databases"] = databases
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in OPTIONS:
            raise ValueError(f"the URL has an unknown option `{name}`; known: {', '.join(OPTIONS)}")
        fields[name] = value
    return fields

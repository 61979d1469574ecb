"""`crossfade init`: looks at the source and writes a commented configuration that works as it is.

No secret is written into the configuration: passwords go to files of mode 0600 beside it, referenced by `${file:…}`.
Changes nothing on any server.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pydantic import ValidationError
from pymysql.cursors import Cursor

from config.load import load_settings
from config.redaction import masked_text
from config.settings import Settings, SourceSettings
from config.source_url import source_fields
from model.errors import ConfigError, Refused, UsageError
from model.tables import TableDef, TableId
from stores.errors import translated
from stores.mysql import MysqlConnection, connect_source, probe, variables
from sync.mysql.catalog import read_catalog
from sync.starter_text import Starter, StarterStore, automatic_skip, rule_key, starter_yaml
from transforms.compile import compile_plan

PASSWORD_VARIABLE = "CROSSFADE_SOURCE_PASSWORD"
"""Where the password may come from instead of the URL, so that it need not stand in a process list."""
_SYSTEM = {"mysql", "information_schema", "performance_schema", "sys"}
_LIBPQ_WORDS = {"host", "hostaddr", "port", "dbname", "user", "password", "service", "sslmode", "options", "passfile"}
_NAMED = re.compile(r"([A-Za-z][A-Za-z0-9_]*)=(.+)", re.DOTALL)
_URL_HINT = "--source mysql://USER:PASSWORD@HOST:PORT/DATABASE"
_STORE_HINT = "--store NAME=postgresql://USER:PASSWORD@HOST:PORT/DATABASE"


def write_starter(
    source: str, stores: Sequence[str], target: Path, *, name: str | None = None, overwrite: bool = False
) -> list[Path]:
    """Write the configuration to `target` and the secrets beside it; returns the files written, `target` first.

    `source` is a mysql:// or mariadb:// URL (without a database: all of them), each of `stores` a DSN or NAME=DSN.
    Raises UsageError for what cannot be read or would be overwritten, Unreachable or AccessDenied for the source,
    Refused when it has no table.
    """
    if target.exists() and not overwrite:
        raise UsageError(
            f"{target} exists already", hint="Choose another name with --out, or overwrite it with --force."
        )
    wanted, password_from = _source_settings(source)
    named = _named_stores(stores)
    with closing(connect_source(wanted)) as connection:
        info = probe(connection)
        databases = wanted.databases if wanted.databases != ("*",) else _all_databases(connection)
        tables = read_catalog(connection, info, databases)
        modes = variables(connection, "sql_mode").get("sql_mode", "")
    if not tables:
        raise Refused(f"the source has no table in {', '.join(databases)}", hint="Name another database in the URL.")
    secrets = _secrets_folder(target)
    files: dict[Path, str] = {}
    if password_from == "url":
        files[secrets / "source_password"] = wanted.password.get_secret_value()
    reference = {
        "url": f"${{file:{secrets.name}/source_password}}",
        "environment": f"${{env:{PASSWORD_VARIABLE}}}",
    }.get(password_from)
    starter_stores = []
    for store, dsn in named.items():
        text = dsn
        if conninfo_to_dict(dsn).get("password"):
            files[secrets / f"store_{store}.dsn"] = dsn
            text = f"${{file:{secrets.name}/store_{store}.dsn}}"
        starter_stores.append(StarterStore(store, text, masked_text(dsn)))
    starter = Starter(
        name=_migration_name(name or databases[0], given=name is not None),
        info=info,
        source=wanted.model_copy(update={"databases": tuple(databases), "engine": info.flavour}),
        password=reference,
        stores=tuple(starter_stores),
        tables=tables,
        zero_dates_possible=not ("NO_ZERO_DATE" in modes and "STRICT" in modes),
        renamed=_renamed(tables),
    )
    starter = _settled(starter, named)
    _write(target, starter_yaml(starter), files, secrets)
    load_settings(target)
    return [target, *files]


def _source_settings(url: str) -> tuple[SourceSettings, str]:
    """The source's settings, and where the password came from: `url`, `environment` or `nowhere`."""
    try:
        fields = source_fields(url)
    except ValueError as error:
        raise UsageError(f"--source: {error}", hint=_URL_HINT) from None
    origin = "url" if fields.get("password") else "nowhere"
    if origin == "nowhere" and os.environ.get(PASSWORD_VARIABLE):
        fields["password"] = os.environ[PASSWORD_VARIABLE]
        origin = "environment"
    fields.setdefault("databases", ["*"])
    try:
        return SourceSettings.model_validate(fields), origin
    except ValidationError as error:
        places = ", ".join(".".join(map(str, item["loc"])) for item in error.errors(include_input=False))
        raise UsageError(f"--source: not a valid value for {places}", hint=_URL_HINT) from None


def _named_stores(stores: Sequence[str]) -> dict[str, str]:
    """Name → DSN. A DSN without a name is called after its database."""
    found: dict[str, str] = {}
    for text in stores:
        hit = _NAMED.fullmatch(text)
        name, dsn = (hit[1], hit[2]) if hit and hit[1].lower() not in _LIBPQ_WORDS else ("", text)
        try:
            parts = conninfo_to_dict(dsn)
        except psycopg.ProgrammingError:
            raise UsageError("--store: not a PostgreSQL connection string", hint=_STORE_HINT) from None
        if not name:
            name = re.sub(r"\W+", "_", str(parts.get("dbname") or "store")).lower().strip("_") or "store"
            while name in found:
                name += "_2"
        elif name in found:
            raise UsageError(f"--store: two stores are called {name}", hint=_STORE_HINT)
        found[name] = dsn
    if not found:
        raise UsageError("no store was given", hint=_STORE_HINT)
    return found


def _all_databases(connection: MysqlConnection[Any]) -> tuple[str, ...]:
    with translated("source"), connection.cursor(Cursor) as cursor:
        cursor.execute("SELECT SCHEMA_NAME FROM information_schema.SCHEMATA ORDER BY SCHEMA_NAME")
        names = tuple(str(name) for (name,) in cursor.fetchall() if str(name).lower() not in _SYSTEM)
    if not names:
        raise Refused("the source shows us no database", hint="GRANT SELECT on the databases to migrate to our user.")
    return names


def _migration_name(text: str, *, given: bool) -> str:
    made = re.sub(r"[^a-z0-9_]+", "_", text.lower()).strip("_")[:31]
    if given and made != text:
        raise UsageError(f"{text!r} is no name for a migration", hint="Lower-case letters, digits and _, at most 31.")
    return made if re.match(r"[a-z]", made) else f"m_{made}"[:31].rstrip("_")


def _renamed(tables: Mapping[TableId, TableDef]) -> dict[TableId, str]:
    """Names for the tables that several databases have: all but the first get their database in front."""
    owners: dict[str, list[TableId]] = defaultdict(list)
    for table in sorted(tables):
        if automatic_skip(tables[table]) is None:
            owners[table.name].append(table)
    return {table: f"{table.schema}_{table.name}" for group in owners.values() for table in group[1:]}


def _settled(starter: Starter, stores: Mapping[str, str]) -> Starter:
    """The starter with every table skipped that the plan refuses, so that the file compiles. Raises other errors."""
    while True:
        try:
            compile_plan(_settings(starter, stores), starter.tables, starter.info.flavour)
        except ConfigError as error:
            culprit = next((table for table in starter.tables if str(table) == str(error.where.get("table"))), None)
            if culprit is None or culprit in starter.skipped:
                raise
            reason = f"{error.message} ({error.hint})" if error.hint else error.message
            starter = dataclasses.replace(starter, skipped={**starter.skipped, culprit: " ".join(reason.split())})
        else:
            return starter


def _settings(starter: Starter, stores: Mapping[str, str]) -> Settings:
    """The settings that the file will give, for a trial of the plan."""
    rules: dict[str, dict[str, Any]] = {}
    for table, definition in starter.tables.items():
        key = rule_key(table, starter.source.databases)
        reason = starter.skipped.get(table) or automatic_skip(definition)
        if reason:
            rules[key] = {"skip": True, "reason": reason}
        elif table in starter.renamed:
            rules[key] = {"table": starter.renamed[table]}
    return Settings.model_validate(
        {
            "name": starter.name,
            "source": starter.source,
            "stores": {name: {"dsn": dsn} for name, dsn in stores.items()},
            "defaults": {"store": starter.stores[0].name},
            "tables": rules,
        }
    )


def _secrets_folder(target: Path) -> Path:
    return target.with_name(f"{target.stem}.secrets")


def _write(target: Path, text: str, secrets: Mapping[Path, str], folder: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if secrets:
            folder.mkdir(mode=0o700, exist_ok=True)
            (folder / ".gitignore").write_text("*\n")
        for path, secret in secrets.items():
            path.unlink(missing_ok=True)
            # Created with its mode, so that there is no moment in which others can read it.
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                file.write(secret)
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {error.filename or target}: {error.strerror}", hint="Choose --out.") from None

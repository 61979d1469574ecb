"""From settings to a compiled plan: what the source has now, and what becomes of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass

from config.settings import Settings
from model.errors import Refused
from model.position import Position
from model.tables import TableDef, TableId
from stores.control import schema_history
from stores.control.schema_history import SchemaHistory
from stores.errors import translated
from stores.mysql import ServerInfo, binlog_end, connect_source, probe, variables
from stores.postgres import connect_store
from sync.cascades import cascades_are_logged
from sync.mysql.catalog import read_catalog
from transforms.compile import compile_plan
from transforms.plan import MigrationPlan


@dataclass(frozen=True, slots=True)
class Planned:
    """The source as it is now and the plan made of it."""

    info: ServerInfo
    tables: Mapping[TableId, TableDef]
    plan: MigrationPlan
    cascades_logged: bool
    """Whether the source's binlog holds what foreign keys do to children."""
    known: frozenset[TableId] = frozenset()
    """Tables that the stream has met; the configuration may name those that are no more."""


def compile_for(
    settings: Settings, tables: Mapping[TableId, TableDef], info: ServerInfo, known: Collection[TableId] = ()
) -> MigrationPlan:
    """Compile the plan for these definitions; `known`: see `Planned`. Raises ConfigError."""
    return compile_plan(settings, tables, info.flavour, known=known)


def read_position(settings: Settings) -> Position:
    """The end of the source's binlog now, by coordinate. Raises Refused when the source writes none."""
    with closing(connect_source(settings.source)) as connection:
        return binlog_end(connection, probe(connection))


def read_followed(settings: Settings) -> Planned:
    """The plan by the definitions that the stores have followed; today's catalogue for tables that are new to them.

    Raises what `read_plan` does, for the stores too.
    """
    histories = []
    for name, store in settings.stores.items():
        with closing(connect_store(store.dsn, application="crossfade")) as connection, translated(f"store {name}"):
            row = connection.execute("SELECT to_regclass('crossfade.schema_history') IS NOT NULL").fetchone()
            if row and row[0]:
                histories.append(schema_history.load(connection, settings.name))
    return read_plan(settings, histories)


def read_plan(settings: Settings, histories: Iterable[SchemaHistory] = (), *, today: Collection[str] = ()) -> Planned:
    """Read the source's catalogue, put what the histories say over it, and compile the plan.

    `today`: tables (`database.table`) of which the catalogue counts all the same.

    Raises Unreachable, AccessDenied, Refused (wrong engine, nothing to migrate) or ConfigError.
    """
    with closing(connect_source(settings.source)) as connection:
        info = probe(connection)
        if info.flavour is not settings.source.engine:
            raise Refused(
                f"the source is {info.flavour.value} {info.version_text}, not {settings.source.engine.value}",
                hint=f"Set source.engine to {info.flavour.value}.",
            )
        native = variables(connection, "innodb_native_foreign_keys").get("innodb_native_foreign_keys")
        tables = read_catalog(connection, info, settings.source.databases)
    histories = tuple(histories)
    known = frozenset(table for history in histories for table in history.tables())
    for table in known:
        if str(table) in today:
            continue
        latest = [found for history in histories if (found := history.latest(table)) is not None]
        tables.pop(table, None)
        if latest:
            tables[table] = latest[0]
    plan = compile_for(settings, tables, info, known)
    if not plan.plans:
        raise Refused(
            f"no table to migrate in {', '.join(settings.source.databases)}",
            hint="Check source.databases and the skip rules in the configuration.",
        )
    return Planned(info, tables, plan, cascades_are_logged(info, native), known)

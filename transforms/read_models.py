"""Read models: denormalised tables of a store, declared as SQL over its tables, compiled and checked.

For every base table there must be a way from a changed row to the keys that it can change, or the model would fall
behind unseen; a table that the SQL reads and that has none is refused. No I/O.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from config.read_model import ReadModelRule
from config.settings import Settings
from model.errors import ConfigError
from transforms import names
from transforms.plan import MigrationPlan
from transforms.read_model import CHANGED, ReadModel, Way
from transforms.rules import nearest
from transforms.target import TargetTable

_MOVING = (exp.CurrentDate, exp.CurrentTimestamp, exp.CurrentTime, exp.CurrentUser, exp.Rand)
_MOVING_NAMES = frozenset(
    {
        "now", "random", "clock_timestamp", "statement_timestamp", "transaction_timestamp", "timeofday",
        "gen_random_uuid", "nextval", "currval", "lastval", "current_setting", "localtime", "localtimestamp",
    }
)  # fmt: skip


def compile_read_models(settings: Settings, plan: MigrationPlan) -> tuple[ReadModel, ...]:
    """Every read model of the configuration. Raises ConfigError, naming the model, for what cannot work."""
    made: list[ReadModel] = []
    for name, rule in settings.read_models.items():
        try:
            made.append(_compiled(settings, plan, name, rule))
        except ConfigError as error:
            error.where.setdefault("read_model", name)
            raise
    return tuple(made)


def _compiled(settings: Settings, plan: MigrationPlan, name: str, rule: ReadModelRule) -> ReadModel:
    store = rule.store
    if store is None:
        if len(settings.stores) > 1:
            raise ConfigError("no store is named", hint=f"Add `store`: one of {', '.join(settings.stores)}.")
        store = next(iter(settings.stores))
    schema = settings.stores[store].schema_
    tables = {table.name: table for table in plan.targets_of(store) if table.schema == schema}
    names.checked(name, "the read model's name")
    if name in tables:
        raise ConfigError(f"the store {store} has a table of that name", hint="Choose another name.")
    query = _parsed(rule.sql, "sql")
    _refuse_moving(query)
    ways = tuple(Way(base, _way(tables, store, base, text, rule.key)) for base, text in rule.from_.items())
    _require_ways(query, tables, {way.table for way in ways}, store)
    columns = [item.alias_or_name for item in query.selects]
    if "*" not in columns:
        for column in (*rule.key, *(column for index in rule.indexes for column in index)):
            if column not in columns:
                raise ConfigError(
                    f"the SELECT has no column {column!r}",
                    hint=nearest(column, columns) or f"Its columns are {', '.join(columns)}.",
                )
    return ReadModel(store, schema, name, rule.sql.strip().rstrip(";"), rule.key, ways, rule.indexes)


def _parsed(text: str, what: str) -> exp.Query:
    try:
        statements = sqlglot.parse(text, read="postgres")
    except SqlglotError as error:
        raise ConfigError(f"{what} cannot be read: {str(error).splitlines()[0]}", hint="Write one SELECT.") from None
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise ConfigError(f"{what} is not one SELECT", hint="Write one SELECT of PostgreSQL.")
    if next(statements[0].find_all(exp.Insert, exp.Update, exp.Delete, exp.Into, exp.Lock), None) is not None:
        raise ConfigError(f"{what} does more than read", hint="Write a plain SELECT.")
    return statements[0]


def _refuse_moving(query: exp.Query) -> None:
    """A result that changes by itself can be neither followed nor compared."""
    for node in query.walk():
        name = node.name.lower() if isinstance(node, exp.Anonymous) else ""
        if isinstance(node, _MOVING) or name in _MOVING_NAMES:
            raise ConfigError(
                f"{node.sql('postgres')} gives another value at another time",
                hint="Compute it when the model is read, or store it in a base table.",
            )


def _base_tables(query: exp.Query) -> Iterable[exp.Table]:
    ctes = {cte.alias for cte in query.find_all(exp.CTE)}
    return [table for table in query.find_all(exp.Table) if table.name not in ctes]


def _require_ways(query: exp.Query, tables: Mapping[str, TargetTable], having: set[str], store: str) -> None:
    for table in _base_tables(query):
        _known(tables, store, table.name)
        if table.name not in having:
            raise ConfigError(
                f"the SELECT reads {table.name}, and `from` has no way from its rows to the key",
                hint=f"Add to `from`: {table.name}: the key's columns in it, or SELECT … FROM changed.",
            )


def _known(tables: Mapping[str, TargetTable], store: str, name: str) -> TargetTable:
    if name not in tables:
        raise ConfigError(
            f"{name} is no table that crossfade keeps in the store {store}",
            hint=nearest(name, tables) or f"Its tables are {', '.join(sorted(tables)[:12])}.",
        )
    return tables[name]


def _way(tables: Mapping[str, TargetTable], store: str, base: str, text: str, key: tuple[str, ...]) -> str:
    table = _known(tables, store, base)
    if re.match(r"\s*(select|with)\b", text, re.IGNORECASE):
        query = _parsed(text, f"from.{base}")
        if len(query.selects) != len(key):
            raise ConfigError(
                f"from.{base} gives {len(query.selects)} columns, the key has {len(key)}",
                hint=f"SELECT values for {', '.join(key)}.",
            )
        read = {found.name for found in _base_tables(query)}
        if CHANGED not in read:
            raise ConfigError(f"from.{base} does not read `changed`", hint="Join `changed`, the rows that changed.")
        for other in sorted(read - {CHANGED}):
            _known(tables, store, other)
        return text.strip().rstrip(";")
    columns = [part.strip() for part in text.split(",")]
    known = {column.name for column in table.columns}
    for column in columns:
        if column not in known:
            raise ConfigError(
                f"from.{base} names {column!r}, which {base} does not have",
                hint=nearest(column, known) or "Name columns, or write a SELECT over `changed`.",
            )
    if len(columns) != len(key):
        raise ConfigError(
            f"from.{base} names {len(columns)} columns, the key has {len(key)}",
            hint=f"Name the columns that hold {', '.join(key)}.",
        )
    return f"SELECT {', '.join(names.quoted(column) for column in columns)} FROM {CHANGED}"

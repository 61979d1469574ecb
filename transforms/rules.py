"""Which rule a source table follows, and the outputs that it has: store, target name, merged settings.

Only reads the configuration; what becomes of columns is for `transforms.columns`.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from config.settings import OutputRule, Settings, TableRule
from model.errors import ConfigError
from model.tables import TableDef, TableId
from transforms import names
from transforms.shares import Share, shares_of

_GLOB = frozenset("*?[")
_AUTOMATIC = {
    "view": "views hold no rows of their own",
    "sequence": "a sequence is not a table",
}


@dataclass(frozen=True, slots=True)
class Output:
    """One target table to be made of `source`."""

    source: TableDef
    rule: OutputRule
    rule_name: str | None
    """Key of the rule in the configuration; None when no rule matches."""
    store: str
    schema: str
    table: str
    share: Share | None = None
    """Which rows of a routed table it takes."""


def is_glob(pattern: str) -> bool:
    """Whether the pattern can match more than one name."""
    return not _GLOB.isdisjoint(pattern)


def table_matches(pattern: str, table: TableId) -> bool:
    """Whether `table` or `database.table` (globs allowed) means this table."""
    return fnmatchcase(table.name, pattern) or fnmatchcase(str(table), pattern)


def _specificity(pattern: str, table: TableId) -> tuple[bool, bool, int]:
    with_database = not fnmatchcase(table.name, pattern)
    return (not is_glob(pattern), with_database, sum(character not in _GLOB for character in pattern))


def rule_of(settings: Settings, table: TableId) -> tuple[str, TableRule] | None:
    """The most specific rule: exact before glob, with database before without, then the longer one, then the first."""
    matching = [pattern for pattern in settings.tables if table_matches(pattern, table)]
    if not matching:
        return None
    best = max(matching, key=lambda pattern: _specificity(pattern, table))
    return best, settings.tables[best]


def nearest(name: str, known: Iterable[str]) -> str | None:
    """A hint with the known name that looks most like `name`, None when nothing does."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"Did you mean {close[0]}?" if close else None


def refuse_unknown_tables(settings: Settings, tables: Collection[TableId]) -> None:
    """Raises ConfigError for a rule or domain that names (not by glob) a table that the source does not have."""
    known = [*(str(table) for table in tables), *(table.name for table in tables)]
    named = [("tables", pattern) for pattern in settings.tables]
    named += [
        (f"domains.{name}.tables", pattern) for name, domain in settings.domains.items() for pattern in domain.tables
    ]
    for place, pattern in named:
        if not is_glob(pattern) and not any(table_matches(pattern, table) for table in tables):
            raise ConfigError(
                f"{place} names {pattern!r}, which is not a table of the source",
                hint=nearest(pattern, known) or f"The source's databases are {', '.join(settings.source.databases)}.",
                table=pattern,
            )


def skip_reason(table: TableDef, rule: TableRule | None) -> str | None:
    """Why the table is left out, None when it is migrated."""
    if rule is not None and rule.skip:
        return rule.reason or "skipped by a rule"
    return _AUTOMATIC.get(table.kind)


def domain_of(settings: Settings, table: TableId) -> str | None:
    """The domain that the table belongs to. Raises ConfigError when there are two."""
    found = [
        name
        for name, domain in settings.domains.items()
        if any(table_matches(pattern, table) for pattern in domain.tables)
    ]
    exact = [
        name for name in found if any(pattern in (table.name, str(table)) for pattern in settings.domains[name].tables)
    ]
    found = exact or found
    if len(found) > 1:
        raise ConfigError(
            f"the table belongs to the domains {' and '.join(found)}",
            hint="A table is cut over once: keep it in one domain.",
            table=table,
        )
    return found[0] if found else None


def _store_of(settings: Settings, rule: OutputRule, table: TableId) -> str:
    store = rule.store
    if store is None and (domain := domain_of(settings, table)) is not None:
        stores = settings.domains[domain].stores
        if len(stores) == 1:
            store = stores[0]
        elif len(stores) > 1 and settings.defaults.store not in stores:
            raise ConfigError(
                f"the domain {domain} has several stores and no rule says which one the table goes to",
                hint=f"Add to `tables`: {table.name}: {{store: {stores[0]}}}",
                table=table,
            )
    if store is None:
        store = settings.defaults.store
    if store is None and len(settings.stores) == 1:
        store = next(iter(settings.stores))
    if store is None:
        raise ConfigError(
            "no rule says which store the table goes to",
            hint="Give it a `store`, put it in a domain with one store, or set defaults.store.",
            table=table,
        )
    if store not in settings.stores:
        raise ConfigError(
            f"there is no store called {store!r}",
            hint=nearest(store, settings.stores) or f"The stores are {', '.join(settings.stores)}.",
            table=table,
        )
    return store


def _merged(rule: TableRule, output: OutputRule) -> OutputRule:
    """The output's settings over those of its rule; mappings are joined, everything else is replaced."""
    merged: dict[str, object] = {}
    for field in OutputRule.model_fields:
        mine, base = getattr(output, field), getattr(rule, field)
        if field not in output.model_fields_set:
            merged[field] = base
        elif isinstance(mine, dict):
            merged[field] = {**base, **mine}
        else:
            merged[field] = mine
    return OutputRule.model_construct(set(merged), **merged)


def outputs_of(settings: Settings, table: TableDef, named_rule: tuple[str, TableRule] | None) -> list[Output]:
    """The outputs of one table. Raises ConfigError for an unknown or undecided store or an impossible name."""
    rule_name, rule = named_rule if named_rule else (None, TableRule())
    rules: list[OutputRule] = [_merged(rule, output) for output in rule.to] if rule.to else [rule]
    shares: list[Share | None] = [None] * len(rules)
    if rule.route is not None:
        shares = list(shares_of(rule.route))
        rules = [_merged(rule, OutputRule(store=share.store)) for share in shares if share is not None]
    outputs = []
    for output, share in zip(rules, shares, strict=True):
        store = _store_of(settings, output, table.id)
        name = (
            names.checked(output.table, "the target table's name", table=table.id)
            if output.table is not None
            else names.table_name(table.id.name, settings.defaults.naming)
        )
        outputs.append(Output(table, output, rule_name, store, settings.stores[store].schema_, name, share))
    return outputs

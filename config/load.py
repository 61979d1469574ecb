"""Loads a configuration file into `Settings`: all its problems at once, each with line, column and a hint.

Order: YAML → references (`${env:…}`) → `source.url` → models → paths made absolute (relative to the file). Connects
to nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pydantic import BaseModel, SecretStr, ValidationError

from config.document import Document, Path_, dotted, read_document
from config.interpolation import Resolver, Unresolved
from config.problems import Problem
from config.redaction import redacted
from config.settings import OutputRule, Settings
from config.source_url import source_fields
from config.validation import Translator

__all__ = ["load_settings", "redacted"]

Model = TypeVar("Model", bound=BaseModel)


def load_settings(path: Path, *, environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of the file at `path`.

    `environment` stands in for the process's own. Raises ConfigError; InvalidConfig (one of its kind) holds every
    problem of the file.
    """
    document = read_document(path)
    folder = path.absolute().parent
    resolver = Resolver(folder) if environment is None else Resolver(folder, environment)
    references: set[Path_] = set()
    tree: dict[str, Any] = _resolved(document, resolver, document.root, (), references)
    _expand_url(document, tree)
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as error:
        document.problems.extend(Translator(document, frozenset(references)).problems(error))
        document.refuse()
        raise AssertionError("a validation error without problems") from error
    document.problems.extend(_unknown_stores(document, settings))
    document.problems.extend(_bad_dsns(document, settings))
    document.problems.extend(_lag_of_nobody(document, settings))
    document.refuse()
    return _absolute(settings, folder)


def _resolved(document: Document, resolver: Resolver, value: Any, path: Path_, references: set[Path_]) -> Any:
    if isinstance(value, dict):
        return {key: _resolved(document, resolver, item, (*path, key), references) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolved(document, resolver, item, (*path, i), references) for i, item in enumerate(value)]
    if value is None and path[-1] == "zero_dates" and path in document.values:
        # `zero_dates: null` means the policy of that name, not that there is none.
        return "null"
    if not isinstance(value, str) or "${" not in value:
        return value
    references.add(path)
    try:
        return resolver.resolve(value)
    except Unresolved as error:
        document.complain(document.mark(path), path, f"{dotted(path)}: {error}", error.hint)
        return value


def _expand_url(document: Document, tree: dict[str, Any]) -> None:
    """Replace `source.url` by the fields it stands for; the fields get the URL's place."""
    source = tree.get("source")
    if not isinstance(source, dict) or "url" not in source:
        return
    url, place = source.pop("url"), document.mark(("source", "url"))
    key = ("source", "url")
    if not isinstance(url, str):
        document.complain(place, key, "source.url must be a text", "mysql://USER:PASSWORD@HOST:PORT/DATABASE")
        return
    try:
        fields = source_fields(url)
    except ValueError as error:
        document.complain(place, key, f"source.url: {error}", "mysql://USER:PASSWORD@HOST:PORT/DATABASE")
        return
    for name, value in fields.items():
        if name in source:
            document.complain(
                document.mark(("source", name), key=True),
                ("source", name),
                f"`{name}` is given twice: here and in source.url",
                "Keep one of the two.",
            )
        source.setdefault(name, value)
        document.values.setdefault(("source", name), place)


def _unknown_stores(document: Document, settings: Settings) -> list[Problem]:
    """Every name of a store that `stores` does not have."""
    named: list[tuple[Path_, str | None]] = [(("defaults", "store"), settings.defaults.store)]
    for table, rule in settings.tables.items():
        outputs: list[tuple[Path_, OutputRule]] = [(("tables", table), rule)]
        outputs += [(("tables", table, "to", index), output) for index, output in enumerate(rule.to)]
        named += [((*path, "store"), output.store) for path, output in outputs]
        if rule.route is not None:
            route = ("tables", table, "route")
            named += [((*route, "to", value), store) for value, store in rule.route.to.items()]
            named += [((*route, "otherwise"), rule.route.otherwise)]
    named += [(("read_models", name, "store"), model.store) for name, model in settings.read_models.items()]
    for domain, part in settings.domains.items():
        named += [(("domains", domain, "stores", index), store) for index, store in enumerate(part.stores)]
    for index, invariant in enumerate(settings.verify.invariants):
        named.append((("verify", "invariants", index, "store"), invariant.store))
        named += [(("verify", "invariants", index, "stores", store), store) for store in invariant.stores]
    return [
        Translator.unknown_name(document, path, store, "store", settings.stores)
        for path, store in named
        if store is not None and store not in settings.stores
    ]


def _bad_dsns(document: Document, settings: Settings) -> list[Problem]:
    """Every DSN that libpq cannot read. The driver's own words are left out: they quote the DSN."""
    dsns: dict[Path_, SecretStr] = {("stores", name, "dsn"): store.dsn for name, store in settings.stores.items()}
    if settings.control:
        dsns["control", "dsn"] = settings.control.dsn
    found = []
    for path, dsn in dsns.items():
        try:
            conninfo_to_dict(dsn.get_secret_value())
        except psycopg.ProgrammingError:
            message = f"{dotted(path)}: not a PostgreSQL connection string"
            hint = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
            found.append(Problem(document.mark(path), dotted(path), message, hint))
    return found


def _lag_of_nobody(document: Document, settings: Settings) -> list[Problem]:
    """A limit on the lag of replicas without a replica would never hold anything back."""
    path = ("snapshot", "max_replica_lag_s")
    if settings.snapshot.max_replica_lag_s is None or settings.source.replicas:
        return []
    message = f"{dotted(path)}: no replica is named whose lag could be asked for"
    return [Problem(document.mark(path), dotted(path), message, 'Name them: source.replicas: ["HOST:PORT"]')]


def _absolute(model: Model, folder: Path) -> Model:
    """The model with every relative path in it taken from `folder`."""
    changes: dict[str, Any] = {}
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, Path):
            changes[name] = folder / value
        elif isinstance(value, BaseModel):
            changes[name] = _absolute(value, folder)
    return model.model_copy(update=changes)

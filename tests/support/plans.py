"""Short ways to settings, source tables and plans for tests of transforms. Nothing here talks to a server."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from config.settings import Settings, SourceSettings, StoreSettings
from model.position import Flavour
from model.tables import ColumnDef, DefaultKind, TableDef, TableId
from transforms.compile import compile_plan
from transforms.plan import MigrationPlan, TablePlan

DATA = Path(__file__).parents[1] / "data"


def column(name: str, declared: str, **more: Any) -> ColumnDef:
    """A column as the catalogue would describe it; NOT NULL unless told otherwise, `default` is a literal."""
    base, _, rest = declared.partition("(")
    base, size = base.split()[0], rest.partition(")")[0]
    more.setdefault("nullable", False)
    if base in ("char", "varchar", "binary", "varbinary", "bit") and size:
        more.setdefault("length", int(size))
    if base == "decimal":
        more.setdefault("precision", int(size.split(",")[0]))
        more.setdefault("scale", int(size.split(",")[1]))
    if base in ("datetime", "timestamp", "time"):
        more.setdefault("scale", int(size or 0))
    if base in ("enum", "set"):
        more.setdefault("labels", tuple(label.strip("'") for label in size.split(",")))
    if base in ("char", "varchar", "text", "longtext", "enum"):
        more.setdefault("collation", "utf8mb4_general_ci")
    if "default" in more:
        more.setdefault("default_kind", DefaultKind.LITERAL)
    return ColumnDef(name, base, declared, unsigned="unsigned" in declared, **more)


def table(
    name: str, *columns: ColumnDef, key: Iterable[str] = ("id",), database: str = "shop", **more: Any
) -> TableDef:
    """A source table."""
    return TableDef(TableId(database, name), columns, primary_key=tuple(key), **more)


def make_settings(**more: Any) -> Settings:
    """Settings with the stores `main` and `other` unless told otherwise."""
    more.setdefault("stores", {"main": StoreSettings(dsn=SecretStr("postgresql://localhost/main"))})
    more.setdefault("source", SourceSettings(engine=Flavour.MYSQL, user="u", databases=("shop",)))
    return Settings.model_validate({"name": "test", **more})


def compile_tables(*tables: TableDef, flavour: Flavour = Flavour.MYSQL, **more: Any) -> MigrationPlan:
    """The plan of these tables under settings made of `more`."""
    return compile_plan(make_settings(**more), {table.id: table for table in tables}, flavour)


def compile_one(source: TableDef, flavour: Flavour = Flavour.MYSQL, **more: Any) -> TablePlan:
    """The only plan of one table."""
    (plan,) = compile_tables(source, flavour=flavour, **more).plans
    return plan


def sakila() -> list[TableDef]:
    """The base tables of the Sakila sample database, as MySQL 9's catalogue describes them."""
    text = (DATA / "sakila_tables.jsonl").read_text(encoding="utf-8")
    return [TableDef.from_json(line) for line in text.splitlines()]

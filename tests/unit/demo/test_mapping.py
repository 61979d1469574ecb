"""The mapping is a valid configuration that covers every table and holds no secret."""

from __future__ import annotations

import re
from pathlib import Path

from ruamel.yaml import YAML

from config.settings import Settings
from demo.retailcore import schema
from demo.retailcore.domains import TABLES, Domain, all_tables
from demo.retailcore.invariants import INVARIANTS
from demo.retailcore.mapping import SCHEMAS, config_text, environment


def _settings() -> tuple[str, Settings]:
    text = config_text(
        engine="mariadb", host="127.0.0.1", port=3306, user="shop", database="retail", directory=Path("run"),
    )  # fmt: skip
    return text, Settings.model_validate(YAML(typ="safe").load(text))


def test_it_is_a_valid_configuration() -> None:
    _, settings = _settings()
    assert sorted(settings.tables) == sorted(all_tables())
    for domain, tables in TABLES.items():
        assert settings.domains[domain].tables == tables
        assert {settings.tables[table].store for table in tables} == {domain}
        assert settings.stores[domain].schema_ == SCHEMAS[domain]


def test_it_shows_one_transform_of_every_kind() -> None:
    rules = _settings()[1].tables.values()
    for kind in ("rename", "exclude", "add", "types", "map", "expr", "where", "table"):
        assert any(getattr(rule, kind) for rule in rules), kind


def test_columns_it_names_exist() -> None:
    text = schema.SCHEMA_FILE.read_text(encoding="utf-8")
    for table, rule in _settings()[1].tables.items():
        body = re.search(rf"CREATE TABLE `?{table}`? \((.*?)\n\) ENGINE", text, re.DOTALL)
        assert body is not None
        columns = set(re.findall(r"^  `?(\w+)`? ", body[1], re.MULTILINE))
        assert {*rule.rename, *rule.exclude, *rule.types, *rule.map} <= columns, table
        assert not {*rule.add, *rule.expr} & columns, table


def test_invariants_stay_clear_of_what_it_changes() -> None:
    for table, rule in _settings()[1].tables.items():
        touched = {*rule.rename, *rule.exclude, *rule.types, *rule.map} - {"group", "desc", "order", "active"}
        for invariant in INVARIANTS:
            if f"{{{table}}}" in invariant.text:
                assert not any(re.search(rf"\b{column}\b", invariant.text) for column in touched), invariant.name
        assert not rule.where or all(f"{{{table}}}" not in invariant.text for invariant in INVARIANTS)


def test_secrets_stay_in_the_environment() -> None:
    text, _ = _settings()
    values = environment("s3cret", {domain: f"postgresql://{domain}" for domain in Domain})
    assert all(f"${{env:{name}}}" in text for name in values)
    assert len(values) == 4 and "s3cret" not in text

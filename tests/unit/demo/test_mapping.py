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
    settings = _settings()[1]
    rules = [one for rule in settings.tables.values() for one in (rule, *rule.to)]
    for kind in (
        "rename", "exclude", "only", "add", "types", "map", "mask", "expr", "where", "delete_when", "table", "key",
    ):  # fmt: skip
        assert any(getattr(rule, kind) for rule in rules), kind
    assert settings.read_models
    places = [(rule.store, rule.table) for rule in settings.tables.values() if rule.table]
    assert len(set(places)) < len(places), "nothing is merged"
    assert any(len(rule.to) > 1 for rule in settings.tables.values()), "nothing is split"


def test_columns_it_names_exist() -> None:
    text = schema.SCHEMA_FILE.read_text(encoding="utf-8")
    for table, rule in _settings()[1].tables.items():
        body = re.search(rf"CREATE TABLE `?{table}`? \((.*?)\n\) ENGINE", text, re.DOTALL)
        assert body is not None
        columns = set(re.findall(r"^  `?(\w+)`? ", body[1], re.MULTILINE))
        for one in (rule, *rule.to):
            named = {*one.rename, *one.exclude, *(one.only or ()), *one.types, *one.map, *one.mask}
            assert named <= columns, table
            assert not {*one.add, *one.expr} & columns, table


def test_invariants_stay_clear_of_what_it_changes() -> None:
    for table, rule in _settings()[1].tables.items():
        # The invariants read what the first output of a table that is split makes.
        first = rule.to[0] if rule.to else rule
        touched = {*first.rename, *first.exclude, *first.types, *first.map, *first.mask}
        touched -= {"group", "desc", "order", "active"}
        for invariant in INVARIANTS:
            if f"{{{table}}}" in invariant.text:
                assert not any(re.search(rf"\b{column}\b", invariant.text) for column in touched), invariant.name
        assert not (first.where or first.delete_when) or all(
            f"{{{table}}}" not in invariant.text for invariant in INVARIANTS
        )


def test_secrets_stay_in_the_environment() -> None:
    text, _ = _settings()
    values = environment("s3cret", {domain: f"postgresql://{domain}" for domain in Domain})
    assert all(f"${{env:{name}}}" in text for name in values)
    assert len(values) == 5 and "s3cret" not in text

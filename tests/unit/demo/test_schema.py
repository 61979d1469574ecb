"""The schema has its warts, and the domains fit it."""

from __future__ import annotations

import re

from demo.retailcore import schema
from demo.retailcore.domains import CROSS_DOMAIN_KEYS, TABLES, all_tables, domain_of
from demo.retailcore.generate import COLUMNS


def _tables() -> dict[str, str]:
    found = {}
    for statement in schema.statements():
        match = re.match(r"CREATE TABLE `?(\w+)`? \(", statement)
        if match:
            found[match[1]] = statement
    return found


def test_every_table_has_one_domain() -> None:
    assert sorted(_tables()) == sorted(all_tables())
    assert len(all_tables()) == len(set(all_tables())) == sum(map(len, TABLES.values()))
    assert len(all_tables()) >= 16


def test_every_table_gets_rows() -> None:
    assert sorted(COLUMNS) == sorted(all_tables())


def test_foreign_keys_across_domains_are_the_listed_ones_and_never_cascade() -> None:
    crossing = []
    for table, statement in _tables().items():
        for column, parent, key, actions in re.findall(
            r"FOREIGN KEY \(`?(\w+)`?[^)]*\) REFERENCES `?(\w+)`? \(`?(\w+)`?[^)]*\)([^,]*)", statement
        ):
            if domain_of(table) is not domain_of(parent):
                crossing.append((f"{table}.{column}", f"{parent}.{key}"))
                assert "CASCADE" not in actions and "SET NULL" not in actions
    assert sorted(crossing) == sorted(CROSS_DOMAIN_KEYS)


def test_parents_come_before_children_within_a_domain() -> None:
    for tables in TABLES.values():
        for place, table in enumerate(tables):
            for parent in re.findall(r"REFERENCES `?(\w+)`?", _tables()[table]):
                if parent in tables:
                    assert tables.index(parent) <= place, (table, parent)


def test_the_warts_are_there() -> None:
    text = schema.SCHEMA_FILE.read_text(encoding="utf-8")
    tables = _tables()
    assert tables["product_specs"].count("\n  attr_") >= 120
    assert "PRIMARY KEY" not in tables["audit_log"]
    for wart in (
        "DEFAULT '0000-00-00'", "DEFAULT '0000-00-00 00:00:00'", "ENUM(", "SET(", "JSON NULL", "BIGINT UNSIGNED",
        "ON UPDATE CURRENT_TIMESTAMP", "ON DELETE CASCADE", "ON DELETE SET NULL", "ON UPDATE CASCADE", "BINARY(16)",
        "YEAR", "BIT(", "MEDIUMINT", "FULLTEXT KEY", "utf8mb4", "latin1", "TABLE `order`", "TABLE `group`",
        "TABLE `user`", "`desc`", "TIMESTAMP(6)", "DATETIME(3)", "FLOAT", "DOUBLE", "REFERENCES categories",
    ):  # fmt: skip
        assert wart in text, wart

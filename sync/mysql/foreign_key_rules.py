"""What a foreign key does to its children, read where the catalogue hides it from our user.

MariaDB shows the rows of INFORMATION_SCHEMA.REFERENTIAL_CONSTRAINTS only to users with a privilege other than SELECT on
the table, but SHOW CREATE TABLE to everybody who may read it. A cascade that goes unseen would be lost in the stores.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any

from model.errors import AccessDenied
from model.tables import TableId
from sync.mysql.literals import quoted_name

_ACTION = "(CASCADE|SET NULL|SET DEFAULT|NO ACTION|RESTRICT)"
_KEY = re.compile(
    r"^\s*CONSTRAINT `((?:[^`]|``)+)` FOREIGN KEY \(.*\) REFERENCES .*?\)"
    rf"(?: ON DELETE {_ACTION})?(?: ON UPDATE {_ACTION})?,?$",
    re.MULTILINE,
)

Rule = tuple[str, str, str]
"""Name, what ON DELETE does, what ON UPDATE does."""


def rules_of(definition: str) -> list[Rule]:
    """The rules in the text that SHOW CREATE TABLE prints (names in backticks); RESTRICT where it is silent."""
    return [
        (hit[1].replace("``", "`"), hit[2] or "RESTRICT", hit[3] or "RESTRICT") for hit in _KEY.finditer(definition)
    ]


def hidden_rules(ask: Callable[[str], list[tuple[Any, ...]]], table: TableId, names: Collection[str]) -> list[Rule]:
    """The rules of the foreign keys `names` of `table`. Raises AccessDenied when they cannot be seen at all."""
    (_, definition, *_), *_ = ask(f"SHOW CREATE TABLE {quoted_name(table.schema, table.name)}")
    found = [rule for rule in rules_of(str(definition)) if rule[0] in names]
    if missing := set(names) - {name for name, *_ in found}:
        raise AccessDenied(
            f"the source hides what the foreign key {min(missing)} of {table} does to its rows",
            hint=f"GRANT REFERENCES ON {quoted_name(table.schema)}.* TO our user;",
            table=str(table),
        )
    return found

"""Reads SHOW GRANTS of MySQL and MariaDB: which privileges our user has, globally, on a database, on a table."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

_GRANT = re.compile(r"(GRANT|REVOKE) (.+?) ON (?:TABLE )?(\S+|`.*`)\.(\*|`.*?`|\S+) (?:TO|FROM) ", re.DOTALL)
_COLUMNS = re.compile(r"\s*\([^)]*\)")
_SYNONYMS = {
    "BINLOG MONITOR": "REPLICATION CLIENT",
    "REPLICATION REPLICA": "REPLICATION SLAVE",
    "ALL": "ALL PRIVILEGES",
}


@dataclass(slots=True)
class Privileges:
    """The current user's privileges. Database names may hold the wildcards of GRANT (`%`, `_`)."""

    everywhere: set[str] = field(default_factory=set)
    databases: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    tables: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    revoked: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """MySQL's partial revokes: taken away from a global privilege on one database."""

    @staticmethod
    def parse(grants: Iterable[str]) -> Privileges:
        """From the lines of SHOW GRANTS. Lines that grant roles or PROXY are not privileges and are passed over."""
        found = Privileges()
        for line in grants:
            hit = _GRANT.match(line)
            if hit is None or hit[2].startswith("PROXY"):
                continue
            names = _names(hit[2])
            database, table = _bare(hit[3]), _bare(hit[4])
            if hit[1] == "REVOKE":
                found.revoked[database] |= names
            elif database == "*":
                found.everywhere |= names
            elif table == "*":
                found.databases[database] |= names
            else:
                found.tables[database, table] |= names
        return found

    def has(self, privilege: str, database: str | None = None, table: str | None = None) -> bool:
        """Whether the user has the privilege globally, on the whole database, or on the table."""
        if _holds(self.everywhere, privilege) and not (
            database and _holds(self.revoked.get(database, set()), privilege)
        ):
            return True
        if database is None:
            return False
        if any(_like(pattern, database) and _holds(names, privilege) for pattern, names in self.databases.items()):
            return True
        return table is not None and _holds(self.tables.get((database, table), set()), privilege)


def _names(text: str) -> set[str]:
    # A privilege on some columns only is not the privilege.
    whole = [part for part in re.split(r",\s*(?![^(]*\))", text) if not _COLUMNS.search(part)]
    return {_SYNONYMS.get(part.strip().upper(), part.strip().upper()) for part in whole}


def _bare(name: str) -> str:
    return name[1:-1].replace("``", "`") if name.startswith("`") else name


def _holds(names: set[str], privilege: str) -> bool:
    return privilege in names or "ALL PRIVILEGES" in names


def _like(pattern: str, name: str) -> bool:
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    wild = {"%": ".*", "_": "."}
    expression = "".join(wild.get(part) or re.escape(part.removeprefix("\\")) for part in parts)
    return re.fullmatch(expression, name, re.DOTALL) is not None

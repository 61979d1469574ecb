"""Target names: the naming rule, PostgreSQL's 63-byte limit and its system columns. Names are always quoted in SQL.

Shortening is deterministic (a hash of the whole name), so two long names that share their first 63 bytes stay apart.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any

from config.settings import Naming
from model.errors import ConfigError

NAME_BYTES = 63
"""NAMEDATALEN - 1: PostgreSQL cuts longer names in silence, so we never send one."""

SYSTEM_COLUMNS = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})
"""Names that a PostgreSQL table cannot use for its own columns."""

_HUMPS = (
    re.compile(r"(?<=[a-z0-9])(?=[A-Z])"),
    re.compile(r"(?<=[A-Z])(?=[A-Z][a-z])"),
)


def shorten(name: str) -> str:
    """`name` itself when it fits 63 bytes of UTF-8, else its beginning, `_` and 8 hex digits of its SHA-256."""
    if len(name.encode()) <= NAME_BYTES:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    head = name.encode()[: NAME_BYTES - len(digest) - 1].decode(errors="ignore")
    return f"{head}_{digest}"


def apply_naming(name: str, naming: Naming) -> str:
    """The source name under the naming rule, not yet shortened."""
    if naming is Naming.KEEP:
        return name
    if naming is Naming.LOWER:
        return name.lower()
    for hump in _HUMPS:
        name = hump.sub("_", name)
    return re.sub(r"[^\w$]+|_+", "_", name).strip("_").lower() or "_"


def table_name(name: str, naming: Naming) -> str:
    """Target name of a source table."""
    return shorten(apply_naming(name, naming))


def column_name(name: str, naming: Naming) -> str:
    """Target name of a source column; a name that PostgreSQL keeps for itself gets a `_` at its end."""
    result = shorten(apply_naming(name, naming))
    return f"{result}_" if result in SYSTEM_COLUMNS else result


def primary_key_name(table: str) -> str:
    """Name of a target table's primary key constraint and of its index."""
    return shorten(f"{table}_pkey")


def checked(name: str, what: str, **where: Any) -> str:
    """A name that the configuration gives, verbatim. Raises ConfigError when PostgreSQL cannot have it."""
    if not name or "\0" in name:
        raise ConfigError(f"{what} is empty or holds a NUL character", **where)
    if len(name.encode()) > NAME_BYTES:
        raise ConfigError(
            f"{what} {name!r} has {len(name.encode())} bytes; PostgreSQL's limit is {NAME_BYTES}",
            hint="Choose a shorter name.",
            **where,
        )
    return name


def refuse_collisions(pairs: Iterable[tuple[str, str]], what: str, **where: Any) -> None:
    """Raises ConfigError when two sources of (source, target) `pairs` share a target; the message names both."""
    seen: dict[str, str] = {}
    for source, target in pairs:
        if target in seen:
            raise ConfigError(
                f"{what} {seen[target]!r} and {source!r} both become {target!r}",
                hint="Give one of them another name with `rename` (columns) or `table` (tables).",
                **where,
            )
        seen[target] = source


class RelationNames:
    """Names of one schema's tables and indexes, which share one namespace in PostgreSQL."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def reserve(self, name: str) -> None:
        """Take a table's name, which must stay as it is."""
        self._taken.add(name)

    def index(self, table: str, name: str) -> str:
        """A free index name that does not depend on other tables: the source's own when it names its table already."""
        wanted = name if f"_{table}_".lower() in f"_{name}_".lower() else f"{table}_{name}"
        candidate = shorten(wanted)
        if candidate in self._taken:
            digest = hashlib.sha256(f"{table}.{name}".encode()).hexdigest()[:8]
            candidate = shorten(f"{wanted[:54]}_{digest}")
        self._taken.add(candidate)
        return candidate


def quoted(name: str) -> str:
    """A PostgreSQL identifier, always in double quotes."""
    return '"' + name.replace('"', '""') + '"'


def quoted_mysql(name: str) -> str:
    """A MySQL identifier, always in backticks."""
    return "`" + name.replace("`", "``") + "`"


def literal(text: str) -> str:
    """A PostgreSQL string literal (standard_conforming_strings is on by default since 9.1)."""
    if "\\" in text:
        return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
    return "'" + text.replace("'", "''") + "'"

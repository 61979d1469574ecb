"""Read models as values: what the store's triggers and the comparison know of them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

CHANGED = "changed"
"""Name of the old and new rows of a change in a way."""


@dataclass(frozen=True, slots=True)
class Way:
    """From changed rows of a base table to the keys of the model's rows that they can change."""

    table: str
    """Target table in the model's schema."""
    sql: str
    """SELECT of the keys over `changed`."""


@dataclass(frozen=True, slots=True)
class ReadModel:
    """One read model of one store."""

    store: str
    schema: str
    name: str
    sql: str
    key: tuple[str, ...]
    ways: tuple[Way, ...]
    indexes: tuple[tuple[str, ...], ...] = ()

    @property
    def place(self) -> str:
        """`schema.name`."""
        return f"{self.schema}.{self.name}"

    @property
    def reads(self) -> tuple[str, ...]:
        """Its base tables."""
        return tuple(way.table for way in self.ways)

    @property
    def fingerprint(self) -> str:
        """16 hex digits over everything that the model is made of."""
        ways = [(way.table, way.sql) for way in self.ways]
        text = json.dumps([self.place, self.sql, self.key, ways, self.indexes])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def __str__(self) -> str:
        return f"{self.store}:{self.place}"

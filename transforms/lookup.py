"""Lookups as values: a column of a store's table that takes its value from a row of another table of that store."""

from __future__ import annotations

import hashlib
import json
from dataclasses import astuple, dataclass


@dataclass(frozen=True, slots=True)
class Lookup:
    """One looked-up column. All names are those of the store, in one schema."""

    store: str
    schema: str
    table: str
    """Whose rows have the column."""
    column: str
    by: tuple[str, ...]
    """Columns of `table` that name the row of `other`."""
    other: str
    """The table that is looked into."""
    key: tuple[str, ...]
    """Columns of `other` in the order of `by`; unique together."""
    key_types: tuple[str, ...]
    """Of `key`, without lengths and widths, which a statement of the source may change."""
    value: str
    """The column of `other` that gives the value."""
    type: str
    """Of both columns, but text for an enum type of the other table, and for a type of an extension."""
    otherwise: str | None = None
    """The value, as text, where `other` has no such row."""
    masked: bool = False
    """Its values are nobody's business."""

    @property
    def name(self) -> str:
        """`table.column`, by which it is chosen."""
        return f"{self.table}.{self.column}"

    @property
    def place(self) -> str:
        """`schema.table.column`."""
        return f"{self.schema}.{self.name}"

    @property
    def text(self) -> str:
        """What it does, for people."""
        pairs = " and ".join(f"{key} = {by}" for key, by in zip(self.key, self.by, strict=True))
        otherwise = "NULL" if self.otherwise is None else repr(self.otherwise)
        return f"{self.other}.{self.value} of the row with {pairs}; {otherwise} where there is none"

    @property
    def fingerprint(self) -> str:
        """16 hex digits over all of it."""
        return hashlib.sha256(json.dumps(astuple(self)).encode()).hexdigest()[:16]

    def __str__(self) -> str:
        return f"{self.store}:{self.place}"

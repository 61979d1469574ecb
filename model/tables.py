"""Source tables as the catalogue describes them, at one schema version. Pure values, with a JSON form for the history.

These values carry everything that decoding, type mapping and DDL need, because a legacy binlog has neither column
names nor signs, character sets or enum labels.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final


@dataclass(frozen=True, slots=True, order=True)
class TableId:
    """A source table's name: `schema` is the MySQL database."""

    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


class DefaultKind(StrEnum):
    """How a column's default is to be read."""

    NONE = "none"
    NULL = "null"
    LITERAL = "literal"
    NOW = "now"
    EXPRESSION = "expression"


@dataclass(frozen=True, slots=True)
class ColumnDef:
    """One column of a source table, in ordinal order (as the binlog numbers them, hidden columns included)."""

    name: str
    type: str
    """Base type in lower case as DATA_TYPE gives it: int, varchar, datetime, enum, json …"""
    column_type: str
    """The full declaration, e.g. `int(10) unsigned zerofill`, `enum('a','b')`."""
    nullable: bool = True
    unsigned: bool = False
    charset: str | None = None
    collation: str | None = None
    length: int | None = None
    """Characters for text, bytes for binary, bits for BIT, display width for TINYINT(1)."""
    precision: int | None = None
    """Digits of DECIMAL in all; fractional-second digits of temporal types are in `scale`."""
    scale: int | None = None
    labels: tuple[str, ...] = ()
    """Members of ENUM and SET in order."""
    default: str | None = None
    default_kind: DefaultKind = DefaultKind.NONE
    auto_increment: bool = False
    on_update_now: bool = False
    generated: str | None = None
    """`stored` or `virtual` for generated columns."""
    expression: str | None = None
    invisible: bool = False
    srid: int | None = None
    comment: str = ""
    json_check: bool = False
    """MariaDB's JSON: a longtext with a json_valid() check."""
    no_empty_shape: bool = False
    """A spatial column for any shapes, of MySQL 5.6: it has no empty shape, not even GEOMETRYCOLLECTION EMPTY."""


@dataclass(frozen=True, slots=True)
class IndexPart:
    """One part of an index: a column (maybe only a prefix of it) or an expression."""

    column: str | None
    prefix: int | None = None
    descending: bool = False
    expression: str | None = None


@dataclass(frozen=True, slots=True)
class IndexDef:
    """A secondary index; the primary key is `TableDef.primary_key`."""

    name: str
    parts: tuple[IndexPart, ...]
    unique: bool = False
    kind: str = "btree"
    """btree, hash, fulltext or spatial."""
    comment: str = ""
    visible: bool = True


@dataclass(frozen=True, slots=True)
class ForeignKeyDef:
    """A foreign key of the source: `columns` refer to `ref_columns` of `ref_table`."""

    name: str
    columns: tuple[str, ...]
    ref_table: TableId
    ref_columns: tuple[str, ...]
    on_delete: str = "RESTRICT"
    on_update: str = "RESTRICT"


@dataclass(frozen=True, slots=True)
class CheckDef:
    """A CHECK constraint in the source's dialect."""

    name: str
    expression: str
    enforced: bool = True


@dataclass(frozen=True, slots=True)
class TableDef:
    """One source table at one schema version."""

    id: TableId
    columns: tuple[ColumnDef, ...]
    primary_key: tuple[str, ...] = ()
    indexes: tuple[IndexDef, ...] = ()
    foreign_keys: tuple[ForeignKeyDef, ...] = ()
    checks: tuple[CheckDef, ...] = ()
    engine: str = "InnoDB"
    collation: str | None = None
    comment: str = ""
    rows_estimate: int = 0
    bytes_estimate: int = 0
    auto_increment: int | None = None
    """The next AUTO_INCREMENT value, when there is one."""
    partitioned: bool = False
    triggers: tuple[str, ...] = ()
    kind: str = "table"
    """`table`, `view`, `versioned` (MariaDB system versioning) or `sequence`."""

    def column(self, name: str) -> ColumnDef:
        """The column called `name` (exact, then case-insensitive). Raises KeyError."""
        for column in self.columns:
            if column.name == name:
                return column
        for column in self.columns:
            if column.name.lower() == name.lower():
                return column
        raise KeyError(name)

    def index_of(self, name: str) -> int:
        """Ordinal (from 0) of the column called `name`. Raises KeyError."""
        return self.columns.index(self.column(name))

    @property
    def key(self) -> tuple[str, ...]:
        """What identifies a row: the primary key, else the first unique index over whole NOT NULL columns, else ()."""
        if self.primary_key:
            return self.primary_key
        for index in self.indexes:
            parts = [part.column for part in index.parts if part.column and part.prefix is None]
            whole = index.unique and len(parts) == len(index.parts)
            if whole and all(not self.column(name).nullable for name in parts):
                return tuple(parts)
        return ()

    def to_json(self) -> str:
        """The JSON form kept in the schema history; `from_json` is its inverse."""
        return json.dumps(self, ensure_ascii=False, separators=(",", ":"), default=_by_name)

    @staticmethod
    @lru_cache(maxsize=4096)
    def from_json(text: str) -> TableDef:
        """Read what `to_json` wrote. Raises KeyError or TypeError for another program's JSON.

        Remembered: the history of many tables is read by whoever connects, and the same value is quick to compare.
        """
        raw: dict[str, Any] = json.loads(text)
        columns = tuple(
            ColumnDef(
                **{**column, "labels": tuple(column["labels"]), "default_kind": DefaultKind(column["default_kind"])}
            )
            for column in raw["columns"]
        )
        indexes = tuple(
            IndexDef(**{**index, "parts": tuple(IndexPart(**part) for part in index["parts"])})
            for index in raw["indexes"]
        )
        foreign_keys = tuple(
            ForeignKeyDef(
                **{
                    **key,
                    "columns": tuple(key["columns"]),
                    "ref_columns": tuple(key["ref_columns"]),
                    "ref_table": TableId(**key["ref_table"]),
                }
            )
            for key in raw["foreign_keys"]
        )
        return TableDef(
            **{
                **raw,
                "id": TableId(**raw["id"]),
                "columns": columns,
                "primary_key": tuple(raw["primary_key"]),
                "indexes": indexes,
                "foreign_keys": foreign_keys,
                "checks": tuple(CheckDef(**check) for check in raw["checks"]),
                "triggers": tuple(raw["triggers"]),
            }
        )

    def fingerprint(self) -> str:
        """Hash of everything that decoding and DDL depend on (not of estimates), 16 hex digits."""
        return _fingerprint(self)


_LATER: Final = frozenset({"no_empty_shape"})
"""Fields that came when definitions were kept already: left out where they say nothing, so that those stay the same."""


def _by_name(value: Any) -> dict[str, Any]:
    """A value's fields for JSON, in order; `dataclasses.asdict` would copy all that is in them."""
    return {name: found for name in value.__slots__ if (found := getattr(value, name)) or name not in _LATER}


@lru_cache(maxsize=4096)
def _fingerprint(table: TableDef) -> str:
    """Remembered: it is asked for per table map and plan, and costs more than decoding hundreds of rows."""
    shape = dataclasses.replace(table, rows_estimate=0, bytes_estimate=0, auto_increment=None, triggers=())
    return hashlib.sha256(shape.to_json().encode()).hexdigest()[:16]

"""The schema history: which definition each source table had from which transaction on. Decoding trusts only this."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from model.tables import TableDef, TableId
from stores.postgres import PostgresConnection


@dataclass(frozen=True, slots=True)
class SchemaVersion:
    """A table's definition for changes with a sequence number of at least `from_seq`; None: the table was dropped."""

    table: TableId
    from_seq: int
    definition: TableDef | None


class SchemaHistory:
    """Definitions by table and sequence number. Immutable; `extended` gives a longer one."""

    def __init__(self, versions: Iterable[SchemaVersion] = ()) -> None:
        self._versions: dict[TableId, list[SchemaVersion]] = {}
        for version in sorted(versions, key=lambda item: item.from_seq):
            self._versions.setdefault(version.table, []).append(version)

    def at(self, table: TableId, seq: int) -> TableDef | None:
        """The definition that holds for changes of transaction `seq`; None when unknown or dropped."""
        versions = self._versions.get(table, [])
        index = bisect_right(versions, seq, key=lambda item: item.from_seq)
        return versions[index - 1].definition if index else None

    def until(self, table: TableId, seq: int) -> float:
        """The transaction from which on another definition than that of `seq` holds; infinity when there is none."""
        later = (version.from_seq for version in self._versions.get(table, []) if version.from_seq > seq)
        return next(later, math.inf)

    def latest(self, table: TableId) -> TableDef | None:
        """The definition that holds at the end; None when unknown or dropped."""
        versions = self._versions.get(table)
        return versions[-1].definition if versions else None

    def tables(self) -> frozenset[TableId]:
        """Tables that the history has ever known."""
        return frozenset(self._versions)

    def extended(self, versions: Iterable[SchemaVersion]) -> SchemaHistory:
        """This history and later versions; one with the same table and start replaces the older."""
        merged = {(item.table, item.from_seq): item for items in self._versions.values() for item in items}
        merged.update({(item.table, item.from_seq): item for item in versions})
        return SchemaHistory(merged.values())


def load(connection: PostgresConnection, stream: str) -> SchemaHistory:
    """The whole history of a stream."""
    rows = connection.execute(
        "SELECT schema_name, table_name, from_seq, definition FROM crossfade.schema_history WHERE stream = %s",
        (stream,),
    ).fetchall()
    return SchemaHistory(
        SchemaVersion(TableId(schema, name), seq, TableDef.from_json(text) if text is not None else None)
        for schema, name, seq, text in rows
    )


def fingerprints(connection: PostgresConnection, stream: str, tables: Collection[TableId]) -> dict[TableId, str]:
    """The fingerprint of the latest definition of each of some tables; of one that was dropped it is empty."""
    rows = connection.execute(
        "SELECT DISTINCT ON (schema_name, table_name) schema_name, table_name, fingerprint "
        "FROM crossfade.schema_history WHERE stream = %s AND (schema_name, table_name) IN "
        "(SELECT * FROM unnest(%s::text[], %s::text[])) ORDER BY schema_name, table_name, from_seq DESC",
        (stream, [table.schema for table in tables], [table.name for table in tables]),
    ).fetchall()
    return {TableId(schema, name): fingerprint for schema, name, fingerprint in rows}


def append(connection: PostgresConnection, stream: str, versions: Iterable[SchemaVersion]) -> None:
    """Write versions; one that is there already stays as it is (replays write the same)."""
    for version in versions:
        definition = version.definition
        connection.execute(
            "INSERT INTO crossfade.schema_history (stream, schema_name, table_name, from_seq, definition, fingerprint) "
            "VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            (
                stream,
                version.table.schema,
                version.table.name,
                version.from_seq,
                definition.to_json() if definition else None,
                definition.fingerprint() if definition else "",
            ),
        )


def replace(connection: PostgresConnection, stream: str, version: SchemaVersion) -> None:
    """Write a version, and forget those of its table that begin later or at the same place."""
    connection.execute(
        "DELETE FROM crossfade.schema_history "
        "WHERE (stream, schema_name, table_name) = (%s, %s, %s) AND from_seq >= %s",
        (stream, version.table.schema, version.table.name, version.from_seq),
    )
    append(connection, stream, [version])

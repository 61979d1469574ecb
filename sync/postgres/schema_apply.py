"""Brings a store's schema to the plan, one phase at a time. Creates what is missing, changes and drops nothing.

Running it twice does nothing the second time; a table that exists but does not fit is refused before anything is made.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import structlog

from model.errors import SchemaDrift
from stores.errors import translated
from stores.postgres import PostgresConnection
from sync.postgres.drift import require_fit
from sync.postgres.store_catalog import StoreCatalog, read_store
from transforms.ddl import DdlObject, DdlStatement, ObjectKind, Phase, statements_of
from transforms.target import TargetTable

_LOCKS: Final = int.from_bytes(zlib.crc32(b"crossfade schema").to_bytes(4), signed=True)
"""The class of our advisory locks."""
_EVERY_TABLE: Final = 0
_LOCK: Final = "SELECT pg_advisory_lock(%s, lock) FROM unnest(%s::int[]) AS lock"
_UNLOCK: Final = "SELECT pg_advisory_unlock(%s, lock) FROM unnest(%s::int[]) AS lock"
"""Of one that was not taken, for the wait for one before it failed, PostgreSQL tells by a warning."""
log = structlog.get_logger(__name__)


def apply_schema(connection: PostgresConnection, tables: Sequence[TargetTable], phase: Phase) -> list[DdlObject]:
    """Create what the phase of one store's tables still lacks; the objects that were made, in order.

    `connection` is in autocommit mode; every object is made in a transaction of its own. Once the tables are there,
    each has a lock of its own: indexes of several are built side by side, and nobody waits for another's. Raises
    SchemaDrift before any change when an existing table does not fit, and ValueRefused when rows break a unique index
    or foreign key.
    """
    if not tables:
        return []
    store, schemas = tables[0].store, {table.schema for table in tables}
    with _alone(connection, store, _locks(tables, phase)):
        catalog = read_store(connection, schemas)
        require_fit(catalog, tables, store)
        made: list[DdlObject] = []
        for statement in missing(catalog, tables, phase):
            with translated(f"store {store}, {statement.object}"), connection.transaction():
                connection.execute(statement.sql.encode())
            log.debug("schema object created", store=store, object=str(statement.object))
            made.append(statement.object)
        log.info("schema phase applied", store=store, phase=str(phase), created=len(made))
        return made


def _locks(tables: Sequence[TargetTable], phase: Phase) -> list[int]:
    """What to hold meanwhile, in the order in which everybody takes them."""
    if phase is Phase.BEFORE_COPY:
        return [_EVERY_TABLE]
    names = {f"{table.schema}.{table.name}" for table in tables}
    return sorted({int.from_bytes(zlib.crc32(name.encode()).to_bytes(4), signed=True) for name in names})


@contextmanager
def _alone(connection: PostgresConnection, store: str, locks: Sequence[int]) -> Iterator[None]:
    """Hold advisory locks of the session (PostgreSQL manual, "Advisory Locks"): all by one statement, one after
    the other in their order."""
    try:
        with translated(f"store {store}"):
            connection.execute(_LOCK, (_LOCKS, list(locks)))
        yield
    finally:
        if not connection.closed and not connection.broken:
            with translated(f"store {store}"):
                connection.execute(_UNLOCK, (_LOCKS, list(locks)))


def missing(catalog: StoreCatalog, tables: Sequence[TargetTable], phase: Phase) -> list[DdlStatement]:
    """The statements of the phase whose object the store does not have. Raises SchemaDrift for a name that is taken."""
    return [statement for statement in statements_of(tables, phase) if not _present(catalog, statement.object)]


def _present(catalog: StoreCatalog, wanted: DdlObject) -> bool:
    place = (wanted.schema, wanted.name)
    match wanted.kind:
        case ObjectKind.SCHEMA:
            return wanted.schema in catalog.schemas
        case ObjectKind.ENUM:
            return place in catalog.enums
        case ObjectKind.SEQUENCE:
            return place in catalog.sequences
        case ObjectKind.TABLE:
            return place in catalog.tables
        case ObjectKind.INDEX:
            return _index_present(catalog, wanted)
        case ObjectKind.FOREIGN_KEY | ObjectKind.VALIDATION:
            table = catalog.tables.get((wanted.schema, wanted.table or ""))
            keys = {key.name: key.validated for key in table.foreign_keys} if table else {}
            return keys.get(wanted.name, False) if wanted.kind is ObjectKind.VALIDATION else wanted.name in keys


def _index_present(catalog: StoreCatalog, wanted: DdlObject) -> bool:
    for table in catalog.tables.values():
        for index in table.indexes:
            if table.schema == wanted.schema and index.name == wanted.name:
                if table.name == wanted.table:
                    return True
                raise SchemaDrift(
                    f"the index name {wanted.name} is taken by the table {table.name}",
                    hint="Rename or drop that index.",
                    table=f"{wanted.schema}.{wanted.table}",
                )
    return False

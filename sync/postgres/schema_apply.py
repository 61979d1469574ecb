"""Brings a store's schema to the plan, one phase at a time. Creates what is missing, changes and drops nothing
but an index that takes the name of one that is missing, because its build did not end.

Running it twice does nothing the second time; a table that exists but does not fit is refused before anything is made.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from model.errors import SchemaDrift
from stores.errors import translated
from stores.postgres import PostgresConnection
from sync.postgres.drift import require_fit
from sync.postgres.schema_lock import EVERY_TABLE, alone, locks_of
from sync.postgres.store_catalog import StoreCatalog, StoreIndex, read_store
from transforms.ddl import DdlObject, DdlStatement, ObjectKind, Phase, qualified, statements_of
from transforms.target import TargetTable

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
    with alone(connection, store, EVERY_TABLE if phase is Phase.BEFORE_COPY else locks_of(tables)):
        catalog = read_store(connection, schemas)
        require_fit(catalog, tables, store)
        made: list[DdlObject] = []
        for statement in missing(catalog, tables, phase):
            with translated(f"store {store}, {statement.object}"), connection.transaction():
                if _left(catalog, statement.object):
                    name = qualified(statement.object.schema, statement.object.name)
                    connection.execute(f"DROP INDEX {name}".encode())
                connection.execute(statement.sql.encode())
            log.debug("schema object created", store=store, object=str(statement.object))
            made.append(statement.object)
        log.info("schema phase applied", store=store, phase=str(phase), created=len(made))
        return made


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
    index = _index(catalog, wanted)
    if index is not None and index.table != wanted.table:
        raise SchemaDrift(
            f"the index name {wanted.name} is taken by the table {index.table}",
            hint="Rename or drop that index.",
            table=f"{wanted.schema}.{wanted.table}",
        )
    return index is not None and index.valid


def _left(catalog: StoreCatalog, wanted: DdlObject) -> bool:
    """Whether a build that did not end has left an index of this name, which takes the name and refuses rows."""
    return wanted.kind is ObjectKind.INDEX and _index(catalog, wanted) is not None


def _index(catalog: StoreCatalog, wanted: DdlObject) -> StoreIndex | None:
    found = (index for table in catalog.tables.values() for index in table.indexes if table.schema == wanted.schema)
    return next((index for index in found if index.name == wanted.name), None)

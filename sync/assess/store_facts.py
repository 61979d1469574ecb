"""Everything the checks of one store look at, gathered once in a read-only session."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field

from psycopg import sql

from config.settings import Settings, StoreSettings
from model.errors import CrossfadeError
from stores.errors import translated
from stores.postgres import PostgresConnection, connect_store, dsn_label
from transforms.pgtypes import EXTENSIONS
from transforms.plan import MigrationPlan
from transforms.target import TargetTable

_FACTS = """
SELECT current_setting('server_version_num')::int, current_setting('server_version'), current_user::text,
       current_database()::text, r.rolsuper, r.rolreplication,
       (SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = current_database()),
       pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool,
       has_database_privilege(current_database(), 'CREATE'),
       pg_database_size(current_database()),
       current_setting('wal_level'),
       current_setting('max_replication_slots')::int, (SELECT count(*) FROM pg_replication_slots)::int
FROM pg_roles r WHERE r.rolname = current_user
"""
_SCHEMAS = """
SELECT nspname::text, has_schema_privilege(oid, 'CREATE') AND has_schema_privilege(oid, 'USAGE')
FROM pg_namespace WHERE nspname = ANY(%s)
"""


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """One store as it is. With `error` set it could not be reached and the rest is empty."""

    name: str
    settings: Settings
    store: StoreSettings
    label: str
    error: CrossfadeError | None = None
    version: int = 0
    """As server_version_num: 150004."""
    version_text: str = ""
    role: str = ""
    database: str = ""
    superuser: bool = False
    replication: bool = False
    encoding: str = ""
    read_only: bool = False
    may_create_schemas: bool = False
    schemas: Mapping[str, bool] = field(default_factory=dict)
    """Of the schemas that we need, those that exist → whether we may create tables in them."""
    may_set_replication_role: bool = False
    bytes_used: int = 0
    wal_level: str = ""
    slots: int = 0
    slots_used: int = 0
    filled: tuple[str, ...] = ()
    """Target tables that hold rows already, quoted."""
    extensions: Mapping[str, str] = field(default_factory=dict)
    """Extensions that the plan's types need → "there", "installable", or "" when the server does not have them."""
    started: bool = False
    """Whether this migration has a checkpoint here."""
    targets: frozenset[str] = frozenset()
    """`schema.table` of the plan's target tables."""
    source_bytes: int = 0

    @property
    def subject(self) -> str:
        """The store in a finding."""
        return f"store {self.name}"


def gather_store(name: str, settings: Settings, plan: MigrationPlan | None, source_bytes: int) -> StoreFacts:
    """Ask one store everything; an unreachable one is a fact, too."""
    store = settings.stores[name]
    label = dsn_label(store.dsn)
    try:
        with closing(connect_store(store.dsn, application="crossfade assess")) as connection:
            return _facts(connection, name, settings, label, plan, source_bytes)
    except CrossfadeError as error:
        return StoreFacts(name, settings, store, label, error)


def _facts(
    connection: PostgresConnection,
    name: str,
    settings: Settings,
    label: str,
    plan: MigrationPlan | None,
    source_bytes: int,
) -> StoreFacts:
    targets = sorted({(item.target.schema, item.target.name) for item in plan.of_store(name)}) if plan else []
    with translated(f"store {label}"):
        row = connection.execute(_FACTS).fetchone()
        assert row is not None
        (
            version,
            text,
            role,
            database,
            superuser,
            replication,
            encoding,
            read_only,
            create,
            used,
            wal,
            slots,
            taken,
        ) = row
        wanted = sorted({"crossfade", settings.stores[name].schema_, *(schema for schema, _ in targets)})
        schemas: dict[str, bool] = dict(connection.execute(_SCHEMAS, (wanted,)).fetchall())
        parameter = superuser
        if version >= 150000 and not superuser:
            found = connection.execute(
                "SELECT has_parameter_privilege(current_user, 'session_replication_role', 'SET')"
            ).fetchone()
            parameter = bool(found and found[0])
        filled = tuple(
            sql.Identifier(schema, table).as_string(connection)
            for schema, table in targets
            if _has_rows(connection, schema, table)
        )
        return StoreFacts(
            name=name,
            settings=settings,
            store=settings.stores[name],
            label=label,
            version=version,
            version_text=text,
            role=role,
            database=database,
            superuser=superuser,
            replication=replication or superuser,
            encoding=encoding,
            read_only=read_only,
            may_create_schemas=create,
            schemas=schemas,
            may_set_replication_role=parameter,
            bytes_used=used,
            wal_level=wal,
            slots=slots,
            slots_used=taken,
            filled=filled,
            extensions=_extensions(connection, plan.targets_of(name) if plan else ()),
            started=_started(connection, settings.name),
            targets=frozenset(f"{schema}.{table}" for schema, table in targets),
            source_bytes=source_bytes,
        )


def _extensions(connection: PostgresConnection, targets: Iterable[TargetTable]) -> dict[str, str]:
    types = {column.type.partition("(")[0] for target in targets for column in target.columns}
    wanted = sorted({EXTENSIONS[name] for name in types & EXTENSIONS.keys()})
    rows = connection.execute(
        "SELECT w.name, CASE WHEN e.oid IS NOT NULL THEN 'there' WHEN a.name IS NOT NULL THEN 'installable' ELSE '' END"
        " FROM unnest(%s::text[]) AS w(name) LEFT JOIN pg_extension e ON e.extname = w.name"
        " LEFT JOIN pg_available_extensions a ON a.name = w.name",
        (wanted,),
    ).fetchall()
    return {str(name): str(state) for name, state in rows}


def _has_rows(connection: PostgresConnection, schema: str, table: str) -> bool:
    known = connection.execute(
        "SELECT has_table_privilege(c.oid, 'SELECT') FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p')",
        (schema, table),
    ).fetchone()
    if known is None or not known[0]:
        return False
    statement = sql.SQL("SELECT EXISTS (SELECT FROM {})").format(sql.Identifier(schema, table))
    row = connection.execute(statement).fetchone()
    return bool(row and row[0])


def _started(connection: PostgresConnection, stream: str) -> bool:
    """Whether our checkpoint of this migration is in the store."""
    known = connection.execute(
        "SELECT to_regclass('crossfade.checkpoint') IS NOT NULL"
        " AND has_table_privilege(to_regclass('crossfade.checkpoint'), 'SELECT')"
    ).fetchone()
    if not known or not known[0]:
        return False
    row = connection.execute("SELECT EXISTS (SELECT FROM crossfade.checkpoint WHERE stream = %s)", (stream,)).fetchone()
    return bool(row and row[0])

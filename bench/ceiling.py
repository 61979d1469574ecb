"""What a hand-written program could do at best: the same rows, ready as lines, into a twin of the table in our store.

Plain COPY for rows that are new; for all else COPY into a temporary table, DELETE … USING, INSERT … ON CONFLICT. One
transaction per batch. Nothing is read from the source, decoded or checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from psycopg import sql

from stores.postgres import PostgresConnection

TWINS = "ceiling"
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of one table in one batch, found in the store's table after ours has written it."""

    table: str
    kept: str
    """Condition on `id`: rows that were written."""
    gone: str = ""
    """A query that gives the ids that were deleted."""


Batch = Sequence[Part]
"""What goes into one transaction."""


@dataclass(frozen=True, slots=True)
class _Lines:
    table: str
    rows: Path
    keys: Path | None


class Ceiling:
    """Twins of some tables, all with a key `id`."""

    def __init__(self, connection: PostgresConnection, tables: Iterable[str], folder: Path) -> None:
        """Make the twins from the tables as they are now."""
        self._connection = connection
        self._folder = folder
        self._tables = tuple(tables)
        self._columns: dict[str, list[str]] = {}
        connection.execute(b"CREATE SCHEMA ceiling")
        for table in self._tables:
            name = sql.Identifier(table)
            twin = sql.Identifier(TWINS, table)
            connection.execute(
                sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)").format(
                    twin, name
                )
            )
            connection.execute(sql.SQL("INSERT INTO {} SELECT * FROM {}").format(twin, name))
            found = connection.execute(
                "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 ORDER BY attnum",
                (table,),
            ).fetchall()
            self._columns[table] = [row[0] for row in found]
            connection.execute(
                sql.SQL("CREATE TEMPORARY TABLE {} ON COMMIT DELETE ROWS AS SELECT * FROM {} WITH NO DATA").format(
                    sql.Identifier(f"stage_{table}"), name
                )
            )
        connection.execute(b"CREATE TEMPORARY TABLE gone (id bigint) ON COMMIT DELETE ROWS")

    def prepare(self, batches: Iterable[Batch]) -> list[list[_Lines]]:
        """Write the batches' lines into files, from the tables that ours has written."""
        made = []
        for number, batch in enumerate(batches):
            lines = []
            for part in batch:
                rows = self._folder / f"{number}-{part.table}.rows"
                self._save(f'SELECT * FROM "{part.table}" WHERE {part.kept} ORDER BY id', rows)
                keys = None
                if part.gone:
                    keys = self._folder / f"{number}-{part.table}.keys"
                    self._save(part.gone, keys)
                lines.append(_Lines(part.table, rows, keys))
            made.append(lines)
        return made

    def copy(self, batches: Iterable[Iterable[_Lines]]) -> None:
        """Plain COPY into the twins."""
        for batch in batches:
            with self._connection.transaction():
                for lines in batch:
                    self._load(sql.Identifier(TWINS, lines.table), lines.rows)

    def upsert(self, batches: Iterable[Iterable[_Lines]]) -> None:
        """COPY into the temporary table, delete, insert or update."""
        for batch in batches:
            with self._connection.transaction():
                for lines in batch:
                    self._upsert(lines)

    def rewind(self, batches: Iterable[Batch]) -> None:
        """Remove the rows of batches of new rows again, for another round on them."""
        for batch in batches:
            for part in batch:
                self._connection.execute(f'DELETE FROM {TWINS}."{part.table}" WHERE {part.kept}'.encode())
        for table in self._tables:
            self._connection.execute(sql.SQL("VACUUM {}").format(sql.Identifier(TWINS, table)))

    def same(self) -> bool:
        """Whether every twin equals its table."""
        for table in self._tables:
            both = []
            for name in (sql.Identifier(table), sql.Identifier(TWINS, table)):
                query = sql.SQL("SELECT count(*), sum(hashtext(t::text)::bigint) FROM {} AS t").format(name)
                both.append(self._connection.execute(query).fetchone())
            if both[0] != both[1]:
                return False
        return True

    def _save(self, query: str, path: Path) -> None:
        with path.open("wb") as file, self._connection.cursor().copy(f"COPY ({query}) TO STDOUT".encode()) as copy:
            for block in copy:
                file.write(block)

    def _load(self, name: sql.Identifier, path: Path) -> None:
        with (
            path.open("rb") as file,
            self._connection.cursor() as cursor,
            cursor.copy(sql.SQL("COPY {} FROM STDIN").format(name)) as copy,
        ):
            while block := file.read(_BLOCK):
                copy.write(block)

    def _upsert(self, lines: _Lines) -> None:
        stage, twin = sql.Identifier(f"stage_{lines.table}"), sql.Identifier(TWINS, lines.table)
        if lines.keys is not None:
            self._load(sql.Identifier("gone"), lines.keys)
            self._connection.execute(sql.SQL("DELETE FROM {} AS t USING gone WHERE t.id = gone.id").format(twin))
        self._load(stage, lines.rows)
        names = [sql.Identifier(name) for name in self._columns[lines.table] if name != "id"]
        self._connection.execute(
            sql.SQL("INSERT INTO {} SELECT * FROM {} ON CONFLICT (id) DO UPDATE SET {}").format(
                twin, stage, sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(name) for name in names)
            )
        )

"""Reads one table plan's rows in the store: leaf digests, keys with hashes, canonical rows. Read-only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any, Final

from stores.errors import translated
from stores.postgres import PostgresConnection
from sync.postgres.own_rows import own_rows
from transforms.names import quoted
from transforms.plan import TablePlan
from validators.canonical.record import CanonicalRow, RecordForm
from validators.canonical.source_forms import NotPushable
from validators.keys import target_lookup
from validators.leaves import Digest, Leaves, postgres_name

FETCH: Final = 5_000
EVERYTHING: Final = "true"
_names = count(1)

PrintedRow = Mapping[str, bytes | None]
"""By the store's column names."""


class TargetSide:
    """One plan's table on one connection in autocommit mode."""

    def __init__(self, connection: PostgresConnection, plan: TablePlan, form: RecordForm) -> None:
        self.connection = connection
        self.plan = plan
        self.form = form
        self.hash_sql = form.postgres_hash()
        self._from = postgres_name(plan)
        self._where = f"store {plan.target.store}"
        self._own = own_rows(plan)
        self._rows = f"{self._from} WHERE {self._own}"
        self._reads = ", ".join(target.read for target in form.targets)
        self._keys = ", ".join(form.targets[index].read for index in form.key)

    def count(self) -> int:
        """Number of rows."""
        with translated(self._where):
            row = self.connection.execute(f"SELECT count(*) FROM {self._rows}".encode()).fetchone()
        return int(row[0]) if row else 0

    def digests(self, leaves: Leaves, condition: str = EVERYTHING) -> dict[int, Digest]:
        """Digests of the leaves of the rows that meet `condition`, from one scan."""
        query = leaves.postgres_digests(self.plan, self.hash_sql, f"{self._own} AND ({condition})")
        with translated(self._where):
            found = self.connection.execute(query.encode()).fetchall()
        return {leaf: (rows, int(total)) for leaf, rows, total in found}

    def hashes(self, condition: str) -> list[tuple[Sequence[Any], int]]:
        """Key as `read_key` takes it, and hash, of every row that meets `condition`: of a batch, they are held."""
        query = f"SELECT {self._keys}, {self.hash_sql} FROM {self._rows} AND ({condition})"
        with translated(self._where):
            return [(read, read[-1]) for read in self.connection.execute(query.encode()).fetchall()]

    def read_key(self, read: Sequence[Any]) -> CanonicalRow:
        """The canonical key of what `hashes` gave: few of its rows need one."""
        return self._canonical_key(read[:-1])

    def rows(self, condition: str) -> Iterator[CanonicalRow]:
        """Canonical rows that meet `condition`."""
        for fields in self._stream(f"SELECT {self._reads} FROM {self._rows} AND ({condition})"):
            yield self._canonical(fields)

    def random_keys(self, number: int, size: int) -> Iterator[CanonicalRow]:
        """Keys of about `number` rows chosen at random from a table of about `size` rows."""
        share = min(100.0, max(0.001, 150.0 * number / max(size, 1)))
        sample = f"{self._from} TABLESAMPLE BERNOULLI ({share}) WHERE {self._own}"
        query = f"SELECT {self._keys} FROM {sample} LIMIT {number}"
        for key in self._stream(query):
            yield self._canonical_key(key)

    def first(self) -> CanonicalRow | None:
        """Any row, None for an empty table."""
        with translated(self._where):
            row = self.connection.execute(f"SELECT {self._reads} FROM {self._rows} LIMIT 1".encode()).fetchone()
        return self._canonical(row) if row else None

    def printed(self, keys: Sequence[CanonicalRow] | None = None) -> Iterator[tuple[CanonicalRow, PrintedRow]]:
        """Canonical row, and every column of it as PostgreSQL prints it: of the rows with these keys, or of all."""
        names = self._columns()
        # format() prints as a type's output function does; a cast to text does not (boolean, character).
        printed = [f"CASE WHEN {name} IS NOT NULL THEN format('%s', {name}) END" for name in map(quoted, names)]
        selected = f"{self._reads}, {', '.join(printed)}"
        rows = self._stream(f"SELECT {selected} FROM {self._rows}") if keys is None else self._found(selected, keys)
        wanted = None if keys is None else set(keys)
        at = len(self.form.targets)
        for fields in rows:
            row = self._canonical(fields[:at])
            if wanted is None or self.form.key_of(row) in wanted:
                shown = (None if field is None else field.encode() for field in fields[at:])
                yield row, dict(zip(names, shown, strict=True))

    def _columns(self) -> list[str]:
        with translated(self._where):
            found = self.connection.execute(
                "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 "
                "AND NOT attisdropped ORDER BY attnum",
                (self._from,),
            ).fetchall()
        return [str(name) for (name,) in found]

    def lookup(self, keys: Sequence[CanonicalRow]) -> dict[CanonicalRow, list[CanonicalRow]]:
        """Rows with these canonical keys; the whole table is read when a key has no text that PostgreSQL reads."""
        found: dict[CanonicalRow, list[CanonicalRow]] = {}
        wanted = set(keys)
        for row in map(self._canonical, self._found(self._reads, keys)):
            key = self.form.key_of(row)
            if key in wanted:
                found.setdefault(key, []).append(row)
        return found

    def _found(self, selected: str, keys: Sequence[CanonicalRow]) -> Iterable[tuple[Any, ...]]:
        """What is selected of the rows with these keys, or of all when a key has no text that PostgreSQL reads."""
        try:
            query, values = target_lookup(self.plan, self.form, selected, keys)
        except NotPushable:
            return self._stream(f"SELECT {selected} FROM {self._rows}")
        with translated(self._where):
            return self.connection.execute(query.encode(), values).fetchall()

    def _canonical(self, fields: Sequence[Any]) -> CanonicalRow:
        return tuple(
            None if field is None else form.canonical(field.encode())
            for form, field in zip(self.form.targets, fields, strict=True)
        )

    def _canonical_key(self, fields: Sequence[Any]) -> CanonicalRow:
        return tuple(
            None if field is None else self.form.targets[index].canonical(field.encode())
            for index, field in zip(self.form.key, fields, strict=True)
        )

    def _stream(self, query: str) -> Iterator[tuple[Any, ...]]:
        with (
            translated(self._where),
            _transaction(self.connection),
            self.connection.cursor(name=f"crossfade_verify_{next(_names)}") as cursor,
        ):
            cursor.itersize = FETCH
            cursor.execute(query.encode())
            yield from cursor


@contextmanager
def _transaction(connection: PostgresConnection) -> Iterator[None]:
    """A transaction for a cursor, unless one is open already."""
    if connection.info.transaction_status:
        yield
    else:
        with connection.transaction():
            yield

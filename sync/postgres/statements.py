"""SQL that writes one plan's target table: the only place where the apply path's statements are worded.

Values are text forms whose type PostgreSQL infers from the column. A *mask* is the tuple of column indexes that a row
has; a row without some columns (MINIMAL row images) gets a statement of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache

from psycopg import sql

from transforms.plan import TablePlan

Mask = tuple[int, ...]

FATE = sql.Identifier("#fate")
"""Staging column that says what becomes of the row; the sign keeps it apart from column names of any sane table."""

_NO_EQUALITY = frozenset({"json", "xml"})
"""Types without an equality operator; they are compared as text."""


def quoted(*parts: str) -> sql.SQL:
    """An identifier for statements with parameters, in which the driver reads a lone `%` as a placeholder."""
    return sql.SQL(sql.Identifier(*parts).as_string(None).replace("%", "%%"))


class PlanStatements:
    """Statements of one plan. `number` tells its staging table and row type in the session from those of others.

    Names come twice: quoted for statements without parameters, and as `quoted` has them for those with.
    """

    def __init__(self, plan: TablePlan, number: int) -> None:
        self.plan = plan
        self.table = sql.Identifier(plan.target.schema, plan.target.name)
        self._stage_name = sql.Identifier(f"crossfade_stage_{number}")
        self.stage = sql.SQL("pg_temp.{}").format(self._stage_name)
        self._row_type = sql.SQL(f"pg_temp.crossfade_row_{number}")
        self._names = tuple(_identifier(column.target.name) for column in plan.columns)
        self._quoted = tuple(name.replace("%", "%%") for name in self._names)
        self._quoted_table = quoted(plan.target.schema, plan.target.name)
        self.every: Mask = tuple(range(len(plan.columns)))
        self._masked: dict[tuple[str, Mask], bytes] = {}

    def _list(self, mask: Sequence[int], names: Sequence[str], prefix: str = "") -> sql.SQL:
        """Names that are quoted already; as one text, for a statement is put together out of as few parts as can be."""
        return sql.SQL(", ".join([prefix + names[index] for index in mask]))

    def _same_key(self, names: Sequence[str]) -> sql.SQL:
        return sql.SQL(" AND ".join([f"t.{names[index]} = s.{names[index]}" for index in self.plan.key]))

    def _conflict(self, mask: Mask, names: Sequence[str]) -> sql.Composed:
        key = self._list(self.plan.key, names)
        present = set(mask)
        assignments = [
            f"{name} = excluded.{name}" if index in present else f"{name} = DEFAULT"
            for index, name in enumerate(names)
            if index not in self.plan.key
        ]
        if not assignments:
            return sql.SQL(" ON CONFLICT ({}) DO NOTHING").format(key)
        return sql.SQL(" ON CONFLICT ({}) DO UPDATE SET {}").format(key, sql.SQL(", ".join(assignments)))

    def upsert(self, mask: Mask) -> bytes:
        """INSERT of one row, ON CONFLICT of the key UPDATE; columns outside the mask get their default."""
        found = self._masked.get(("upsert", mask))
        if found is None:
            made = sql.SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE VALUES ({})").format(
                self._quoted_table, self._list(mask, self._quoted), sql.SQL(", ").join([sql.Placeholder()] * len(mask))
            )
            if self.plan.key:
                made += self._conflict(mask, self._quoted)
            found = self._masked["upsert", mask] = _made(made)
        return found

    def patch(self, mask: Mask) -> bytes:
        """UPDATE of the columns in the mask (without the key's) by key: values first, then the key."""
        found = self._masked.get(("patch", mask))
        if found is None:
            found = self._masked["patch", mask] = _made(
                sql.SQL("UPDATE {} SET {} WHERE {}").format(
                    self._quoted_table,
                    sql.SQL(", ".join([f"{self._quoted[index]} = %s" for index in mask])),
                    self._key_is_given,
                )
            )
        return found

    @cached_property
    def _key_is_given(self) -> sql.SQL:
        return sql.SQL(" AND ".join([f"{self._quoted[index]} = %s" for index in self.plan.key]))

    @cached_property
    def delete(self) -> bytes:
        """DELETE of one row by key."""
        return _made(sql.SQL("DELETE FROM {} WHERE {}").format(self._quoted_table, self._key_is_given))

    @cached_property
    def fetch(self) -> bytes:
        """SELECT of one row by key, every column as text."""
        columns = sql.SQL(", ".join([f"{name}::text" for name in self._quoted]))
        return _made(sql.SQL("SELECT {} FROM {} WHERE {}").format(columns, self._quoted_table, self._key_is_given))

    @cached_property
    def create_row_type(self) -> bytes:
        """The session's type of the plan's rows, for arrays of them.

        A type takes the store a twentieth of the time that a table takes, whose row type would do as well: it has no
        files. Its columns have the types of the plan, and a store where they are others is refused before (`drift`).
        """
        columns = zip(self._names, self.plan.columns, strict=True)
        listed = sql.SQL(", ".join([f"{name} {column.target.type}" for name, column in columns]))
        return _made(sql.SQL("CREATE TYPE {} AS ({})").format(self._row_type, listed))

    @cached_property
    def create_stage(self) -> bytes:
        """The session's staging table: the target's columns with their types, and what becomes of the row."""
        return _made(
            sql.SQL(
                "CREATE TEMPORARY TABLE {} ON COMMIT DELETE ROWS AS"
                " SELECT NULL::smallint AS {}, {} FROM {} WITH NO DATA"
            ).format(self._stage_name, FATE, self._list(self.every, self._names), self.table)
        )

    @cached_property
    def truncate_stage(self) -> bytes:
        """Empty the staging table within a transaction that has used it."""
        return _made(sql.SQL("TRUNCATE {}").format(self.stage))

    @cached_property
    def copy_stage(self) -> bytes:
        """COPY of whole rows with their fate into staging."""
        return _made(
            sql.SQL("COPY {} ({}, {}) FROM STDIN").format(self.stage, FATE, self._list(self.every, self._names))
        )

    @cached_property
    def copy_stage_keys(self) -> bytes:
        """COPY of keys to delete into staging."""
        return _made(
            sql.SQL("COPY {} ({}, {}) FROM STDIN").format(self.stage, FATE, self._list(self.plan.key, self._names))
        )

    @cached_property
    def copy_table(self) -> bytes:
        """COPY of whole rows straight into the target, for keyless tables."""
        return _made(sql.SQL("COPY {} ({}) FROM STDIN").format(self.table, self._list(self.every, self._names)))

    @cached_property
    def delete_staged(self) -> bytes:
        """DELETE of every staged key that is deleted or moved."""
        return _made(
            sql.SQL("DELETE FROM {} AS t USING {} AS s WHERE s.{} <= 1 AND {}").format(
                self.table, self.stage, FATE, self._same_key(self._names)
            )
        )

    @cached_property
    def upsert_staged(self) -> bytes:
        """INSERT of every staged row that is moved or upserted."""
        return _made(
            sql.SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {} AS s WHERE s.{} >= 1").format(
                self.table,
                self._list(self.every, self._names),
                self._list(self.every, self._names, "s."),
                self.stage,
                FATE,
            )
            + self._conflict(self.every, self._names)
        )

    @cached_property
    def delete_array(self) -> bytes:
        """DELETE of the keys of an array of rows."""
        return _made(
            sql.SQL("DELETE FROM {} AS t USING unnest(%s::{}[]) AS s WHERE {}").format(
                self._quoted_table,
                self._row_type,
                self._same_key(self._quoted),
            )
        )

    @cached_property
    def upsert_array(self) -> bytes:
        """INSERT of an array of rows, ON CONFLICT of the key UPDATE."""
        return _made(
            sql.SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM unnest(%s::{}[]) AS s").format(
                self._quoted_table,
                self._list(self.every, self._quoted),
                self._list(self.every, self._quoted, "s."),
                self._row_type,
            )
            + self._conflict(self.every, self._quoted)
        )

    @cached_property
    def _one_like(self) -> sql.Composed:
        """ctid of one row that equals the given one in every column."""
        parts = []
        for column, name in zip(self.plan.columns, self._quoted, strict=True):
            if column.target.type.startswith("geometry"):
                # Its operator is found by the search path, and this is the text that it prints.
                parts.append(f"{name}::text IS NOT DISTINCT FROM %s")
            elif column.target.type in _NO_EQUALITY:
                kind = "json" if column.target.type == "json" else "xml"
                parts.append(f"{name}::text IS NOT DISTINCT FROM %s::{kind}::text")
            else:
                parts.append(f"{name} IS NOT DISTINCT FROM %s")
        return sql.SQL("(SELECT ctid FROM {} WHERE {} LIMIT 1)").format(
            self._quoted_table, sql.SQL(" AND ".join(parts))
        )

    @cached_property
    def delete_like(self) -> bytes:
        """Keyless: DELETE of one row that equals the given one."""
        return _made(sql.SQL("DELETE FROM {} WHERE ctid = {}").format(self._quoted_table, self._one_like))

    @cached_property
    def update_like(self) -> bytes:
        """Keyless: UPDATE of one row that equals the old one: new values first, then the old."""
        return _made(
            sql.SQL("UPDATE {} SET {} WHERE ctid = {}").format(
                self._quoted_table,
                sql.SQL(", ".join([f"{name} = %s" for name in self._quoted])),
                self._one_like,
            )
        )


def _made(statement: sql.Composed) -> bytes:
    """The text, put together once: the driver would do it on every execution."""
    return statement.as_bytes(None)


@lru_cache(maxsize=4096)
def _identifier(name: str) -> str:
    """A quoted name; tables share many names of columns."""
    return sql.Identifier(name).as_string(None)

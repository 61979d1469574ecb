"""Loads projected rows into a store's table by COPY: the text format's encoder, and a loader that loses no row.

A block of rows goes in one COPY under a savepoint. When a value is refused, the block is halved until the row stands
alone; that row is handed to the caller as a `Refusal`, all others load. Commits nothing: rows and ledger are one
transaction of the caller. (Format: PostgreSQL manual, COPY, "Text Format".)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

import psycopg
from psycopg import sql

from model.errors import AccessDenied, ApplyError, Refused, ValueRefused
from model.rows import ABSENT, Field, Row
from stores.errors import from_postgres, translated
from stores.postgres import PostgresConnection
from sync.postgres.own_rows import own_rows
from transforms.plan import ColumnKind, TablePlan

BLOCK_BYTES: Final = 1 << 20
NULL: Final = b"\\N"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that its target table cannot hold."""

    source: Row
    """The source row, in the neutral text form."""
    error: ApplyError


@dataclass(frozen=True, slots=True)
class Block:
    """Some target rows as COPY lines, and the source rows that they came from, in step."""

    lines: list[bytes]
    sources: list[Row]

    def halves(self) -> tuple[Block, Block]:
        """The block in two."""
        middle = len(self.lines) // 2
        return (
            Block(self.lines[:middle], self.sources[:middle]),
            Block(self.lines[middle:], self.sources[middle:]),
        )


class Lines(Protocol):
    """A block of rows as lines of COPY, all or none."""

    @property
    def text(self) -> bytes | None:
        """The target lines; None when a value has no text form or a cast refused it."""

    @property
    def count(self) -> int:
        """How many rows the block has."""

    @property
    def rows(self) -> Callable[[], Iterable[Row]]:
        """Gives the source rows of the block."""


@dataclass(slots=True)
class Loaded:
    """What a load did."""

    read: int = 0
    """Source rows that were given."""
    rows: int = 0
    """Rows that are in the target table now."""
    bytes: int = 0
    filtered: int = 0
    """Rows that the plan's `where` does not take."""
    refused: int = 0


def encode(row: Row) -> bytes:
    """A target row as one line of COPY's text format, line end included."""
    if None not in row:
        line = b"\t".join(row)  # type: ignore[arg-type]
        if line.count(b"\t") == len(row) - 1 and b"\\" not in line and b"\n" not in line and b"\r" not in line:
            return line + b"\n"
    return b"\t".join([_escaped(field) for field in row]) + b"\n"


def _escaped(field: Field) -> bytes:
    if field is None:
        return NULL
    if field is ABSENT:
        raise ValueError("a copied row has no absent columns")
    assert isinstance(field, bytes)
    if b"\\" in field:
        field = field.replace(b"\\", b"\\\\")
    if b"\n" in field or b"\r" in field or b"\t" in field:
        field = field.replace(b"\n", b"\\n").replace(b"\r", b"\\r").replace(b"\t", b"\\t")
    return field


def projector(plan: TablePlan) -> Callable[[Row], Row]:
    """`plan.project`, faster for a plan that only copies columns: one tuple pick, and casts where there are any."""
    if not plan.columns or any(column.kind is not ColumnKind.COPY for column in plan.columns):
        return plan.project
    ordinals = [column.source for column in plan.columns if column.source is not None]
    casts = [(place, cast.convert) for place, column in enumerate(plan.columns) for cast in column.casts]

    def pick(row: Row) -> Row:
        return tuple([row[ordinal] for ordinal in ordinals])

    def pick_and_cast(row: Row) -> Row:
        fields = [row[ordinal] for ordinal in ordinals]
        try:
            for place, convert in casts:
                fields[place] = convert(fields[place])
        except ValueRefused:
            return plan.project(row)  # raises it again, with table and column
        return tuple(fields)

    return pick_and_cast if casts else pick


def prepare_session(connection: PostgresConnection, where: str) -> None:
    """Switch off triggers and foreign key checks for this session. Raises Refused when our role may not."""
    try:
        with translated(where):
            connection.execute("SET session_replication_role = replica")
    except AccessDenied as error:
        role = connection.info.user
        raise Refused(
            f"{where}: role {role} may not set session_replication_role",
            hint=f'As a superuser: GRANT SET ON PARAMETER session_replication_role TO "{role}"',
        ) from error


class CopyLoader:
    """Loads the rows of one plan over one connection, inside the caller's transaction."""

    def __init__(self, connection: PostgresConnection, plan: TablePlan, refuse: Callable[[Refusal], None]) -> None:
        self._connection = connection
        self._plan = plan
        self._refuse = refuse
        self._done = Loaded()
        self._project = projector(plan)
        self._where = f"store {plan.target.store}"
        self._statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
            sql.Identifier(plan.target.schema, plan.target.name),
            sql.SQL(", ").join(sql.Identifier(column.target.name) for column in plan.columns),
        )

    def load(self, rows: Iterable[Row]) -> Loaded:
        """Load source rows. Raises what is no matter of a value: lost connections, missing tables, our bugs."""
        done = self._done = Loaded()
        for block in self._blocks(rows, done):
            self._copy(block, done)
        return done

    def load_lines(self, blocks: Iterable[Lines]) -> Loaded:
        """Load blocks of lines that are made already; where a value is refused, row by row. Raises as `load` does."""
        done = self._done = Loaded()
        for block in blocks:
            if block.text is not None and self._try(block.text) is None:
                done.read += block.count
                done.rows += block.count
                done.bytes += len(block.text)
                continue
            for part in self._blocks(block.rows(), done):
                self._copy(part, done)
        return done

    def refuse(self, source: Row, error: ApplyError) -> None:
        """Hand a row to the quarantine, with the table in the error; also for rows that could not even be read."""
        error.where.setdefault("table", str(self._plan.source.id))
        self._done.refused += 1
        self._refuse(Refusal(source, error))

    def _blocks(self, rows: Iterable[Row], done: Loaded) -> Iterator[Block]:
        plan, project = self._plan, self._project
        block = Block([], [])
        size = 0
        for row in rows:
            done.read += 1
            try:
                if plan.where is not None and not plan.accepts(row):
                    done.filtered += 1
                    continue
                line = encode(project(row))
            except ValueRefused as error:
                self.refuse(row, error)
                continue
            block.lines.append(line)
            block.sources.append(row)
            size += len(line)
            if size >= BLOCK_BYTES:
                yield block
                block, size = Block([], []), 0
        if block.lines:
            yield block

    def _copy(self, block: Block, done: Loaded) -> None:
        refused = self._try(b"".join(block.lines))
        if refused is None:
            done.rows += len(block.lines)
            done.bytes += sum(map(len, block.lines))
        elif len(block.lines) == 1:
            self.refuse(block.sources[0], refused)
        else:
            for half in block.halves():
                self._copy(half, done)

    def _try(self, text: bytes) -> ValueRefused | None:
        """COPY under a savepoint; gives the error when a value is to blame."""
        try:
            with (
                self._connection.transaction(),
                self._connection.cursor() as cursor,
                cursor.copy(self._statement) as copy,
            ):
                copy.write(text)
        except psycopg.Error as error:
            ours = from_postgres(error, self._where)
            if isinstance(ours, ValueRefused):
                column = _column_of(error)
                if column:
                    ours.where.setdefault("column", column)
                return ours
            raise ours from error
        return None


def _column_of(error: psycopg.Error) -> str | None:
    """The column that COPY's context names: `COPY t, line 3, column price: "x"`."""
    context = error.diag.context or ""
    _, found, rest = context.partition(", column ")
    return rest.partition(":")[0].strip() or None if found else None


def target_is_empty(connection: PostgresConnection, plan: TablePlan) -> bool:
    """Whether the plan's target table has no row. Raises what the driver raises when there is no such table."""
    query = sql.SQL("SELECT NOT EXISTS (SELECT 1 FROM {} WHERE {} LIMIT 1)").format(
        sql.Identifier(plan.target.schema, plan.target.name), sql.SQL(own_rows(plan))
    )
    row = connection.execute(query).fetchone()
    return bool(row and row[0])


def empty_target(connection: PostgresConnection, plan: TablePlan) -> None:
    """Remove all rows of the plan from its target table, in the caller's transaction, for a copy that starts anew."""
    table = sql.Identifier(plan.target.schema, plan.target.name)
    if plan.told_by:
        connection.execute(sql.SQL("DELETE FROM {} WHERE {}").format(table, sql.SQL(own_rows(plan))))
    else:
        connection.execute(sql.SQL("TRUNCATE {}").format(table))

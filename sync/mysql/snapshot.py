"""Reads chunks of source tables, unbuffered and as raw bytes, and gives rows in the neutral text form.

The session is pinned so that no server default changes what is read. What the read contains is not decided here: the
caller has proven S (`visibility.py`) and passes how to read. Rows are parsed straight from the packets of the text
protocol (MySQL internals, "Text Resultset"): the driver's own row parser would cost more than all the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from pymysql.constants.COMMAND import COM_QUERY
from pymysql.cursors import Cursor
from pymysql.err import raise_mysql_exception

from config.settings import SourceSettings
from model.errors import Busy, ConnectionLost, ValueRefused
from model.rows import Field, Row, Undecodable
from model.tables import TableDef
from stores.control.chunks import Bound
from stores.errors import translated
from stores.mysql import MysqlConnection, ServerInfo, connect_source
from sync.mysql.chunks import ChunkKey, Span
from sync.mysql.literals import quoted_name
from sync.mysql.read_ahead import read_ahead
from sync.mysql.result_forms import result_lines
from sync.mysql.result_lines import END, ERROR, MORE, ResultLines, whole_rows
from sync.mysql.textform import FromSelect, as_is, from_select, select_expression
from sync.mysql.visibility import Reading
from transforms.plan import TablePlan

ROW_LOCK_WAIT_S: Final = 5
"""How long a locking read waits for one row before the chunk is tried again."""
READ_TIMEOUT_S: Final = 300.0
RECEIVE_BYTES: Final = 1 << 18
BLOCK_BYTES: Final = 1 << 21
"""About how many bytes of rows are handled together."""
_NULL = 0xFB
_LARGEST_PACKET = 0xFFFFFF

RawRow = list[bytes | None]


def connect_reader(
    settings: SourceSettings, info: ServerInfo, *, statement_timeout_s: float = 0
) -> MysqlConnection[Any]:
    """A connection for chunk reads: no conversion of values, session pinned. Raises Unreachable or AccessDenied.

    Statements may take `statement_timeout_s` (0: no limit; MySQL before 5.7.8 knows none).
    """
    read_timeout_s = max(READ_TIMEOUT_S, statement_timeout_s + ROW_LOCK_WAIT_S)
    connection = connect_source(settings, read_timeout_s=read_timeout_s, use_unicode=False, conv={})
    # ALLOW_INVALID_DATES: bounds like '2024-02-31' must be taken as they are. Everything else off: with
    # PAD_CHAR_TO_FULL_LENGTH or NO_BACKSLASH_ESCAPES as the server's default we would read other values.
    pins = [
        "sql_mode = 'ALLOW_INVALID_DATES'",
        "net_write_timeout = 3600",
        f"innodb_lock_wait_timeout = {ROW_LOCK_WAIT_S}",
    ]
    if info.mariadb:
        pins.append(f"max_statement_time = {statement_timeout_s:g}")
    elif info.version >= (5, 7, 8):
        pins.append(f"max_execution_time = {round(statement_timeout_s * 1000)}")
    run(connection, "SET SESSION " + ", SESSION ".join(pins))
    return connection


def run(connection: MysqlConnection[Any], statement: str) -> None:
    """A statement without a result."""
    with translated("source"), connection.cursor(Cursor) as cursor:
        cursor.execute(statement)


@dataclass(frozen=True, slots=True)
class RawBlock:
    """Some whole rows of a result, at least one, in the packets that they came in."""

    data: bytes
    count: int
    last: int
    """Offset of the last row."""

    def rows(self, start: int = 0) -> Iterator[RawRow]:
        """The rows from an offset on."""
        data, at = self.data, start
        while at < len(data):
            size = data[at] | data[at + 1] << 8 | data[at + 2] << 16
            at += 4
            if size < _LARGEST_PACKET:
                yield _fields(data, at, at + size)
                at += size
                continue
            parts = [data[at : at + size]]
            at += size
            while size == _LARGEST_PACKET:
                size = data[at] | data[at + 1] << 8 | data[at + 2] << 16
                parts.append(data[at + 4 : at + 4 + size])
                at += 4 + size
            packet = b"".join(parts)
            yield _fields(packet, 0, len(packet))


def raw_rows(connection: MysqlConnection[Any], query: str) -> Iterator[RawRow]:
    """Rows of a query as the server sends them, not buffered. Left or failed half-way, the connection is closed."""
    for block in raw_blocks(connection, query, 1):
        yield from block.rows()


def raw_blocks(
    connection: MysqlConnection[Any], query: str, block_bytes: int = BLOCK_BYTES
) -> Generator[RawBlock, None, None]:
    """Rows of a query in blocks of about so many bytes, not buffered, not parsed.

    Left or failed half-way, the connection is closed.
    """
    wire: Any = connection  # what we need of the driver has no public name
    with translated("source"):
        wire._execute_command(COM_QUERY, query)
        wire._read_query_result(unbuffered=True)
    result = wire._result
    complete = False
    try:
        yield from _blocks(wire._rfile.read1, block_bytes)
        complete = True
    finally:
        # From here on the driver must not look for packets of this result: there are none, or nobody knows where.
        result.unbuffered_active = False
        result.connection = None
        if not complete:
            wire._force_close()


def _blocks(receive: Callable[[int], bytes], block_bytes: int) -> Iterator[RawBlock]:
    rest: bytes | memoryview = b""
    wanted = 1
    pieces: list[memoryview] = []
    size = rows = last = 0
    while True:
        parts, have = [rest], len(rest)
        while have < wanted:
            with translated("source"):
                part = receive(max(RECEIVE_BYTES, wanted - have))
            if not part:
                raise ConnectionLost("connection to source was lost in the middle of a result")
            parts.append(part)
            have += len(part)
        data = b"".join(parts)
        # Cut what is there at once: behind the end of a result there is nothing that one could wait for.
        behind, last_of_piece, count, state, wanted = whole_rows(data)
        if count:
            pieces.append(memoryview(data)[:behind])
            last = size + last_of_piece
            size += behind
            rows += count
        if rows and (size >= block_bytes or state != MORE):
            yield RawBlock(b"".join(pieces), rows, last)
            pieces, size, rows = [], 0, 0
        if state == END:
            return
        if state == ERROR:
            length = int.from_bytes(data[behind : behind + 3], "little")
            with translated("source"):
                raise_mysql_exception(data[behind + 4 : behind + 4 + length])
        rest = memoryview(data)[behind:]


def _fields(data: bytes, at: int, end: int) -> RawRow:
    """Length-encoded strings between two offsets."""
    row: RawRow = []
    while at < end:
        size = data[at]
        at += 1
        if size < _NULL:
            row.append(data[at : at + size])
            at += size
            continue
        if size == _NULL:
            row.append(None)
            continue
        width = {0xFC: 2, 0xFD: 3, 0xFE: 8}[size]
        size = int.from_bytes(data[at : at + width], "little")
        at += width
        row.append(data[at : at + size])
        at += size
    return row


@dataclass(slots=True)
class Cut:
    """Where the blocks of a chunk end before its span does."""

    limit: int
    """Rows."""
    short: bool = False
    """Before that, for the next row was locked."""


@dataclass(frozen=True, slots=True)
class LineBlock:
    """A block of rows on its fast way: lines for COPY, and the same rows once more in case a value is refused."""

    text: bytes | None
    """Target lines; None when a value was refused."""
    count: int
    rows: Callable[[], Iterator[Row]]
    """The block's source rows, the slow way."""


class ChunkRows:
    """Rows of one chunk in key order. `count` and `last` (the key of the last row) hold after the iteration."""

    def __init__(
        self, blocks: Iterator[RawBlock], converts: Sequence[FromSelect], bounds: int = 0, cut: Cut | None = None
    ) -> None:
        """`bounds` says how many values of the key stand behind those of the columns; `cut` where the blocks end."""
        self._raw = blocks
        self._cut = cut
        self._width = len(converts)
        self._bounds = bounds
        self._converts = tuple((place, convert) for place, convert in enumerate(converts) if convert is not as_is)
        self._refuse: Callable[[Row, ValueRefused], None] | None = None
        self.count = 0
        self.last: Bound | None = None

    @property
    def more(self) -> bool:
        """After the iteration: whether the span may have rows behind the last one."""
        return self._cut is not None and (self._cut.short or self.count >= self._cut.limit)

    def on_refusal(self, refuse: Callable[[Row, ValueRefused], None]) -> None:
        """Who takes a row with a value that has no text form (its bytes then stand as `\\x…`); else it is raised."""
        self._refuse = refuse

    def __iter__(self) -> Iterator[Row]:
        for block in self._raw:
            self._note(block)
            yield from self._rows(block)

    def lines(self, plan: TablePlan) -> Iterator[LineBlock] | None:
        """Instead of the iteration over rows: target lines in blocks, for a plan that has them; None for others."""
        writer = result_lines(plan, self._bounds)
        return None if writer is None else self._lines(writer)

    def _lines(self, writer: ResultLines) -> Iterator[LineBlock]:
        for block in self._raw:
            self._note(block)
            try:
                text = writer.lines(block.data)
            except ValueRefused:
                text = None
            yield LineBlock(text, block.count, partial(self._rows, block))

    def _note(self, block: RawBlock) -> None:
        self.count += block.count
        if self._bounds:
            for raw in block.rows(block.last):
                self.last = _bound(raw[self._width :])

    def _rows(self, block: RawBlock) -> Iterator[Row]:
        width, converts = self._width, self._converts
        for raw in block.rows():
            fields: list[Field] = raw[:width]  # type: ignore[assignment]
            try:
                for place, convert in converts:
                    fields[place] = convert(raw[place])
            except ValueRefused as error:
                if self._refuse is None:
                    raise
                self._refuse(self._as_far_as_possible(raw), error)
                continue
            yield tuple(fields)

    def _as_far_as_possible(self, raw: RawRow) -> Row:
        fields: list[Field] = raw[: self._width]  # type: ignore[assignment]
        for place, convert in self._converts:
            value = raw[place]
            try:
                fields[place] = convert(value)
            except ValueRefused:
                fields[place] = Undecodable(b"\\x" + (value or b"").hex().encode())
        return tuple(fields)


class ChunkReader:
    """Reads one table over one connection."""

    def __init__(
        self, connection: MysqlConnection[Any], info: ServerInfo, table: TableDef, key: ChunkKey | None
    ) -> None:
        self._connection = connection
        self._table = table
        self._key = key
        self._converts = tuple(from_select(column) for column in table.columns)
        self._select = ", ".join(select_expression(column, info) for column in table.columns)
        self._from = quoted_name(table.id.schema, table.id.name)
        self._bounds = ", ".join(column.read for column in key.columns) if key else ""

    def everything(self) -> ChunkRows:
        """The whole table, in no order, as the connection's snapshot or lock has it."""
        return ChunkRows(
            _ahead(raw_blocks(self._connection, f"SELECT {self._select} FROM {self._from}")), self._converts
        )

    def chunk(self, span: Span, limit: int, reading: Reading, part: int | None = None) -> ChunkRows:
        """At most `limit` rows from the beginning of `span`.

        A locking read takes `part` rows (None: all) at once and holds their locks no longer than it takes to read them.
        """
        assert self._key is not None, "a chunk needs a key"
        cut = Cut(limit)
        if reading is Reading.PLAIN:
            blocks = raw_blocks(self._connection, self._query(span, limit))
        else:
            blocks = self._locked(span, cut, part or limit)
        return ChunkRows(_ahead(blocks), self._converts, len(self._key.columns), cut)

    def _query(self, span: Span, limit: int) -> str:
        key = self._key
        assert key is not None
        return (
            f"SELECT {self._select}, {self._bounds} FROM {self._from} FORCE INDEX ({quoted_name(key.index)}) "
            f"WHERE {key.condition(span)} ORDER BY {key.order()} LIMIT {limit}"
        )

    def _locked(self, span: Span, cut: Cut, part: int) -> Generator[RawBlock, None, None]:
        """Blocks of a chunk by locking reads of `part` rows. Ends at a locked row, unless it has none before it."""
        left = cut.limit
        while left:
            wanted = min(part, left)
            run(self._connection, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
            run(self._connection, "START TRANSACTION")
            try:
                blocks = list(raw_blocks(self._connection, self._query(span, wanted) + " LOCK IN SHARE MODE"))
            except Busy:
                if left == cut.limit:
                    raise
                if self._connection.open:
                    run(self._connection, "ROLLBACK")
                cut.short = True
                return
            run(self._connection, "COMMIT")
            yield from blocks
            count = sum(block.count for block in blocks)
            if count < wanted:
                return
            left -= count
            for raw in blocks[-1].rows(blocks[-1].last):
                span = Span(_bound(raw[len(self._converts) :]), span.high)

    def leading_range(self) -> tuple[int, int] | None:
        """Lowest and highest value of an integer key's first column; None for an empty table."""
        assert self._key is not None and self._key.integer
        read = self._key.columns[0].operand
        for low, high in list(raw_rows(self._connection, f"SELECT MIN({read}) + 0, MAX({read}) + 0 FROM {self._from}")):
            return None if low is None or high is None else (int(low), int(high))
        return None

    def key_from(self, value: int) -> Bound | None:
        """The first key whose leading integer column is at least `value`; None when there is none."""
        assert self._key is not None and self._key.integer
        query = (
            f"SELECT {self._bounds} FROM {self._from} FORCE INDEX ({quoted_name(self._key.index)}) "
            f"WHERE {self._key.columns[0].operand} >= {value} ORDER BY {self._key.order()} LIMIT 1"
        )
        found: Bound | None = None
        for row in raw_rows(self._connection, query):
            found = _bound(row)
        return found


def _ahead(blocks: Generator[RawBlock, None, None]) -> Iterator[RawBlock]:
    return read_ahead(blocks, lambda block: len(block.data))


def _bound(fields: RawRow) -> Bound:
    return tuple(None if text is None else text.decode("ascii") for text in fields)

"""Reads chunks of source tables, unbuffered and as raw bytes, and gives rows in the neutral text form.

The session is pinned so that no server default changes what is read. What the read contains is not decided here: the
caller has proven S (`visibility.py`) and passes how to read. Rows are parsed straight from the packets of the text
protocol (MySQL internals, "Text Resultset"): the driver's own row parser would cost more than all the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from pymysql.constants.COMMAND import COM_QUERY
from pymysql.cursors import Cursor
from pymysql.err import raise_mysql_exception

from config.settings import SourceSettings
from model.errors import ConnectionLost, ValueRefused
from model.rows import Field, Row
from model.tables import TableDef
from stores.control.chunks import Bound
from stores.errors import translated
from stores.mysql import MysqlConnection, ServerInfo, connect_source
from sync.mysql.chunks import ChunkKey, Span
from sync.mysql.literals import quoted_name
from sync.mysql.textform import FromSelect, as_is, from_select, select_expression
from sync.mysql.visibility import Reading

ROW_LOCK_WAIT_S: Final = 5
"""How long a locking read waits for one row before the chunk is tried again."""
READ_TIMEOUT_S: Final = 300.0
RECEIVE_BYTES: Final = 1 << 18
_ERROR, _EOF, _NULL = 0xFF, 0xFE, 0xFB
_LARGEST_PACKET = 0xFFFFFF

RawRow = list[bytes | None]


def connect_reader(settings: SourceSettings, info: ServerInfo) -> MysqlConnection[Any]:
    """A connection for chunk reads: no conversion of values, session pinned. Raises Unreachable or AccessDenied."""
    connection = connect_source(settings, read_timeout_s=READ_TIMEOUT_S, use_unicode=False, conv={})
    # ALLOW_INVALID_DATES: bounds like '2024-02-31' must be taken as they are. Everything else off: with
    # PAD_CHAR_TO_FULL_LENGTH or NO_BACKSLASH_ESCAPES as the server's default we would read other values.
    pins = [
        "sql_mode = 'ALLOW_INVALID_DATES'",
        "net_write_timeout = 3600",
        f"innodb_lock_wait_timeout = {ROW_LOCK_WAIT_S}",
    ]
    if info.mariadb:
        pins.append("max_statement_time = 0")
    elif info.version >= (5, 7, 8):
        pins.append("max_execution_time = 0")
    run(connection, "SET SESSION " + ", SESSION ".join(pins))
    return connection


def run(connection: MysqlConnection[Any], statement: str) -> None:
    """A statement without a result."""
    with translated("source"), connection.cursor(Cursor) as cursor:
        cursor.execute(statement)


def raw_rows(connection: MysqlConnection[Any], query: str) -> Iterator[RawRow]:
    """Rows of a query as the server sends them, not buffered. Left or failed half-way, the connection is closed."""
    wire: Any = connection  # what we need of the driver has no public name
    with translated("source"):
        wire._execute_command(COM_QUERY, query)
        wire._read_query_result(unbuffered=True)
    result = wire._result
    complete = False
    try:
        yield from _parsed(wire._rfile.read1)
        complete = True
    finally:
        # From here on the driver must not look for packets of this result: there are none, or nobody knows where.
        result.unbuffered_active = False
        result.connection = None
        if not complete:
            wire._force_close()


def _parsed(receive: Callable[[int], bytes]) -> Iterator[RawRow]:
    data, at = b"", 0

    def need(count: int) -> None:
        nonlocal data, at
        parts = [data[at:]]
        have = len(parts[0])
        while have < count:
            with translated("source"):
                part = receive(max(RECEIVE_BYTES, count - have))
            if not part:
                raise ConnectionLost("connection to source was lost in the middle of a result")
            parts.append(part)
            have += len(part)
        data, at = b"".join(parts), 0

    while True:
        if len(data) - at < 4:
            need(4)
        size = data[at] | data[at + 1] << 8 | data[at + 2] << 16
        if len(data) - at < 4 + size:
            need(4 + size)
        at += 4
        end = at + size
        if size == _LARGEST_PACKET:
            whole = [data[at:end]]
            at = end
            while size == _LARGEST_PACKET:
                need(4)
                size = data[at] | data[at + 1] << 8 | data[at + 2] << 16
                need(4 + size)
                whole.append(data[at + 4 : at + 4 + size])
                at += 4 + size
            packet = b"".join(whole)
            yield _fields(packet, 0, len(packet))
            continue
        first = data[at] if size else 0
        if first == _ERROR:
            with translated("source"):
                raise_mysql_exception(data[at:end])
        if first == _EOF and size < 9:
            return
        yield _fields(data, at, end)
        at = end


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


class ChunkRows:
    """Rows of one chunk in key order. `count` and `last` (the key of the last row) hold after the iteration."""

    def __init__(self, raw: Iterator[RawRow], converts: Sequence[FromSelect]) -> None:
        self._raw = raw
        self._width = len(converts)
        self._converts = tuple((place, convert) for place, convert in enumerate(converts) if convert is not as_is)
        self._refuse: Callable[[Row, ValueRefused], None] | None = None
        self.count = 0
        self.last: Bound | None = None

    def on_refusal(self, refuse: Callable[[Row, ValueRefused], None]) -> None:
        """Who takes a row with a value that has no text form (its bytes then stand as `\\x…`); else it is raised."""
        self._refuse = refuse

    def __iter__(self) -> Iterator[Row]:
        width, converts = self._width, self._converts
        raw: RawRow = []
        for raw in self._raw:
            self.count += 1
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
        if self.count and len(raw) > width:
            self.last = _bound(raw[width:])

    def _as_far_as_possible(self, raw: RawRow) -> Row:
        fields: list[Field] = raw[: self._width]  # type: ignore[assignment]
        for place, convert in self._converts:
            value = raw[place]
            try:
                fields[place] = convert(value)
            except ValueRefused:
                fields[place] = b"\\x" + (value or b"").hex().encode()
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
        return ChunkRows(raw_rows(self._connection, f"SELECT {self._select} FROM {self._from}"), self._converts)

    def chunk(self, span: Span, limit: int, reading: Reading) -> ChunkRows:
        """At most `limit` rows from the beginning of `span`. A locking read is over, locks released, on return."""
        key = self._key
        assert key is not None, "a chunk needs a key"
        query = (
            f"SELECT {self._select}, {self._bounds} FROM {self._from} FORCE INDEX ({quoted_name(key.index)}) "
            f"WHERE {key.condition(span)} ORDER BY {key.order()} LIMIT {limit}"
        )
        if reading is Reading.PLAIN:
            return ChunkRows(raw_rows(self._connection, query), self._converts)
        run(self._connection, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        run(self._connection, "START TRANSACTION")
        rows = list(raw_rows(self._connection, query + " LOCK IN SHARE MODE"))
        run(self._connection, "COMMIT")
        return ChunkRows(iter(rows), self._converts)

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


def _bound(fields: RawRow) -> Bound:
    return tuple(None if text is None else text.decode("ascii") for text in fields)

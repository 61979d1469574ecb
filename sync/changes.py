"""From a relay transaction to row changes of the tables we care about: table maps, decoders, statements, XA, rollbacks.

Everything that could be a change and is not understood stops the stream by name. Does not route and does not write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Protocol, TypeAlias

from model.errors import CrossfadeError, UndecodableRow, UnknownEvent, UnsupportedChange, ValueRefused
from model.position import BinlogCoordinate, Position
from model.rows import Field, Op, Row, RowChange, Undecodable
from model.tables import TableDef, TableId
from stores.control.schema_history import SchemaHistory
from sync.ddl_policy import Meaning, judge
from sync.mysql.event_run import Part, Run, row_events
from sync.mysql.event_types import DELETE_ROWS, IGNORABLE, ROWS, WRITE_ROWS, EventType, event_name
from sync.mysql.events import EventHeader, TableMap, parse_query, parse_table_map, parse_xa_prepare
from sync.mysql.lines import LineDecoder, RowLines, line_decoder
from sync.mysql.reverse_tables import mark_table
from sync.mysql.transactions import GTID_EVENTS, xa_verdict
from transforms.plan import TablePlan

NO_FOREIGN_KEY_CHECKS: Final = 2
"""Flag of a row event: the session ran with foreign_key_checks=0, so nothing cascaded."""
_FLAGS_AT: Final = 6
"""Where the flags stand in the body, after the number of the table."""

_TRANSACTIONAL_ENGINES: Final = frozenset({"innodb", "rocksdb", "tokudb", "ndbcluster", "xtradb"})
_PASSED_OVER: Final = (
    IGNORABLE
    | GTID_EVENTS
    | ROWS
    | {EventType.TABLE_MAP, EventType.XID, EventType.INTVAR, EventType.RAND, EventType.USER_VAR}
)
_LOADS: Final = frozenset({EventType.BEGIN_LOAD_QUERY, EventType.APPEND_BLOCK, EventType.DELETE_FILE})
_OPS: Final[dict[int, Op]] = {
    kind: Op.INSERT if kind in WRITE_ROWS else Op.DELETE if kind in DELETE_ROWS else Op.UPDATE for kind in ROWS
}
_NOTHING: Final[Mapping[int, ValueRefused]] = {}
_CACHED: Final = 10_000
_XA_LONGEST: Final = 400
"""Bytes of the longest XA COMMIT: a name of 128 bytes in hexadecimal digits, and its number."""
SHOWN: Final = 300
"""Characters of a statement that an error shows."""

Body: TypeAlias = bytes


class Transaction(Protocol):
    """What is needed of a `RelayTransaction`."""

    @property
    def seq(self) -> int:
        """Its number."""

    @property
    def commit_time(self) -> float:
        """Epoch seconds."""

    @property
    def bytes(self) -> int:
        """Size of its raw events."""

    @property
    def rolled_back(self) -> bool:
        """Whether it ended in ROLLBACK."""

    @property
    def coordinate(self) -> BinlogCoordinate:
        """The end of the transaction in the binlog."""

    @property
    def position(self) -> Position:
        """The same with GTIDs."""

    def events(self) -> Iterator[tuple[EventHeader, Body]]:
        """Header and body of each event."""

    def parts(self) -> Iterator[Part]:
        """The same with row events and their table maps together."""


class RowDecoder(Protocol):
    """Decodes row events of one table map."""

    def decode(
        self, event_type: int, body: bytes, refused: Callable[[ValueRefused], Field] | None = None
    ) -> list[tuple[Row | None, Row | None]]:
        """(before, after) of each row of an event; `refused` gives what to put for a value without text form."""


MakeDecoder = Callable[[TableDef, TableMap], RowDecoder]


MakeLines = Callable[[TablePlan, TableMap], LineDecoder | None]
"""The decoder of a plan's lines; None for a plan that has to see every value."""


class RowsBatch:
    """The rows of one event.

    `cascades`: whether foreign keys acted in the session. `passed`: instead of rows, a statement about the table that
    does it no harm, for the record. `encoded`: the rows for those who need no values; others decode them by asking for
    `changes`, once.
    """

    __slots__ = ("_changes", "_refused", "bytes", "cascades", "encoded", "passed", "table")

    def __init__(
        self,
        table: TableId,
        changes: list[RowChange] | EncodedRows,
        cascades: bool,
        bytes: int,
        refused: Mapping[int, ValueRefused] | None = None,
        passed: str = "",
    ) -> None:
        self.table = table
        self.cascades = cascades
        self.bytes = bytes
        self.passed = passed
        self.encoded: EncodedRows | None = None
        self._changes: list[RowChange] | None = None
        if isinstance(changes, EncodedRows):
            self.encoded = changes
        else:
            self._changes = changes
        self._refused: Mapping[int, ValueRefused] = refused or _NOTHING

    @property
    def changes(self) -> list[RowChange]:
        """The changes in order. Raises what decoding raises."""
        if self._changes is None:
            assert self.encoded is not None
            self._changes, self._refused = self.encoded.decode()
        return self._changes

    @property
    def refused(self) -> Mapping[int, ValueRefused]:
        """By place in `changes`, which is asked for before: a field of it is no text (`Undecodable` stands there)."""
        return self._refused


class EncodedRows:
    """The rows of one event as they came; gives them as values or as lines of COPY, as often as asked."""

    __slots__ = ("_body", "_kind", "_mapped", "_ready", "op")

    def __init__(self, mapped: _Mapped, kind: int, body: bytes) -> None:
        self.op = _OPS[kind]
        self._mapped = mapped
        self._kind = kind
        self._body = body
        self._ready: dict[int, RowLines | None] | None = None

    def decode(self) -> tuple[list[RowChange], dict[int, ValueRefused]]:
        """The changes, and by place in them those with a field that is no text. Raises UndecodableRow and others."""
        op, table = self.op, self._mapped.table
        refused: dict[int, ValueRefused] = {}

        def note(error: ValueRefused) -> Field:
            if not error.raw:
                raise error  # the definition does not fit the event
            row = error.where["row"]
            assert isinstance(row, int)
            refused.setdefault(row, error)
            return Undecodable(b"\\x" + error.raw.hex().encode())

        rows = self._mapped.decoder.decode(self._kind, self._body, note)
        return [RowChange(op, table, before, after) for before, after in rows], refused

    def prepare(self, plans: Iterable[TablePlan]) -> None:
        """Make the lines of these plans now; `lines` then gives each once, and None for other plans.

        So another thread may decode the events to come meanwhile: a decoder is used by one thread at a time.
        """
        ready: dict[int, RowLines | None] = {}
        for plan in plans:
            ready[id(plan)] = self._lines(plan)
        self._ready = ready

    def lines(self, plan: TablePlan) -> RowLines | None:
        """The rows as a plan's lines; None when it, or a row image, or a value, needs the slow way."""
        return self._lines(plan) if self._ready is None else self._ready.pop(id(plan), None)

    def _lines(self, plan: TablePlan) -> RowLines | None:
        decoder = self._mapped.lines(plan)
        if decoder is None:
            return None
        try:
            return decoder.decode(self._kind, self._body)
        except ValueRefused:
            return None  # which rows, and why, is found on the slow way


class ChangeSource(Protocol):
    """What reads the changes of transactions: `ChangeReader`."""

    def batches(self, transaction: Transaction, wanted: frozenset[TableId]) -> Iterator[RowsBatch]:
        """Row changes of the wanted tables in order."""


class SchemaChange(UnsupportedChange):
    """The source changed migrated tables by a statement, which is all that its transaction does to them."""

    def __init__(
        self,
        statement: str,
        tables: tuple[TableId, ...],
        concerns: str,
        *,
        schema: str = "",
        sql_mode: int | None = 0,
        moment: int | None = None,
        harmless: bool = False,
    ) -> None:
        """`schema` and `sql_mode`: of the session that ran it. `moment`: when, in seconds since the epoch.
        `harmless`: rows, columns, keys and cascades stay as they are.
        """
        super().__init__(
            f"the source changed a migrated table by a statement: {statement[:SHOWN]}",
            hint="Make the same change in the store and copy the table anew.",
            table=concerns,
        )
        self.statement = statement
        self.tables = tables
        self.schema = schema
        self.sql_mode = sql_mode
        self.moment = moment
        self.harmless = harmless


class _Mapped:
    """A table map with the definition that holds for it, and its decoders."""

    __slots__ = ("_lines", "_make_lines", "_table_map", "decoder", "definition", "table")

    def __init__(
        self, table: TableId, definition: TableDef, table_map: TableMap, decoder: RowDecoder, make_lines: MakeLines
    ) -> None:
        self.table = table
        self.definition = definition
        self.decoder = decoder
        self._table_map = table_map
        self._make_lines = make_lines
        self._lines: dict[int, tuple[TablePlan, LineDecoder | None]] = {}

    def lines(self, plan: TablePlan) -> LineDecoder | None:
        """The decoder of a plan's lines, made once."""
        found = self._lines.get(id(plan))
        if found is None:
            fits = plan.source is self.definition or plan.source.fingerprint() == self.definition.fingerprint()
            found = self._lines[id(plan)] = (plan, self._make_lines(plan, self._table_map) if fits else None)
        return found[1]


class _Known:
    """A table map, what it means to us, and what decodes the row events that follow it."""

    __slots__ = ("_asked", "_wanted", "first", "mapped", "mark", "ours", "table", "table_map", "transactional", "until")

    def __init__(self, table: TableId, table_map: TableMap, *, ours: bool, mark: bool, transactional: bool) -> None:
        self.table = table
        self.table_map = table_map
        self.ours = ours
        self.mark = mark
        self.transactional = transactional
        """What a rolled back transaction did to it did not happen."""
        self.mapped: _Mapped | None = None
        self.first: float = 0
        self.until: float = 0
        """`mapped` holds for transactions from the first number up to the second."""
        self._asked: frozenset[TableId] = frozenset()
        self._wanted = False

    def is_in(self, tables: frozenset[TableId]) -> bool:
        """Whether the table is one of these; quick for the same set as before."""
        if tables is not self._asked:
            self._asked, self._wanted = tables, self.table in tables
        return self._wanted


class ChangeReader:
    """Reads the changes of `tables` (source table → the definition that the plans were compiled for)."""

    def __init__(
        self,
        tables: Mapping[TableId, TableDef],
        history: SchemaHistory,
        make_decoder: MakeDecoder,
        *,
        mariadb: bool,
        mark: TableId | None = mark_table(),  # noqa: B008 (a constant)
        follow: bool = False,
        make_lines: MakeLines = line_decoder,
    ) -> None:
        """`follow`: raise SchemaChange for harmless changes of our tables too.

        `mark`: the table that every transaction of a reverse stream writes to first; such transactions are empty
        for us, or what a store sent back would return to it. None: they are read like any other.
        """
        self._mark = mark
        self._follow = follow
        self._tables = dict(tables)
        self._history = history
        self._make = make_decoder
        self._make_lines = make_lines
        self._mariadb = mariadb
        self._maps: dict[bytes, _Known] = {}
        """By the body of their event: a table that did not change has the same one every time."""

    def batches(self, transaction: Transaction, wanted: frozenset[TableId]) -> Iterator[RowsBatch]:
        """Row changes of the wanted tables in order.

        Raises SchemaChange for DDL, UnsupportedChange for other statements and for XA that concern our tables
        (also those not wanted now), UndecodableRow when a table is not as the history says, UnknownEvent.
        """
        if len(self._maps) >= _CACHED:
            self._maps.clear()
        maps: dict[int, bytes] = {}
        touched = rows = prepared = undecided = False
        for part in transaction.parts():
            for raw, kind, body in row_events(part, maps):
                rows = True
                known = self._maps.get(raw) or self._known(raw)
                if known.mark:
                    if touched:
                        raise UnsupportedChange(
                            "a transaction of the reverse stream does not begin with its mark",
                            hint="The source writes tables of other engines apart; take them out of the domain.",
                        )
                    return
                if not known.ours:
                    continue
                touched = True
                if known.is_in(wanted) and not (transaction.rolled_back and known.transactional):
                    yield RowsBatch(
                        known.table,
                        EncodedRows(self._mapped(known, transaction.seq), kind, body),
                        not body[_FLAGS_AT] & NO_FOREIGN_KEY_CHECKS,
                        len(body),
                    )
            if isinstance(part, Run):
                continue
            header, body = part
            kind = header.type
            if kind == EventType.QUERY:
                if b"XA " in body[-_XA_LONGEST:] and (verdict := xa_verdict(parse_query(body).text)) is not None:
                    undecided = False
                    if verdict.committed and wanted and not (prepared or rows):
                        raise _unknown_rows(verdict.xid)
                yield from self._statement(body, touched, header.timestamp)
            elif kind == EventType.XA_PREPARE:
                if touched and not parse_xa_prepare(body).one_phase:
                    undecided = True
                prepared = True
            elif kind in _LOADS or kind == EventType.EXECUTE_LOAD_QUERY:
                self._load(kind, body)
            elif kind not in _PASSED_OVER:
                raise UnknownEvent(f"a transaction holds an event that crossfade cannot apply: {event_name(kind)}")
        if undecided:
            raise UnsupportedChange(
                "a prepared XA transaction changes migrated tables, and its verdict stands apart from it in the relay",
                hint="An older version wrote the relay. Copy anew: crossfade start --fresh --confirm NAME",
            )

    def _known(self, raw: bytes) -> _Known:
        table_map = parse_table_map(raw, mariadb=self._mariadb)
        table = TableId(table_map.schema, table_map.table)
        definition = self._tables.get(table)
        found = self._maps[raw] = _Known(
            table,
            table_map,
            ours=definition is not None,
            mark=table == self._mark,
            transactional=definition is not None and definition.engine.lower() in _TRANSACTIONAL_ENGINES,
        )
        return found

    def _mapped(self, known: _Known, seq: int) -> _Mapped:
        """What decodes the row events of a table map at one transaction."""
        found = known.mapped
        if found is not None and known.first <= seq < known.until:
            return found
        table = known.table
        definition = self._history.at(table, seq)
        if definition is None:
            raise UndecodableRow(
                "the schema history does not know this table",
                hint="Copy anew: crossfade start --fresh --confirm NAME",
                table=table,
            )
        if found is None or found.definition is not definition:
            ours = self._tables[table]
            if definition is not ours and definition.fingerprint() != ours.fingerprint():
                raise UnsupportedChange(
                    "the table's definition is not the one that its plan was made for",
                    hint="See the difference with: crossfade schema plan",
                    table=table,
                )
            decoder = self._make(definition, known.table_map)
            found = known.mapped = _Mapped(table, definition, known.table_map, decoder, self._make_lines)
        known.first, known.until = seq, self._history.until(table, seq)
        return found

    def _statement(self, body: bytes, touched: bool, moment: int) -> Iterator[RowsBatch]:
        query = parse_query(body)
        judgement = judge(query.text, query.schema, self._tables, self._tables, query.sql_mode)
        shown = query.text.strip()[:SHOWN]
        if judgement.meaning is Meaning.DDL or (self._follow and judgement.alters):
            raise SchemaChange(
                query.text.strip(),
                judgement.tables,
                judgement.concerns,
                schema=query.schema,
                sql_mode=query.sql_mode,
                moment=moment,
                harmless=judgement.alters,
            )
        if judgement.meaning is Meaning.DATA:
            raise UnsupportedChange(
                f"the source changed rows by a statement, not by row events: {shown}",
                hint="Set binlog_format=ROW on the source and in every session, then copy the table anew.",
                table=judgement.concerns,
            )
        if judgement.meaning is Meaning.HARMLESS and judgement.tables:
            yield RowsBatch(judgement.tables[0], [], False, 0, passed=query.text)
        whole = query.text.strip().rstrip(";").upper() in ("ROLLBACK", "ROLLBACK WORK")
        if judgement.meaning is Meaning.ROLLBACK and touched and not whole:
            raise UnsupportedChange(
                f"the source took back a part of a transaction that is already in the binlog: {shown}",
                hint="It mixes transactional and other engines; copy the table anew.",
            )

    def _load(self, kind: int, body: bytes) -> None:
        raise UnsupportedChange(
            f"the source loads a file by a statement, not by row events: {event_name(kind)}, {len(body)} bytes",
            hint="Set binlog_format=ROW on the source and in every session, then copy the table anew.",
        )


def _unknown_rows(xid: str) -> UnsupportedChange:
    return UnsupportedChange(
        "the source committed an XA transaction that it had prepared before the stream or the relay began; nobody can"
        " tell which rows it changed",
        hint="Let XA RECOVER on the source show no transaction, then copy anew: crossfade start --fresh --confirm NAME",
        xid=xid,
    )


def table_in(tables: Iterable[TableId], wanted: frozenset[TableId]) -> bool:
    """Whether changes of any of the tables are read."""
    return not wanted.isdisjoint(tables)


def located(error: CrossfadeError, transaction: Transaction) -> None:
    """Add where in the stream it happened to an error of our tree."""
    error.where.setdefault("seq", transaction.seq)
    error.where.setdefault("position", transaction.coordinate)

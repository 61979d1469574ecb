"""From events to changes: table maps, statements, rollbacks, XA, loads, and tables that are not as the history says."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest

from model.errors import UndecodableRow, UnknownEvent, UnsupportedChange
from model.position import BinlogCoordinate, Flavour, Position
from model.rows import Op, Row, RowChange
from model.tables import TableDef, TableId
from stores.control.schema_history import SchemaHistory, SchemaVersion
from sync.changes import NO_FOREIGN_KEY_CHECKS, ChangeReader, RowsBatch
from sync.mysql.event_run import Part
from sync.mysql.event_types import EventType
from sync.mysql.events import EventHeader, TableMap
from tests.support.changes import make_table

TABLE = make_table("t", "id int")
OTHER = make_table("other", "id int")
ISAM = TableDef(TableId("shop", "isam"), TABLE.columns, ("id",), engine="MyISAM")
Event = tuple[int, bytes]


@dataclass
class Transaction:
    events_: Sequence[Event]
    rolled_back: bool = False
    seq: int = 5
    commit_time: float = 0.0

    @property
    def coordinate(self) -> BinlogCoordinate:
        return BinlogCoordinate("b.000001", 500)

    @property
    def position(self) -> Position:
        return Position(Flavour.MYSQL, self.coordinate)

    def events(self) -> Iterator[tuple[EventHeader, bytes]]:
        for kind, body in self.events_:
            yield EventHeader(0, kind, 1, len(body) + 19, 0, 0), body

    def parts(self) -> Iterator[Part]:
        return self.events()


class Decoder:
    """Gives one row whose only field is the last byte of the event."""

    def __init__(self, table: TableDef, table_map: TableMap) -> None:
        assert table.id == TableId(table_map.schema, table_map.table)

    def decode(self, event_type: int, body: bytes, refused: object = None) -> list[tuple[Row | None, Row | None]]:
        row = (str(body[-1]).encode(),)
        if event_type == EventType.WRITE_ROWS_V2:
            return [(None, row)]
        return [(row, None)] if event_type == EventType.DELETE_ROWS_V2 else [(row, row)]


def table_map(name: str, number: int = 7) -> Event:
    schema, table = b"shop", name.encode()
    body = struct.pack("<IHH", number, 0, 1) + bytes([len(schema)]) + schema + b"\0" + bytes([len(table)]) + table
    return EventType.TABLE_MAP, body + b"\0" + b"\x01\x03\x00\x00"


def rows(kind: int, value: int, number: int = 7, flags: int = 1) -> Event:
    bitmaps = b"\xff\xff" if kind == EventType.UPDATE_ROWS_V2 else b"\xff"
    return kind, struct.pack("<IHHH", number, 0, flags, 2) + b"\x01" + bitmaps + bytes([0, value])


def query(text: str, schema: str = "shop") -> Event:
    name = schema.encode()
    return EventType.QUERY, struct.pack("<IIBHH", 1, 0, len(name), 0, 0) + name + b"\0" + text.encode()


INSERT = rows(EventType.WRITE_ROWS_V2, 1)
XID = (EventType.XID, bytes(8))
BEGIN = query("BEGIN")


def reader(*tables: TableDef, history: Sequence[TableDef] | None = None) -> ChangeReader:
    known = history if history is not None else tables
    versions = SchemaHistory(SchemaVersion(table.id, 1, table) for table in known)
    return ChangeReader({table.id: table for table in tables}, versions, Decoder, mariadb=False)


def read(found: ChangeReader, *events: Event, rolled_back: bool = False) -> list[RowsBatch]:
    wanted = frozenset({TABLE.id, OTHER.id, ISAM.id})
    return list(found.batches(Transaction(events, rolled_back), wanted))


def test_changes_come_in_order_with_their_operation() -> None:
    batches = read(
        reader(TABLE),
        BEGIN,
        table_map("t"),
        INSERT,
        rows(EventType.UPDATE_ROWS_V2, 2),
        table_map("unknown", 9),
        rows(EventType.WRITE_ROWS_V2, 3, number=9),
        rows(EventType.DELETE_ROWS_V2, 4, flags=1 | NO_FOREIGN_KEY_CHECKS),
        XID,
    )
    assert [(first(batch).op, batch.cascades) for batch in batches] == [
        (Op.INSERT, True),
        (Op.UPDATE, True),
        (Op.DELETE, False),
    ]
    assert first(batches[0]).after == (b"1",)


def first(batch: RowsBatch) -> RowChange:
    return batch.changes[0]


def test_a_table_number_that_is_used_again_means_the_last_map() -> None:
    batches = read(reader(TABLE, OTHER), table_map("t"), INSERT, table_map("other"), INSERT)
    assert [batch.table.name for batch in batches] == ["t", "other"]


def test_rows_without_a_map_are_refused() -> None:
    with pytest.raises(UndecodableRow, match="no table map"):
        read(reader(TABLE), INSERT)


def test_a_table_that_the_history_does_not_know_or_knows_otherwise_is_refused() -> None:
    with pytest.raises(UndecodableRow, match="does not know") as unknown:
        read(reader(TABLE, history=[]), table_map("t"), INSERT)
    assert "crossfade start --fresh --confirm" in unknown.value.hint
    changed = make_table("t", "id int,more int")
    with pytest.raises(UnsupportedChange, match="definition"):
        read(reader(TABLE, history=[changed]), table_map("t"), INSERT)


def test_a_rolled_back_transaction_keeps_only_what_could_not_be_taken_back() -> None:
    events = [BEGIN, table_map("t"), INSERT, table_map("isam", 8), rows(EventType.WRITE_ROWS_V2, 2, number=8)]
    batches = read(reader(TABLE, ISAM), *events, query("ROLLBACK"), rolled_back=True)
    assert [batch.table.name for batch in batches] == ["isam"]


def test_taking_back_a_part_stops_only_after_changes_of_ours() -> None:
    assert read(reader(TABLE), BEGIN, query("SAVEPOINT s"), query("ROLLBACK TO s"), XID) == []
    with pytest.raises(UnsupportedChange, match="took back"):
        read(reader(TABLE), BEGIN, table_map("t"), INSERT, query("ROLLBACK TO `s`"))


def test_xa_is_applied_only_when_it_commits_at_once() -> None:
    prepare = struct.pack("<BIII", 0, 1, 1, 0) + b"x"
    one_phase = b"\x01" + prepare[1:]
    start = query("XA START X'78',X'',1")
    assert len(read(reader(TABLE), start, table_map("t"), INSERT, (EventType.XA_PREPARE, one_phase))) == 1
    with pytest.raises(UnsupportedChange, match="XA"):
        read(reader(TABLE), start, table_map("t"), INSERT, (EventType.XA_PREPARE, prepare))
    assert read(reader(TABLE), start, (EventType.XA_PREPARE, prepare)) == []


def test_a_verdict_of_xa_comes_with_its_rows_or_stops() -> None:
    prepare = (EventType.XA_PREPARE, struct.pack("<BIII", 0, 1, 1, 0) + b"x")
    start, commit = query("XA START X'78',X'',1"), query("XA COMMIT X'78',X'',1")
    assert len(read(reader(TABLE), start, table_map("t"), INSERT, prepare, commit)) == 1
    assert read(reader(TABLE), start, prepare, commit) == []
    assert read(reader(TABLE), query("XA ROLLBACK X'78',X'',1")) == []
    with pytest.raises(UnsupportedChange, match="prepared before the stream"):
        read(reader(TABLE), commit)


@pytest.mark.parametrize("text", ["ALTER TABLE t ADD x int", "INSERT INTO t VALUES (1)"])
def test_statements_about_our_tables_stop(text: str) -> None:
    with pytest.raises(UnsupportedChange, match="by a statement"):
        read(reader(TABLE), query(text))
    assert read(reader(TABLE), query(text, "elsewhere")) == []


def test_loads_and_unknown_events_stop() -> None:
    with pytest.raises(UnsupportedChange, match="loads a file"):
        read(reader(TABLE), (EventType.BEGIN_LOAD_QUERY, b"1234data"))
    with pytest.raises(UnknownEvent, match="INCIDENT"):
        read(reader(TABLE), (EventType.INCIDENT, bytes(4)))


def test_tables_that_are_not_wanted_now_are_not_decoded_but_still_judged() -> None:
    found = reader(TABLE, history=[])
    transaction = Transaction([table_map("t"), INSERT])
    assert list(found.batches(transaction, frozenset())) == []
    with pytest.raises(UnsupportedChange):
        list(found.batches(Transaction([query("TRUNCATE t")]), frozenset()))

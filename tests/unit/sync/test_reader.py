"""The reader fed with hand-made events: what it keeps, what it drops, what it stops at."""

from __future__ import annotations

import errno
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import SecretStr

import sync.mysql.reader as reader_module
from config.settings import RetrySettings, SourceSettings
from model.errors import CrossfadeError, SourceError, UnknownEvent
from model.position import BinlogCoordinate, Flavour, Position
from sync.mysql.dump import DumpMode, DumpStart, ServerIdClash, refusal
from sync.mysql.event_types import EventType
from sync.mysql.reader import BinlogReader
from sync.relay.reader import RelayReader
from sync.relay.records import RelayUnwritable
from sync.relay.values import RelayTail, TransactionEnd
from sync.relay.writer import RelayWriter
from tests.unit.sync.binlog_bytes import event, format_description, gtid, packets, query, rotate, xid
from tests.unit.sync.test_reader_stream import Wire

SOURCE = SourceSettings(engine=Flavour.MYSQL, user="u", password=SecretStr("p"), databases=("shop",), heartbeat_s=0.1)
RETRY = RetrySettings(attempts=2, first_wait_s=0.01, max_wait_s=0.01)
FILE = "bin.000001"
ROWS = event(EventType.WRITE_ROWS_V2, b"rows")


class Fed:
    """A reader whose dumps are scripts of bytes, one per connection; after the last it stops."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch, *scripts: bytes, start: int = 4) -> None:
        self.stop = threading.Event()
        self.relay = RelayWriter(directory, 1 << 16, 1 << 30)
        position = Position(Flavour.MYSQL, BinlogCoordinate(FILE, start))
        self.relay.begin(RelayTail(0, position), "uuid", gtids_known=False)
        self.reader = BinlogReader(SOURCE, RETRY, self.relay, position, server_id=1)
        self.wires: list[Wire] = []
        self.scripts = list(scripts)
        monkeypatch.setattr(self.reader, "_prepare", self.prepare)
        monkeypatch.setattr(reader_module, "open_dump", self.open)
        self.directory = directory
        self.reader._info = None  # type: ignore[assignment]
        self.skip_until = 0

    def prepare(self) -> DumpStart:
        tail = self.relay.tail
        assert tail is not None
        self.reader._skip_until = self.skip_until
        return DumpStart(DumpMode.FILE, tail.position.coordinate)

    def open(self, *_: object) -> object:
        wire = Wire()
        self.wires.append(wire)
        script = self.scripts.pop(0)
        wire.send(script)
        if not self.scripts:
            threading.Timer(0.4, self.stop.set).start()
        return SimpleNamespace(packets=wire.packets, close=wire.end)

    def run(self) -> CrossfadeError | None:
        try:
            self.reader.run(self.stop)
        except CrossfadeError as error:
            return error
        finally:
            self.stop.set()
        return None

    def kept(self) -> list[tuple[int, int, bool]]:
        """(seq, end offset, rolled back) of what the relay holds."""
        found = RelayReader(self.directory).transactions(0)
        return [(t.seq, t.coordinate.offset, t.rolled_back) for t in found]


HEAD = packets(rotate(FILE), format_description())


def group(number: int, end: int, *, last: bytes | None = None) -> bytes:
    """A transaction that ends at offset `end`."""
    return packets(gtid(number), query("BEGIN"), ROWS, last or xid(log_pos=end))


def test_rolled_back_groups_are_kept_and_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = HEAD + group(1, 1000) + group(2, 0, last=query("ROLLBACK", log_pos=2000)) + group(3, 3000)
    fed = Fed(tmp_path, monkeypatch, script)
    assert fed.run() is None
    assert fed.kept() == [(1, 1000, False), (2, 2000, True), (3, 3000, False)]
    assert fed.reader.state.transactions == 3


def test_unfinished_transaction_is_read_anew_after_a_reconnect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    half = packets(gtid(2), query("BEGIN"), ROWS)
    fed = Fed(tmp_path, monkeypatch, HEAD + group(1, 1000) + half, HEAD + group(2, 2000))
    assert fed.run() is None
    assert fed.kept() == [(1, 1000, False), (2, 2000, False)]
    assert fed.reader.state.reconnects == 1


def test_unfinished_transaction_before_a_new_file_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    half = packets(gtid(2), query("BEGIN"), ROWS)
    restarted = packets(rotate("bin.000002"), format_description())
    fed = Fed(tmp_path, monkeypatch, HEAD + group(1, 1000) + half + restarted + group(3, 700))
    assert fed.run() is None
    assert fed.kept() == [(1, 1000, False), (2, 700, False)]
    tail = fed.relay.tail
    assert tail is not None and tail.position.coordinate == BinlogCoordinate("bin.000002", 700)


def test_beyond_four_gigabytes_what_we_have_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is read from its start; transactions up to our 64-bit offset are not taken again."""
    gib = 1 << 30
    script = HEAD + b"".join(group(n, n * gib) for n in range(1, 8))
    fed = Fed(tmp_path, monkeypatch, script, start=5 * gib)
    fed.skip_until = 5 * gib
    assert fed.run() is None
    assert fed.kept() == [(1, 6 * gib, False), (2, 7 * gib, False)]


@pytest.mark.parametrize(
    ("raw", "kind", "words"),
    [
        (event(EventType.INCIDENT, b"\x01\0\x05wept!"), SourceError, "wept!"),
        (event(200, b"?"), UnknownEvent, "type 200"),
        (event(EventType.WRITE_ROWS_V0, b"?"), UnknownEvent, "WRITE_ROWS_V0 (20)"),
    ],
)
def test_what_stops_the_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raw: bytes, kind: type[SourceError], words: str
) -> None:
    fed = Fed(tmp_path, monkeypatch, HEAD + group(1, 1000) + packets(raw) + group(2, 2000))
    error = fed.run()
    assert type(error) is kind and words in str(error) and FILE in str(error)
    assert fed.kept() == [(1, 1000, False)]


def test_idle_heartbeat_moves_the_coordinate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heartbeat = event(EventType.HEARTBEAT, FILE.encode(), log_pos=5555, timestamp=0)
    fed = Fed(tmp_path, monkeypatch, HEAD + group(1, 1000) + packets(heartbeat))
    assert fed.run() is None
    tail = fed.relay.tail
    assert tail is not None and (tail.seq, tail.position.coordinate.offset) == (1, 5555)


def test_two_kicks_in_a_minute_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"A replica with the same server_uuid/server_id as this replica has connected"
    payload = b"\xff" + (1236).to_bytes(2, "little") + b"#HY000" + text
    kick = len(payload).to_bytes(3, "little") + b"\0" + payload
    assert isinstance(refusal(1236, text.decode(), ""), ServerIdClash)
    fed = Fed(tmp_path, monkeypatch, HEAD + group(1, 1000) + kick, HEAD + group(2, 2000) + kick, HEAD)
    error = fed.run()
    assert type(error) is SourceError and "server id" in str(error)
    assert len(fed.wires) == 2 and fed.kept() == [(1, 1000, False), (2, 2000, False)]


def test_full_disk_is_named_and_harms_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fed = Fed(tmp_path, monkeypatch, HEAD + group(1, 1000) + group(2, 2000) + group(3, 3000))
    ends = []

    def end_transaction(end: TransactionEnd) -> None:
        if end.seq == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        ends.append(end.seq)
        RelayWriter.end_transaction(fed.relay, end)

    monkeypatch.setattr(fed.relay, "end_transaction", end_transaction)
    error = fed.run()
    assert type(error) is RelayUnwritable and "No space left" in str(error)
    fed.relay.close()
    assert [seq for seq, _, _ in fed.kept()] == [1, 2]

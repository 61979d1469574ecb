"""The relay: written, torn, reopened, purged and read, from the same and from another process."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from model.errors import LockHeld, PositionPurged
from model.position import BinlogCoordinate, Position
from sync.mysql.event_types import EventType
from sync.relay.prepared import PreparedTransactions
from sync.relay.reader import RelayReader
from sync.relay.records import CorruptRelay, RecordKind, segment_numbers, segment_path
from sync.relay.tail import TailFile, TailMark
from sync.relay.values import RelayTail, TransactionEnd
from sync.relay.writer import RelayWriter
from tests.unit.sync.binlog_bytes import SERVER_UUID, event
from tests.unit.sync.relay_files import FILE, SEGMENT, START, append, contents, crash, open_writer


def test_facts_of_a_transaction(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    append(writer, 1, [b"a", b"bb"])
    writer.sync()
    (transaction,) = RelayReader(tmp_path).transactions(0)
    assert (transaction.seq, transaction.gtid, transaction.event_count) == (1, f"{SERVER_UUID}:11", 2)
    assert transaction.commit_time == pytest.approx(1.000001)
    assert transaction.bytes == 2 * 23 + 3
    assert str(transaction.position) == f"{FILE}:100 [{SERVER_UUID}:1-11]"
    assert [body for _, body in transaction.events()] == [b"a", b"bb"]
    assert [body for _, body in transaction.events()] == [b"a", b"bb"]
    assert writer.tail == RelayTail(1, transaction.position)
    writer.close()


def test_who_is_told_of_a_tail_finds_it_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for the writer's tail and reading then goes by two places: the file must be the first to have it."""
    writer = open_writer(tmp_path)
    append(writer, 1, [b"a"])
    told = []
    publish = TailFile.publish

    def watched(file: TailFile, mark: TailMark) -> None:
        told.append(writer.tail)
        publish(file, mark)

    monkeypatch.setattr(TailFile, "publish", watched)
    writer.sync()
    assert told == [START]
    assert writer.tail is not None and writer.tail.seq == 1
    writer.close()


def test_a_torn_mark_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = open_writer(tmp_path)
    file = TailFile(tmp_path, create=False)
    reads = iter((b"\x30\0\0\0torn", None))

    def torn_once(descriptor: int, size: int, offset: int) -> bytes:
        return next(reads, None) or pread(descriptor, size, offset)

    pread = os.pread
    monkeypatch.setattr(os, "pread", torn_once)
    mark = file.read()
    assert mark is not None and mark.tail == START
    file.close()
    writer.close()


def test_only_synced_whole_transactions_are_seen(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    append(writer, 1, [b"a"])
    assert contents(tmp_path) == []
    writer.sync()
    append(writer, 2, [b"b"], end=False)
    writer.sync()
    assert contents(tmp_path) == [(1, [b"a"])]
    writer.discard_open()
    append(writer, 2, [b"c"])
    writer.sync()
    assert contents(tmp_path) == [(1, [b"a"]), (2, [b"c"])]
    writer.close()


def test_transaction_over_many_segments(tmp_path: Path) -> None:
    bodies = [bytes([n]) * 1500 for n in range(40)]
    writer = open_writer(tmp_path)
    append(writer, 1, [b"small"])
    append(writer, 2, bodies)
    append(writer, 3, [b"after"])
    writer.sync()
    assert len(segment_numbers(tmp_path)) > 10
    expected = [(1, [b"small"]), (2, bodies), (3, [b"after"])]
    for after in range(4):
        assert contents(tmp_path, after) == expected[after:]
    # Unfinished over several segments, then dropped: the later files are gone, and the numbers come again.
    before = segment_numbers(tmp_path)
    append(writer, 4, bodies, end=False)
    writer.discard_open()
    assert segment_numbers(tmp_path) == before
    append(writer, 4, bodies)
    writer.close()
    assert contents(tmp_path, 3) == [(4, bodies)]


def test_crash_inside_a_transaction_over_segments(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    append(writer, 1, [b"kept"])
    writer.sync()
    append(writer, 2, [b"x" * 1500] * 30, end=False)
    crash(writer)
    writer = open_writer(tmp_path)
    assert writer.tail is not None and writer.tail.seq == 1
    assert len(segment_numbers(tmp_path)) == 1
    append(writer, 2, [b"again"])
    writer.close()
    assert contents(tmp_path) == [(1, [b"kept"]), (2, [b"again"])]


def test_file_change_is_remembered_and_moves_the_coordinate(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    append(writer, 1, [b"a"])
    writer.move(BinlogCoordinate(FILE, 900))
    writer.sync()
    assert writer.tail is not None and writer.tail.position.coordinate.offset == 900
    writer.move(BinlogCoordinate("bin.000002", 4))
    writer.close()
    writer = open_writer(tmp_path)
    assert writer.tail is not None
    assert (writer.tail.seq, str(writer.tail.position.coordinate)) == (1, "bin.000002:4")
    with pytest.raises(CorruptRelay):
        writer.append_event(b"", FILE)
    writer.close()


def test_purge_frees_whole_segments_only(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    for seq in range(1, 31):
        append(writer, seq, [bytes(1000)])
    writer.sync()
    assert writer.purge(1) == 0
    assert writer.purge(15) > 0
    assert 1 < writer.first_seq <= 15
    reader = RelayReader(tmp_path)
    assert reader.first_seq == writer.first_seq
    assert [t.seq for t in reader.transactions(14)] == list(range(15, 31))
    with pytest.raises(PositionPurged):
        list(reader.transactions(0))
    # The open transaction and the tail are never purged.
    append(writer, 31, [bytes(1000)] * 30, end=False)
    writer.purge(10_000)
    writer.end_transaction(TransactionEnd(31, "", BinlogCoordinate(FILE, 9999), 0))
    writer.close()
    assert [seq for seq, _ in contents(tmp_path, 30)] == [31]
    writer = open_writer(tmp_path)
    assert writer.tail is not None and writer.tail.seq == 31
    writer.close()


def test_over_budget_waits_for_purge(tmp_path: Path) -> None:
    stop = threading.Event()
    writer = open_writer(tmp_path, budget=1 << 17, stop=stop)
    seq = 0

    def write() -> None:
        nonlocal seq
        while seq < 60:
            append(writer, seq + 1, [bytes(8000)])
            seq += 1
        writer.sync()

    thread = threading.Thread(target=write)
    thread.start()
    reader = RelayReader(tmp_path)
    seen = 0
    while seen < 60:
        assert reader.wait(seen, 10)
        tail = reader.tail
        assert tail is not None
        seen = tail.seq
        assert writer.size_bytes < (1 << 17) + (1 << 16) + 20_000
        writer.purge(seen + 1)
    thread.join(10)
    # A stop ends the wait too.
    writer.purge(0)
    stop.set()
    for number in range(61, 90):
        append(writer, number, [bytes(8000)])
    assert writer.over_budget
    writer.close()


def test_a_transaction_larger_than_the_budget_passes(tmp_path: Path) -> None:
    writer = open_writer(tmp_path, budget=1 << 17)
    append(writer, 1, [bytes(8000)] * 40)
    assert writer.over_budget
    writer.close()
    assert [seq for seq, _ in contents(tmp_path)] == [1]


def test_prepared_transactions_count_in_the_budget(tmp_path: Path) -> None:
    stop = threading.Event()
    writer = open_writer(tmp_path, budget=1 << 18, stop=stop)
    prepared = PreparedTransactions(tmp_path, 0, writer.count_aside)
    before = writer.size_bytes
    for _ in range(20):
        prepared.append(RecordKind.EVENT, bytes(8000))
    prepared.keep("x", 1, 4)
    append(writer, 1, [b"XA PREPARE"])
    writer.sync()
    (path,) = tmp_path.glob("*.xa")
    assert writer.size_bytes - before > path.stat().st_size > 160_000
    # What would fit into the budget alone has to wait beside it, until the appliers let the segments go.

    def write() -> None:
        for seq in range(2, 22):
            append(writer, seq, [bytes(8000)])
        writer.sync()

    thread = threading.Thread(target=write)
    thread.start()
    while not writer.over_budget:
        assert thread.is_alive(), "the budget was used up, and nothing waited"
        thread.join(0.01)
    while thread.is_alive():
        writer.purge(1 << 30)
        thread.join(0.01)
    assert writer.last_seq == 21
    prepared.decided("x", 21)
    prepared.durable(21)
    assert writer.size_bytes == sum(found.stat().st_size for found in tmp_path.glob("*.seg"))
    writer.close()


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    with pytest.raises(LockHeld):
        RelayWriter(tmp_path, SEGMENT, 1 << 30)
    writer.close()
    open_writer(tmp_path).close()


def test_reader_in_another_process_follows(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    append(writer, 1, [b"a"])
    writer.sync()
    program = (
        "import sys; from pathlib import Path; from sync.relay.reader import RelayReader\n"
        "reader = RelayReader(Path(sys.argv[1])); seen = 0\n"
        "while seen < 200:\n"
        "    assert reader.wait(seen, 20)\n"
        "    for t in reader.transactions(seen):\n"
        "        assert t.seq == seen + 1 and len(list(t.events())) == 1\n"
        "        seen = t.seq\n"
        "print(seen, reader.tail.position.coordinate.offset)\n"
    )
    other = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    for seq in range(2, 201):
        append(writer, seq, [bytes(seq * 7)])
        if seq % 3 == 0 or seq == 200:
            writer.sync()
    out, _ = other.communicate(timeout=30)
    assert out.split() == ["200", "20000"]
    writer.close()


def test_damage_before_the_tail_is_named(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    for seq in range(1, 21):
        append(writer, seq, [bytes(1000)])
    writer.close()
    path = segment_path(tmp_path, 2)
    raw = bytearray(path.read_bytes())
    raw[2000] ^= 1
    path.write_bytes(raw)
    with pytest.raises(CorruptRelay) as caught:
        contents(tmp_path)
    assert caught.value.where["file"] == path.name


def test_change_of_source_is_kept(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    append(writer, 1, [b"a"])
    writer.change_source("server-2")
    assert writer.tail is not None and writer.tail.position.coordinate < BinlogCoordinate(FILE, 4)
    writer.close()
    writer = open_writer(tmp_path)
    assert writer.source == "server-2"
    writer.move(BinlogCoordinate("other.000009", 400))
    writer.append_event(event(EventType.XID, bytes(8)), "other.000009")
    writer.end_transaction(TransactionEnd(2, f"{SERVER_UUID}:12", BinlogCoordinate("other.000009", 500), 0))
    writer.close()
    last = list(RelayReader(tmp_path).transactions(1))[-1]
    assert str(last.position) == f"other.000009:500 [{SERVER_UUID}:1-12]"


def test_an_interrupted_wait_ends_at_once(tmp_path: Path) -> None:
    with_nothing_new = RelayReader(tmp_path)
    with_nothing_new.interrupt()
    assert not with_nothing_new.wait(0, 3600.0), "asked before it waited"
    ended = threading.Event()

    def wait() -> None:
        with_nothing_new.wait(0, 3600.0)
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    while not ended.wait(0.01):
        with_nothing_new.interrupt()
    writer = open_writer(tmp_path)
    append(writer, 1, [b"a"])
    writer.sync()
    with_nothing_new.interrupt()
    assert with_nothing_new.wait(0, 3600.0), "what is there is not hidden by an interruption"
    with_nothing_new.close()
    writer.close()


def test_who_begins_in_the_middle_finds_what_who_read_everything_found(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    for seq in range(1, 31):
        append(writer, seq, [b"x" * 300, b"y" * 200, b"z"])
    writer.sync()
    assert len(segment_numbers(tmp_path)) > 3
    every = facts(tmp_path, 0)
    assert [fact[0] for fact in every] == list(range(1, 31))
    for after in range(1, 31):
        assert facts(tmp_path, after) == every[after:]


def facts(directory: Path, after: int) -> list[tuple[int, Position, list[bytes]]]:
    """Number, position and bodies of what a fresh reader finds."""
    reader = RelayReader(directory)
    try:
        return [(t.seq, t.position, [body for _, body in t.events()]) for t in reader.transactions(after)]
    finally:
        reader.close()

"""Prepared XA transactions on disk: kept, found again, given back once, and removed no earlier than they may be."""

from __future__ import annotations

from pathlib import Path

import pytest

from sync.mysql.transactions import xa_verdict, xid_of
from sync.relay.prepared import PreparedTransactions
from sync.relay.records import CorruptRelay, RecordKind

EVENT, PART = RecordKind.EVENT, RecordKind.PART


class Bytes:
    """What was counted."""

    total = 0

    def count(self, change: int) -> None:
        self.total += change


def opened(directory: Path, last_seq: int, counted: Bytes | None = None) -> PreparedTransactions:
    return PreparedTransactions(directory, last_seq, (counted or Bytes()).count)


def on_disk(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.iterdir())


def kept(
    directory: Path, seq: int = 7, xid: str = "x", *, last_seq: int = 6, counted: Bytes | None = None
) -> PreparedTransactions:
    """One transaction of an event in two parts."""
    prepared = opened(directory, last_seq, counted)
    prepared.append(EVENT, b"first")
    prepared.append(PART, b"more")
    prepared.keep(xid, seq, 4)
    return prepared


def test_it_is_found_again_and_removed_when_the_verdict_is_durable(tmp_path: Path) -> None:
    kept(tmp_path)
    prepared = opened(tmp_path, 7)
    path = prepared.decided("x", 9)
    assert path is not None and list(prepared.committed(path, 4)) == [(EVENT, b"first"), (PART, b"more")]
    assert prepared.decided("y", 9) is None
    prepared.durable(8)
    assert path.exists()
    prepared.durable(9)
    assert list(tmp_path.iterdir()) == [] and prepared.decided("x", 10) is None


def test_a_verdict_that_is_read_again_finds_it_again(tmp_path: Path) -> None:
    prepared = kept(tmp_path)
    assert prepared.decided("x", 9) is not None
    prepared.discard()
    prepared.durable(9)
    assert prepared.decided("x", 9) is not None


def test_one_that_the_relay_does_not_have_yet_is_read_again(tmp_path: Path) -> None:
    prepared = kept(tmp_path)
    prepared.append(EVENT, b"half")
    assert len(list(tmp_path.iterdir())) == 2
    prepared.discard()
    assert opened(tmp_path, 6).decided("x", 9) is None and list(tmp_path.iterdir()) == []


def test_a_name_that_comes_again_means_the_later_one(tmp_path: Path) -> None:
    first = kept(tmp_path)
    assert first.decided("x", 8)
    first.append(EVENT, b"second")
    first.keep("x", 9, 4)
    first.durable(8)
    path = opened(tmp_path, 9).decided("x", 10)
    assert path is not None and list(first.committed(path, 4)) == [(EVENT, b"second")]


def test_committed_in_one_phase_it_is_given_back_at_once(tmp_path: Path) -> None:
    prepared = opened(tmp_path, 0)
    prepared.append(EVENT, b"e")
    assert list(prepared.records()) == [(EVENT, b"e")] and list(tmp_path.iterdir()) == []


def test_damage_and_another_checksum_are_refused(tmp_path: Path) -> None:
    prepared = kept(tmp_path)
    path = prepared.decided("x", 9)
    assert path is not None
    with pytest.raises(CorruptRelay, match="binlog_checksum"):
        list(prepared.committed(path, 0))
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(CorruptRelay, match="damaged"):
        list(prepared.committed(path, 4))


def test_every_byte_on_disk_is_counted_until_it_is_gone(tmp_path: Path) -> None:
    counted = Bytes()
    prepared = kept(tmp_path, counted=counted)
    assert counted.total == on_disk(tmp_path) > 0
    prepared.append(EVENT, bytes(2 << 20))
    assert counted.total >= on_disk(tmp_path) > 2 << 20  # the rest is in the file's buffer
    assert list(prepared.records()) == [(EVENT, bytes(2 << 20))]
    assert counted.total == on_disk(tmp_path)
    prepared.append(EVENT, b"again")
    prepared.discard()
    assert counted.total == on_disk(tmp_path)
    again = Bytes()
    (tmp_path / "prepared.open").write_bytes(b"of a daemon that died")
    assert opened(tmp_path, 7, again).decided("x", 9) is not None
    assert again.total == on_disk(tmp_path) == counted.total
    prepared.decided("x", 9)
    prepared.durable(9)
    assert counted.total == 0 == on_disk(tmp_path)


@pytest.mark.parametrize(
    ("text", "xid", "committed"),
    [
        ("XA COMMIT X'78',X'6272',1", xid_of(1, b"x", b"br"), True),
        ("xa rollback x'4A', X'' , 42", xid_of(42, b"J", b""), False),
    ],
)
def test_verdicts_are_read(text: str, xid: str, committed: bool) -> None:
    found = xa_verdict(text)
    assert found is not None and (found.xid, found.committed) == (xid, committed)


@pytest.mark.parametrize("text", ["XA START X'78',X'',1", "COMMIT", "XA COMMIT 'x' ONE PHASE"])
def test_what_is_no_verdict(text: str) -> None:
    assert xa_verdict(text) is None

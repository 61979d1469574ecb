from __future__ import annotations

import threading
from typing import Any

import pytest

from model.errors import Busy
from model.position import BinlogCoordinate, Flavour, Position
from stores.mysql import ServerInfo
from sync.mysql.visibility import Reading, SnapshotClock, Visibility


class Cursor:
    """Answers from a script: text in the statement → rows."""

    def __init__(self, script: dict[str, Any]) -> None:
        self._script = script
        self._rows: list[tuple[Any, ...]] = []

    def __enter__(self) -> Cursor:
        return self

    def __exit__(self, *error: object) -> None: ...

    def execute(self, statement: str, arguments: object = None) -> None:
        for text, rows in self._script.items():
            if text in statement:
                self._rows = rows() if callable(rows) else rows
                return
        self._rows = []

    def fetchone(self) -> tuple[Any, ...] | None:
        return self._rows[0] if self._rows else None

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self._rows


class Connection:
    def __init__(self, script: dict[str, Any]) -> None:
        self._script = script

    def cursor(self, kind: object = None) -> Cursor:
        return Cursor(self._script)


def info(flavour: Flavour, version: tuple[int, int, int], gtids: bool) -> ServerInfo:
    return ServerInfo(flavour, version, "x", 1, "u", gtids)


def low(gtids: str = "", offset: int = 100, file: str = "b.000001") -> Position:
    return Position(Flavour.MYSQL, BinlogCoordinate(file, offset), gtids)


def status(file: str, offset: int, groups: int) -> list[tuple[str, str]]:
    return [
        ("Binlog_snapshot_file", file),
        ("Binlog_snapshot_position", str(offset)),
        ("Binlog_group_commits", str(groups)),
    ]


class TestClock:
    def test_a_file_is_trusted_when_enough_groups_have_committed_since_it_was_first_seen(self) -> None:
        clock = SnapshotClock()
        clock.saw("b.000001", 10)
        assert not clock.trusts("b.000001", 13)
        assert clock.trusts("b.000001", 14)

    def test_a_file_that_was_never_seen_is_not_trusted(self) -> None:
        clock = SnapshotClock()
        clock.saw("b.000001", 0)
        assert not clock.trusts("b.000002", 1000)

    def test_a_later_sight_does_not_start_the_count_again(self) -> None:
        clock = SnapshotClock()
        clock.saw("b.000001", 0)
        clock.saw("b.000001", 100)
        assert clock.trusts("b.000001", 4)


class TestWays:
    def test_gtids_prove_once_they_are_executed(self) -> None:
        answers = iter([[(0,)], [(0,)], [(1,)]])
        connection = Connection({"GTID_SUBSET": lambda: next(answers)})
        visibility = Visibility(info(Flavour.MYSQL, (9, 7, 0), True), threading.Event())
        assert visibility.prove(connection, low("u:1-5")) is Reading.PLAIN  # type: ignore[arg-type]
        assert next(answers, None) is None

    def test_gtids_that_never_come_are_busy(self) -> None:
        visibility = Visibility(info(Flavour.MYSQL, (9, 7, 0), True), threading.Event(), patience_s=0.0)
        with pytest.raises(Busy, match="hangs"):
            visibility.prove(Connection({"GTID_SUBSET": [(0,)]}), low("u:1-5"))  # type: ignore[arg-type]

    def test_waiting_ends_with_stop(self) -> None:
        stop = threading.Event()
        stop.set()
        visibility = Visibility(info(Flavour.MYSQL, (9, 7, 0), True), stop)
        with pytest.raises(Busy, match="stopped"):
            visibility.prove(Connection({"GTID_SUBSET": [(0,)]}), low("u:1-5"))  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("version", "gtids", "position"),
        [
            ((9, 7, 0), False, low()),
            ((9, 7, 0), True, low()),  # the relay's GTIDs are not known
            ((5, 6, 24), True, low("u:1-5")),  # gtid_executed grows before the engine commits
        ],
    )
    def test_without_commit_side_gtids_only_locking_reads_do(
        self, version: tuple[int, int, int], gtids: bool, position: Position
    ) -> None:
        visibility = Visibility(info(Flavour.MYSQL, version, gtids), threading.Event())
        assert visibility.prove(Connection({}), position) is Reading.LOCKING  # type: ignore[arg-type]

    def test_mariadb_is_trusted_only_at_or_after_s(self) -> None:
        visibility = Visibility(info(Flavour.MARIADB, (10, 11, 0), True), threading.Event())
        visibility.clock.saw("b.000001", 0)
        offsets = iter([50, 50, 99, 99, 100, 100])
        connection = Connection({"SHOW STATUS": lambda: status("b.000001", next(offsets), 10)})
        assert visibility.prove(connection, low(offset=100)) is Reading.PLAIN  # type: ignore[arg-type]
        assert next(offsets, None) is None

    def test_mariadb_without_commits_falls_back_to_locking(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sync.mysql.visibility.UNTRUSTED_PATIENCE_S", 3600.0)
        monkeypatch.setattr("sync.mysql.visibility.IDLE_S", 0.0)
        visibility = Visibility(info(Flavour.MARIADB, (10, 11, 0), True), threading.Event())
        connection = Connection({"SHOW STATUS": status("b.000002", 336, 7)})
        assert visibility.prove(connection, low(offset=100)) is Reading.LOCKING  # type: ignore[arg-type]

    def test_mariadb_that_commits_is_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sync.mysql.visibility.UNTRUSTED_PATIENCE_S", 3600.0)
        monkeypatch.setattr("sync.mysql.visibility.IDLE_S", 0.0)
        monkeypatch.setattr("sync.mysql.visibility.POLL_S", 0.0)
        visibility = Visibility(info(Flavour.MARIADB, (10, 11, 0), True), threading.Event())
        looks = iter([7, 7, 8, 8, 9, 9, 10, 10, 11, 11])  # two each, before and after the snapshot
        connection = Connection({"SHOW STATUS": lambda: status("b.000002", 336, next(looks))})
        assert visibility.prove(connection, low(offset=100)) is Reading.PLAIN  # type: ignore[arg-type]

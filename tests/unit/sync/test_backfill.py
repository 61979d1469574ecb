"""The parts of a copy that need no server: the board, the COPY encoder, the relay's marks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from model.errors import ValueRefused
from model.position import BinlogCoordinate, Flavour, Position
from model.rows import Field, Op, RowChange
from model.tables import ColumnDef, TableDef, TableId
from sync.copy_board import Board, Job, StoreCopy
from sync.mysql.chunks import ChunkKey, Span
from sync.parked_rows import row_key, to_payload
from sync.postgres.copy import Loaded, Refusal, encode, projector
from sync.progress import ProgressMeter
from sync.relay.values import RelayTail
from sync.table_copy import CopyStopped, Relay
from sync.table_phase import TablePhases
from tests.support.copying import text_plan
from transforms.plan import Cast, ColumnKind, ColumnPlan, TablePlan


def plan(name: str = "t", size: int = 0) -> TablePlan:
    columns = (ColumnDef("id", "int", "int", nullable=False), ColumnDef("v", "varchar", "varchar(9)"))
    return text_plan(TableDef(TableId("db", name), columns, primary_key=("id",), bytes_estimate=size))


def tail(seq: int, offset: int = 0) -> RelayTail:
    return RelayTail(seq, Position(Flavour.MYSQL, BinlogCoordinate("b.000001", offset)))


def job(name: str, size: int) -> Job:
    store = StoreCopy("main", SecretStr(""), "s", 1, (), TablePhases(), lambda connection, plan: None)
    made = Job(store, plan(name, size))
    made.key = ChunkKey.of(made.plan.source)
    return made


class TestBoard:
    def board(self, *jobs: Job) -> tuple[Board, threading.Event]:
        halt = threading.Event()
        return Board(jobs, ProgressMeter({}), halt), halt

    def opened(self, only: Job, *spans: Span) -> tuple[Board, threading.Event]:
        """A board with one job that has been opened."""
        board, halt = self.board(only)
        opening = board.take()
        assert opening is not None
        board.opened(only, tail(1), spans, ())
        board.done(opening)
        return board, halt

    def test_a_table_is_opened_copied_and_finished_the_biggest_first(self) -> None:
        small, big = job("small", 1), job("big", 2)
        board, _ = self.board(small, big)
        task = board.take()
        assert task is not None and task.job is big and task.opening
        other = board.take()
        assert other is not None and other.job is small
        board.opened(big, tail(5), [Span(None, ("5",)), Span(("5",), None)], ())
        board.done(task)
        first, second = board.take(), board.take()
        assert first is not None and second is not None
        assert (first.span, second.span) == (Span(None, ("5",)), Span(("5",), None))
        assert (first.number, second.number) == (1, 2)
        board.copied(big, Loaded(rows=1), [Span(("3",), ("5",))])
        board.done(first)
        rest = board.take()
        assert rest is not None and rest.span == Span(("3",), ("5",)) and rest.number == 3
        board.done(rest)
        board.copied(big, Loaded())
        board.done(second)
        last = board.take()
        assert last is not None and last.job is big and last.span is None and not last.opening

    def test_nobody_finishes_while_a_chunk_runs(self) -> None:
        only = job("t", 1)
        board, halt = self.opened(only, Span())
        running = board.take()
        taken: list[object] = []
        waiter = threading.Thread(target=lambda: taken.append(board.take()))
        waiter.start()
        waiter.join(0.1)
        assert waiter.is_alive() and not taken
        assert running is not None and board.idle == 1
        board.done(running)
        waiter.join(5)
        assert len(taken) == 1 and board.idle == 0
        halt.set()

    def test_a_restart_waits_for_the_other_chunks_and_only_one_does_it(self) -> None:
        only = job("t", 1)
        board, _ = self.opened(only, Span(None, ("5",)), Span(("5",), None))
        mine, theirs = board.take(), board.take()
        assert mine is not None and theirs is not None
        results: list[bool] = []
        restart = threading.Thread(target=lambda: results.append(board.restart(only)))
        restart.start()
        restart.join(0.1)
        assert restart.is_alive()
        assert board.restart(only) is False
        board.copied(only, Loaded(), [Span(("7",), None)])
        board.done(theirs)
        restart.join(5)
        assert results == [True]
        board.restarted(only)
        board.done(mine)
        again = board.take()
        assert again is not None and again.opening

    def test_the_parts_of_a_rest_come_before_other_spans_and_in_key_order(self) -> None:
        only = job("t", 1)
        board, _ = self.opened(only, Span(None, ("5",)), Span(("5",), None))
        assert board.take() is not None
        board.copied(only, Loaded(), [Span(("1",), ("3",)), Span(("3",), ("5",))])
        spans = [task.span for task in (board.take(), board.take(), board.take()) if task is not None]
        assert spans == [Span(("1",), ("3",)), Span(("3",), ("5",)), Span(("5",), None)]

    def test_numbers_go_on_after_those_of_the_ledger(self) -> None:
        from stores.control.chunks import Chunk

        only = job("t", 1)
        board, _ = self.board(only)
        opening = board.take()
        assert opening is not None
        board.opened(only, tail(1), [Span()], [Chunk("p", 7, None, ("1",), 3, 1)])
        board.done(opening)
        task = board.take()
        assert task is not None and task.number == 8
        assert board.progress().rows_done == 3

    def test_halt_ends_the_waiting(self) -> None:
        board, halt = self.board(job("t", 1))
        assert board.take() is not None
        halt.set()
        assert board.take() is None


class TestEncode:
    @given(st.lists(st.one_of(st.none(), st.binary()), min_size=1, max_size=6))
    def test_a_line_can_be_read_back(self, row: list[bytes | None]) -> None:
        line = encode(tuple(row))
        assert line.endswith(b"\n") and line.count(b"\n") == 1 and b"\r" not in line
        fields = line[:-1].split(b"\t")
        assert len(fields) == len(row)
        read = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"\\": b"\\"}

        def plain(field: bytes) -> bytes | None:
            if field == b"\\N":
                return None
            out, at = b"", 0
            while at < len(field):
                if field[at : at + 1] == b"\\":
                    out += read[field[at + 1 : at + 2]]
                    at += 2
                else:
                    out += field[at : at + 1]
                    at += 1
            return out

        assert [plain(field) for field in fields] == row

    def test_the_text_of_null_is_no_null(self) -> None:
        assert encode((b"\\N", None)) == b"\\\\N\t\\N\n"


class TestProjector:
    @staticmethod
    def shout(field: Field) -> Field:
        if field == b"bad":
            raise ValueRefused("too bad")
        return field.upper() if isinstance(field, bytes) else field

    def test_it_agrees_with_the_plan(self) -> None:
        plain = plan()
        first, second = plain.columns
        cast = ColumnPlan(second.target, ColumnKind.COPY, 1, (Cast("shout", self.shout),))
        for columns in ((first, second), (second, first), (first, cast), (cast,)):
            made = TablePlan(plain.source, plain.target, columns, ())
            for row in ((b"1", b"x"), (b"1", None)):
                assert projector(made)(row) == made.project(row)

    def test_a_refusal_names_table_and_column(self) -> None:
        plain = plan()
        cast = ColumnPlan(plain.columns[1].target, ColumnKind.COPY, 1, (Cast("shout", self.shout),))
        made = TablePlan(plain.source, plain.target, (plain.columns[0], cast), ())
        with pytest.raises(ValueRefused) as caught:
            projector(made)((b"1", b"bad"))
        assert caught.value.where == {"table": "db.t", "column": "v"}


class TestRefusals:
    def test_key_and_payload_are_storable(self) -> None:
        refusal = Refusal((b"a\x00b", None), ValueRefused("no"))
        assert row_key(plan(), refusal.source) == ("a\\u0000b",)
        change = RowChange(Op.INSERT, plan().source.id, None, refusal.source)
        assert to_payload(plan(), change) == b'{"id":"a\\u0000b","v":null}'


@dataclass
class Entry:
    seq: int
    position: Position


class View:
    """A relay with ends at the given offsets, numbered from 1."""

    def __init__(self, offsets: list[int], tail_offset: int, first_seq: int = 1) -> None:
        self.tail: RelayTail | None = tail(len(offsets), tail_offset)
        self.first_seq = first_seq
        self._offsets = offsets

    def transactions(self, after_seq: int) -> Iterator[Entry]:
        for seq in range(after_seq + 1, len(self._offsets) + 1):
            yield Entry(seq, tail(seq, self._offsets[seq - 1]).position)


class TestRelay:
    @pytest.mark.parametrize(("offset", "seq"), [(10, 1), (15, 1), (20, 2), (30, 3), (35, 3)])
    def test_the_number_of_a_position(self, offset: int, seq: int) -> None:
        relay = Relay(View([10, 20, 30], 40), threading.Event())
        assert relay.seq_at(tail(0, offset).position, tail(1, 10)) == seq

    def test_it_waits_for_the_relay_and_can_be_stopped(self) -> None:
        halt = threading.Event()
        halt.set()
        with pytest.raises(CopyStopped):
            Relay(View([10], 10), halt).seq_at(tail(0, 11).position, tail(1, 10))

    @pytest.mark.parametrize(("first", "has"), [(0, False), (5, True), (6, True), (7, False)])
    def test_whether_everything_after_s_is_there(self, first: int, has: bool) -> None:
        assert Relay(View([], 0, first), threading.Event()).has_after(5) is has

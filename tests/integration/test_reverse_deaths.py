"""The process of a reverse stream dies by SIGKILL, at exact points and at any moment; the next one goes on."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading
from collections.abc import Callable
from contextlib import closing
from multiprocessing.process import BaseProcess
from typing import Any

import pytest

from config.settings import Settings
from stores.mysql import connect_source, probe
from sync.mysql.catalog import read_catalog
from sync.mysql.reverse_apply import ReverseWriter
from sync.postgres.changes import SlotReader
from sync.reverse import ReverseStream
from tests.integration.test_reverse import ITEMS, random_changes
from tests.support.reversing import DOMAIN, Reversing, reversing
from tests.support.servers import SourceDatabase, StoreDatabase
from tests.support.streaming import wait_until
from transforms.compile import compile_plan
from transforms.reverse import reverse_plans

POINTS = ("before the commit", "after the commit", "in the middle of the statements")


def stream_until_killed(
    settings: Settings, database: str, r0: int, epoch: int, point: str | None, arm: Callable[[str], None]
) -> None:
    """A process that does nothing but stream, and kills itself at `point`, as `arm` has it."""
    with closing(connect_source(settings.source)) as connection:
        info = probe(connection)
        tables = read_catalog(connection, info, settings.source.databases)
    plans = compile_plan(settings, tables, info.flavour).plans
    if point is not None:
        arm(point)
    stream = ReverseStream(settings, DOMAIN, "main", reverse_plans(plans), epoch=epoch, start_lsn=r0, database=database)
    stream.run(threading.Event())


def _arm(point: str) -> None:
    """Die when the point is passed for the third time with rows."""
    left = [3]

    def passed() -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    commit, confirm, flush = ReverseWriter.commit, SlotReader.confirm, ReverseWriter.flush

    def dying_commit(self: ReverseWriter, lsn: int, commit_time: float | None, transactions: int) -> object:
        if self.rows:
            flush(self)
            passed()
        return commit(self, lsn, commit_time, transactions)

    def dying_confirm(self: SlotReader, lsn: int) -> None:
        passed()
        confirm(self, lsn)

    def dying_flush(self: ReverseWriter) -> None:
        flush(self)
        passed()

    if point == "before the commit":
        ReverseWriter.commit = dying_commit  # type: ignore[method-assign,assignment]
    elif point == "after the commit":
        SlotReader.confirm = dying_confirm  # type: ignore[method-assign]
    else:
        ReverseWriter.flush = dying_flush  # type: ignore[method-assign]


def spawn(bed: Reversing, epoch: int, point: str | None = None, arm: Callable[[str], None] = _arm) -> BaseProcess:
    """Start such a process."""
    process = multiprocessing.get_context("spawn").Process(
        target=stream_until_killed, args=(bed.settings, bed.database, bed.r0, epoch, point, arm), daemon=True
    )
    process.start()
    return process


def test_kill_at_every_point(source_db: SourceDatabase, store_db: StoreDatabase) -> None:
    with reversing(source_db, store_db, *ITEMS) as bed:
        dice = random.Random(8)
        for epoch, point in enumerate(POINTS, 1):
            process = spawn(bed, epoch, point)
            tick = threading.Event()
            while process.is_alive():
                random_changes(bed, dice, 3)
                tick.wait(0.05)
            assert process.exitcode == -signal.SIGKILL, point
        stream = bed.start(epoch=9)
        bed.drain(stream)
        bed.assert_equal()
        assert stream.state.conflicts == 0


@pytest.mark.slow
def test_kill_at_any_moment(source_db: SourceDatabase, store_db: StoreDatabase) -> None:
    with reversing(source_db, store_db, *ITEMS) as bed:
        dice = random.Random(9)
        for epoch in range(1, 7):
            process = spawn(bed, epoch)
            wait_until(lambda epoch=epoch: _epoch(bed) == epoch)  # type: ignore[misc]
            writer = threading.Thread(target=random_changes, args=(bed, random.Random(epoch), 200))
            writer.start()
            threading.Event().wait(dice.random())
            process.kill()
            process.join()
            writer.join()
        stream = bed.start(epoch=9)
        bed.drain(stream)
        bed.assert_equal()


def _epoch(bed: Reversing) -> int:
    try:
        return bed.progress().epoch
    except AssertionError:
        return 0


def test_a_stream_that_gets_the_slot_late_begins_where_the_other_left(
    source_db: SourceDatabase, store_db: StoreDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    with reversing(source_db, store_db, *ITEMS) as shop:
        first = shop.start()
        shop.drain(first)

        def late(*arguments: Any) -> SlotReader:
            monkeypatch.setattr("sync.reverse.SlotReader", SlotReader)
            with shop.store() as connection:
                connection.execute("INSERT INTO items (id, sku, price) VALUES (11, 'meanwhile', 1)")
            shop.drain(first)
            shop.stop(first)
            return SlotReader(*arguments)

        monkeypatch.setattr("sync.reverse.SlotReader", late)
        second = shop.start()
        wait_until(lambda: second.state.retries > 0)
        with shop.store() as connection:
            connection.execute("INSERT INTO items (id, sku, price) VALUES (12, 'afterwards', 2)")
        shop.drain(second)
        shop.assert_equal()

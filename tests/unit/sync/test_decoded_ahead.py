"""What is decoded ahead comes in order, and ends before what is large or cannot be decoded."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any, cast

import pytest

from model.errors import UndecodableRow
from model.tables import TableId
from sync import decoded_ahead as module
from sync.changes import RowsBatch
from sync.decoded_ahead import decoded_ahead
from tests.support.changes import FakeTransaction

TABLE = TableId("shop", "t")


class Changes:
    """Gives a batch per size of a transaction; a size of 0 cannot be decoded."""

    def __init__(self, sizes: list[list[int]]) -> None:
        self.transactions = [
            FakeTransaction(seq, [RowsBatch(TABLE, [], False, size) for size in found], 0.0)
            for seq, found in enumerate(sizes, 1)
        ]
        self.prepared: list[RowsBatch] = []
        self.threads: set[threading.Thread] = set()
        self.wanted = frozenset({TABLE})

    def batches(self, transaction: FakeTransaction, wanted: object) -> Iterator[RowsBatch]:
        assert wanted is self.wanted
        self.threads.add(threading.current_thread())
        for batch in transaction.changes:
            if not batch.bytes:
                raise UndecodableRow("no")
            yield batch

    def prepare(self, batch: RowsBatch) -> None:
        self.prepared.append(batch)

    def ahead(self) -> Any:
        return decoded_ahead(cast(Any, iter(self.transactions)), cast(Any, self), cast(Any, self))


@pytest.mark.parametrize(
    ("sizes", "whole"),
    [
        ([[1], [2, 3], []], 3),
        ([[1], [0], [1]], 1),
        ([[1], [1, 0], [1]], 1),
        ([[60, 40], [60, 41], [1]], 1),
        ([[101]], 0),
    ],
    ids=["all", "undecodable", "undecodable later", "large", "large first"],
)
def test_it_ends_before_what_is_left(sizes: list[list[int]], whole: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WHOLE_BYTES", 100)
    changes = Changes(sizes)
    found = list(changes.ahead())
    assert [one.transaction for one in found] == changes.transactions[:whole]
    assert [one.batches for one in found] == [one.changes for one in changes.transactions[:whole]]
    assert all(batch in changes.prepared for one in found for batch in one.batches)
    assert threading.current_thread() not in changes.threads


def test_what_is_large_as_it_is_is_not_even_read() -> None:
    changes = Changes([[1], [1]])
    changes.transactions[1].bytes = module.WHOLE_BYTES + 1
    assert [one.transaction.seq for one in changes.ahead()] == [1]
    assert len(changes.prepared) == 1


def test_who_leaves_is_not_overtaken_and_no_thread_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_BYTES", 1_000)
    changes = Changes([[900_000]] * 50)
    with closing(changes.ahead()) as ahead:
        assert next(ahead).transaction.seq == 1
    assert 1 <= len(changes.prepared) <= 8
    assert not any(thread.is_alive() for thread in changes.threads)

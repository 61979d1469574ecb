"""What runs ahead gives the same items and errors, waits for who is slow, and lets go of what it holds."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import closing
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.mysql.read_ahead import AHEAD_BYTES, read_ahead


class Source:
    """Blocks of some sizes, then an error or the end; knows how far it was read and in which thread it was closed."""

    def __init__(self, sizes: list[int], error: Exception | None = None) -> None:
        self.sizes = sizes
        self.error = error
        self.made = 0
        self.closed_by: threading.Thread | None = None

    def blocks(self) -> Generator[int, None, None]:
        try:
            for size in self.sizes:
                self.made += 1
                yield size
            if self.error:
                raise self.error
        finally:
            self.closed_by = threading.current_thread()


def itself(size: int) -> int:
    return size


@given(st.lists(st.integers(0, 2 * AHEAD_BYTES), max_size=12))
def test_the_same_items_in_the_same_order(sizes: list[int]) -> None:
    assert list(read_ahead(Source(sizes).blocks(), itself)) == sizes


def test_an_error_comes_after_the_items_before_it() -> None:
    ahead = read_ahead(Source([1, 2], ValueError("broken")).blocks(), itself)
    assert [next(ahead), next(ahead)] == [1, 2]
    with pytest.raises(ValueError, match="broken"):
        next(ahead)


def test_it_runs_ahead_but_not_far() -> None:
    source = Source([AHEAD_BYTES // 2] * 10)
    ahead = read_ahead(source.blocks(), itself)
    next(ahead)
    deadline = time.monotonic() + 10
    while source.made < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert source.made == 2
    assert len(list(ahead)) == 9


def test_what_was_full_is_filled_again_when_it_is_nearly_empty() -> None:
    source = Source([AHEAD_BYTES // 4] * 9)
    ahead = read_ahead(source.blocks(), itself)
    next(ahead)
    deadline = time.monotonic() + 10
    while source.made < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    for _ in range(3):
        next(ahead)
        time.sleep(0.02)
        assert source.made == 4
    assert len(list(ahead)) == 5


def test_nothing_is_read_while_one_large_item_is_used() -> None:
    source = Source([10 * AHEAD_BYTES, 1])
    ahead = read_ahead(source.blocks(), itself)
    next(ahead)
    time.sleep(0.05)
    assert source.made == 1
    assert list(ahead) == [1]


def test_left_half_way_it_closes_the_source_in_its_own_thread() -> None:
    source = Source([AHEAD_BYTES] * 10)
    with closing(cast(Any, read_ahead(source.blocks(), itself))) as ahead:
        next(ahead)
    assert source.closed_by is not None and source.closed_by is not threading.current_thread()
    assert not source.closed_by.is_alive()
    assert source.made <= 2

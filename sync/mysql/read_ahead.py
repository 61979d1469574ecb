"""Lets a source read on while what it gave is being written: an iterator that runs ahead in a thread of its own."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import Final, Generic, TypeVar

AHEAD_BYTES: Final = 4 << 20
"""What may wait, with what is being written: no more is asked for while it is as much."""
RESUME_BYTES: Final = AHEAD_BYTES // 4
"""What is left when a full one is filled again: who uses the items hands over what he takes to a server and waits for
it, and until then he needs the processor, and Python's lock, for himself."""

_T = TypeVar("_T")


class _Ahead(Generic[_T]):
    """What the two threads share."""

    def __init__(self, items: Generator[_T, None, None], size: Callable[[_T], int]) -> None:
        self._items = items
        self._size = size
        self._changed = threading.Condition()
        self._waiting: deque[_T] = deque()
        self._bytes = 0
        self._ended = self._left = False
        self._failure: BaseException | None = None

    def produce(self) -> None:
        try:
            for item in self._items:
                with self._changed:
                    self._waiting.append(item)
                    self._bytes += self._size(item)
                    self._changed.notify_all()
                    del item
                    if self._bytes >= AHEAD_BYTES:
                        self._changed.wait_for(lambda: self._left or self._bytes < RESUME_BYTES)
                    if self._left:
                        return
        except BaseException as error:  # raised again where the items are used
            self._failure = error
        finally:
            # What the generator holds, a connection, it lets go in the thread that used it.
            self._items.close()
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def consume(self) -> Iterator[_T]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ended)
                if not self._waiting:
                    break
                item = self._waiting.popleft()
            size = self._size(item)
            yield item
            del item
            with self._changed:
                self._bytes -= size
                self._changed.notify_all()
        if self._failure is not None:
            raise self._failure

    def leave(self) -> None:
        with self._changed:
            self._left = True
            self._changed.notify_all()


def read_ahead(items: Generator[_T, None, None], size: Callable[[_T], int]) -> Generator[_T, None, None]:
    """The same items in the same order, the next being made while one is used. `size` gives an item's bytes.

    Raises what `items` raises, after the items before it. Left half-way, it closes `items` and waits for that.
    """
    ahead = _Ahead(items, size)
    thread = threading.Thread(target=ahead.produce, name="read-ahead", daemon=True)
    thread.start()
    try:
        yield from ahead.consume()
    finally:
        ahead.leave()
        thread.join()

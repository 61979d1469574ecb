"""Rows whose keys first appeared by INSERT. While nothing else happens to them nobody looks for them by key: then no
dictionary of them is made, which costs more than all the rest of their way from the event to COPY.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain

from sync.mysql.long_values import Line


class FreshRows:
    """Lines of COPY with the keys of one plan, in the order in which they came."""

    __slots__ = ("_by_key", "_unsorted", "_unsorted_count")

    def __init__(self, rows: Mapping[bytes, Line] | None = None) -> None:
        self._by_key: dict[bytes, Line] = dict(rows or {})
        self._unsorted: list[tuple[list[bytes], list[Line]]] = []
        self._unsorted_count = 0

    def __len__(self) -> int:
        """Their number; a key that came twice counts twice until `by_key` is asked for."""
        return len(self._by_key) + self._unsorted_count

    def add(self, keys: list[bytes], lines: list[Line]) -> None:
        """Put rows in; of a key that comes again the last row counts. Nobody may change the lists afterwards."""
        self._unsorted.append((keys, lines))
        self._unsorted_count += len(keys)

    @property
    def by_key(self) -> dict[bytes, Line]:
        """The row of each key. It may be changed."""
        for keys, lines in self._unsorted:
            self._by_key.update(zip(keys, lines, strict=True))
        self._unsorted.clear()
        self._unsorted_count = 0
        return self._by_key

    @property
    def lines(self) -> Iterable[Line]:
        """All rows; one of a key that came twice may be there twice."""
        return chain(self._by_key.values(), chain.from_iterable(lines for _, lines in self._unsorted))

"""A run as a value: row events and table maps of one transaction, taken apart in the way that is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from model.errors import UndecodableRow
from sync.mysql.event_types import ROWS, EventType
from sync.mysql.events import HEADER_BYTES, EventHeader, parse_header, parse_rows_target
from sync.mysql.runs import rows_of

Body: TypeAlias = bytes


class RowEvent(NamedTuple):
    """A row event with the body of the table map that holds for it."""

    table_map: Body
    kind: int
    body: Body


@dataclass(frozen=True, slots=True)
class Run:
    """Row events and table maps as the reader found them."""

    raw: Body
    checksum: int
    """Bytes of the checksum at the end of each event."""

    def events(self) -> Iterator[tuple[EventHeader, Body]]:
        """(header, body without checksum) of each. Raises CorruptEvent."""
        at = 0
        while at < len(self.raw):
            header = parse_header(self.raw[at : at + HEADER_BYTES])
            yield header, self.raw[at + HEADER_BYTES : at + header.size - self.checksum]
            at += header.size


Part: TypeAlias = tuple[EventHeader, Body] | Run
"""What a transaction is made of: events one by one, and runs."""


def row_events(part: Part, maps: dict[int, Body]) -> Sequence[tuple[Body, int, Body]]:
    """The row events of a part, as `RowEvent`s; none for other events.

    `maps`: the table maps of the parts before by table number; takes those of this part. Raises UndecodableRow for a
    row event without a map, CorruptEvent.
    """
    if isinstance(part, Run):
        return rows_of(part.raw, part.checksum, maps)
    header, body = part
    kind = header.type
    if kind == EventType.TABLE_MAP:
        maps[int.from_bytes(body[:6], "little")] = body
    elif kind in ROWS:
        table_id, _ = parse_rows_target(body)
        found = maps.get(table_id)
        if found is None:
            raise UndecodableRow("a row event has no table map before it", table_id=table_id)
        return (RowEvent(found, kind, body),)
    return ()

"""Row events of one table at one schema version into rows of text form (docs/architecture.md §3). The kernel's door.

Fails closed: what does not fit the schema history raises UndecodableRow; a value that has no text form raises
ValueRefused, or is handed to the caller, who may put the row into quarantine.
"""

from __future__ import annotations

from typing import Final

from model.errors import UndecodableRow, UnsupportedChange
from model.rows import Row
from model.tables import TableDef
from sync.mysql.event_types import EventType, event_name
from sync.mysql.kernel import Refused, RowReader
from sync.mysql.layout import forms_of
from sync.mysql.table_map import TableMap

SHAPES: Final[dict[int, tuple[bool, bool, bool]]] = {
    EventType.WRITE_ROWS_V1: (False, False, True),
    EventType.UPDATE_ROWS_V1: (False, True, True),
    EventType.DELETE_ROWS_V1: (False, True, False),
    EventType.WRITE_ROWS_V2: (True, False, True),
    EventType.UPDATE_ROWS_V2: (True, True, True),
    EventType.DELETE_ROWS_V2: (True, True, False),
}
"""Per event type: whether it has extra header bytes, before images, after images."""


def shape_of(event_type: int, table: TableDef) -> tuple[bool, bool, bool]:
    """The event type's shape. Raises UnsupportedChange for partial updates, UndecodableRow for what is no row event."""
    shape = SHAPES.get(event_type)
    if shape is not None:
        return shape
    if event_type == EventType.PARTIAL_UPDATE_ROWS:
        raise UnsupportedChange(
            "the source logs only the changed parts of JSON documents",
            hint="On the source: SET GLOBAL binlog_row_value_options = ''; end its sessions; copy the table anew.",
            table=str(table.id),
        )
    raise UndecodableRow(f"{event_name(event_type)} is no row event", table=str(table.id))


class TableDecoder:
    """Decodes the row events that follow one table map. Make a new one for every new table map or table version.

    One thread at a time: it works in a buffer of its own.
    """

    def __init__(self, table: TableDef, table_map: TableMap) -> None:
        """Check the map against the definition: column count, types, sizes, and names and signs when it has them.

        Raises UndecodableRow naming table and column; Refused for a character set that is not known.
        """
        self.table = table
        self._reader = RowReader(str(table.id), [column.name for column in table.columns], forms_of(table, table_map))

    def decode(
        self, event_type: int, body: bytes, refused: Refused | None = None
    ) -> list[tuple[Row | None, Row | None]]:
        """Rows of a WRITE, UPDATE or DELETE event as (before, after).

        `body` is the event without header and checksum; MariaDB's compressed forms already expanded. Columns that an
        image does not have are ABSENT. A value without text form raises ValueRefused with `where` table, column and
        row (from 0, in the event), unless `refused` is given: it gets that error and returns the field to put instead.
        Raises UndecodableRow when event and definition do not fit, UnsupportedChange for partial JSON updates.
        """
        extended, before, after = shape_of(event_type, self.table)
        return self._reader.values(body, extended, before, after, refused)

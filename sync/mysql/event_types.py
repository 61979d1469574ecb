"""Types of binlog events: what each number means, which carry data, which may be passed over."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from model.errors import UnknownEvent


class EventType(IntEnum):
    """Every event type of MySQL up to 9.x and MariaDB up to 12.x."""

    UNKNOWN = 0
    START_V3 = 1
    QUERY = 2
    STOP = 3
    ROTATE = 4
    INTVAR = 5
    LOAD = 6
    SLAVE = 7
    CREATE_FILE = 8
    APPEND_BLOCK = 9
    EXEC_LOAD = 10
    DELETE_FILE = 11
    NEW_LOAD = 12
    RAND = 13
    USER_VAR = 14
    FORMAT_DESCRIPTION = 15
    XID = 16
    BEGIN_LOAD_QUERY = 17
    EXECUTE_LOAD_QUERY = 18
    TABLE_MAP = 19
    WRITE_ROWS_V0 = 20
    UPDATE_ROWS_V0 = 21
    DELETE_ROWS_V0 = 22
    WRITE_ROWS_V1 = 23
    UPDATE_ROWS_V1 = 24
    DELETE_ROWS_V1 = 25
    INCIDENT = 26
    HEARTBEAT = 27
    IGNORABLE = 28
    ROWS_QUERY = 29
    WRITE_ROWS_V2 = 30
    UPDATE_ROWS_V2 = 31
    DELETE_ROWS_V2 = 32
    GTID = 33
    ANONYMOUS_GTID = 34
    PREVIOUS_GTIDS = 35
    TRANSACTION_CONTEXT = 36
    VIEW_CHANGE = 37
    XA_PREPARE = 38
    PARTIAL_UPDATE_ROWS = 39
    TRANSACTION_PAYLOAD = 40
    HEARTBEAT_V2 = 41
    GTID_TAGGED = 42
    MARIADB_ANNOTATE_ROWS = 160
    MARIADB_BINLOG_CHECKPOINT = 161
    MARIADB_GTID = 162
    MARIADB_GTID_LIST = 163
    MARIADB_START_ENCRYPTION = 164
    MARIADB_QUERY_COMPRESSED = 165
    MARIADB_WRITE_ROWS_COMPRESSED_V1 = 166
    MARIADB_UPDATE_ROWS_COMPRESSED_V1 = 167
    MARIADB_DELETE_ROWS_COMPRESSED_V1 = 168
    MARIADB_WRITE_ROWS_COMPRESSED = 169
    MARIADB_UPDATE_ROWS_COMPRESSED = 170
    MARIADB_DELETE_ROWS_COMPRESSED = 171
    MARIADB_PARTIAL_ROW_DATA = 172


E = EventType

IGNORABLE: Final = frozenset(
    {
        E.STOP,
        E.PREVIOUS_GTIDS,
        E.TRANSACTION_CONTEXT,
        E.VIEW_CHANGE,
        E.IGNORABLE,
        E.ROWS_QUERY,
        E.MARIADB_ANNOTATE_ROWS,
        E.MARIADB_BINLOG_CHECKPOINT,
        E.MARIADB_GTID_LIST,
        E.MARIADB_START_ENCRYPTION,
    }
)
"""Event types that carry no change of data. This is the one list of what may be passed over."""

CONTROL: Final = frozenset({E.FORMAT_DESCRIPTION, E.ROTATE, E.HEARTBEAT, E.HEARTBEAT_V2})
"""Event types that steer the stream itself."""

WRITE_ROWS: Final = frozenset({E.WRITE_ROWS_V1, E.WRITE_ROWS_V2})
UPDATE_ROWS: Final = frozenset({E.UPDATE_ROWS_V1, E.UPDATE_ROWS_V2, E.PARTIAL_UPDATE_ROWS})
DELETE_ROWS: Final = frozenset({E.DELETE_ROWS_V1, E.DELETE_ROWS_V2})
ROWS: Final = WRITE_ROWS | UPDATE_ROWS | DELETE_ROWS
"""Row events as `RelayTransaction.events()` hands them out (MariaDB's compressed ones are expanded to these)."""

MARIADB_COMPRESSED: Final = {
    E.MARIADB_QUERY_COMPRESSED: E.QUERY,
    E.MARIADB_WRITE_ROWS_COMPRESSED_V1: E.WRITE_ROWS_V1,
    E.MARIADB_UPDATE_ROWS_COMPRESSED_V1: E.UPDATE_ROWS_V1,
    E.MARIADB_DELETE_ROWS_COMPRESSED_V1: E.DELETE_ROWS_V1,
    E.MARIADB_WRITE_ROWS_COMPRESSED: E.WRITE_ROWS_V2,
    E.MARIADB_UPDATE_ROWS_COMPRESSED: E.UPDATE_ROWS_V2,
    E.MARIADB_DELETE_ROWS_COMPRESSED: E.DELETE_ROWS_V2,
}
"""MariaDB's compressed events and what they are once expanded."""

TRANSACTIONAL: Final = (
    ROWS
    | frozenset(MARIADB_COMPRESSED)
    | {
        E.QUERY,
        E.XID,
        E.XA_PREPARE,
        E.TABLE_MAP,
        E.GTID,
        E.ANONYMOUS_GTID,
        E.GTID_TAGGED,
        E.MARIADB_GTID,
        E.TRANSACTION_PAYLOAD,
        E.INTVAR,
        E.RAND,
        E.USER_VAR,
        E.BEGIN_LOAD_QUERY,
        E.APPEND_BLOCK,
        E.DELETE_FILE,
        E.EXECUTE_LOAD_QUERY,
    }
)
"""Event types that make up transactions and are kept in the relay."""

_KNOWN: Final = TRANSACTIONAL | IGNORABLE | CONTROL | {E.INCIDENT}


def event_name(number: int) -> str:
    """`WRITE_ROWS_V2 (30)`, or `type 200` for a number that is not known."""
    try:
        return f"{EventType(number).name} ({number})"
    except ValueError:
        return f"type {number}"


def require_known(number: int, position: object) -> None:
    """Raise UnknownEvent for an event that crossfade cannot read, naming it and where it stands."""
    if number not in _KNOWN:
        raise UnknownEvent(
            f"the binlog holds an event that crossfade cannot read: {event_name(number)}",
            hint="Nothing after it was taken. Switch off what makes the source write it, then copy anew.",
            position=position,
        )

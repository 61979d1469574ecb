"""Decoder of PostgreSQL's logical replication messages (plugin pgoutput, protocol version 1, text values). No I/O.

Format: PostgreSQL manual, "Logical Replication Message Formats". Version 1 sends whole committed transactions only, in
commit order. A message that is not known, too short or too long stops the stream by name; nothing is skipped.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

from model.errors import CrossfadeError

Lsn: TypeAlias = int
"""A position in PostgreSQL's write-ahead log, as a number."""


class _Unchanged(Enum):
    UNCHANGED = "unchanged"

    def __repr__(self) -> str:
        return "UNCHANGED"


UNCHANGED: Final = _Unchanged.UNCHANGED
"""A value stored out of line (TOAST) that an UPDATE did not touch; it is not sent, the old row has it."""

Value: TypeAlias = bytes | _Unchanged | None
Values: TypeAlias = tuple[Value, ...]

EPOCH_2000: Final = 946_684_800
"""Epoch seconds of 2000-01-01, where PostgreSQL's timestamps begin."""


class MalformedMessage(CrossfadeError):
    """A logical replication message cannot be read."""


def lsn_text(lsn: Lsn) -> str:
    """A position as PostgreSQL writes it: `16/B374D848`."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def parse_lsn(text: str) -> Lsn:
    """A position from PostgreSQL's spelling. Raises ValueError."""
    high, slash, low = text.partition("/")
    if not slash:
        raise ValueError(f"not a WAL position: {text!r}")
    return int(high, 16) << 32 | int(low, 16)


@dataclass(frozen=True, slots=True)
class Begin:
    """A transaction starts; `commit_lsn` is where its commit record begins."""

    commit_lsn: Lsn
    commit_time: float
    """Epoch seconds."""
    xid: int


@dataclass(frozen=True, slots=True)
class Commit:
    """The transaction ends; `end_lsn` is the position after it: streaming from there does not send it again."""

    commit_lsn: Lsn
    end_lsn: Lsn
    commit_time: float


@dataclass(frozen=True, slots=True)
class Origin:
    """The transaction came from elsewhere by a replication origin."""

    lsn: Lsn
    name: str


@dataclass(frozen=True, slots=True)
class RelationColumn:
    """A column of a published table as it is now."""

    name: str
    type_oid: int
    modifier: int
    key: bool
    """Whether it belongs to the replica identity."""


@dataclass(frozen=True, slots=True)
class Relation:
    """A table's shape; sent before its first row and after every change of it."""

    oid: int
    schema: str
    table: str
    identity: str
    """Replica identity: d(efault), n(othing), f(ull), i(ndex)."""
    columns: tuple[RelationColumn, ...]


@dataclass(frozen=True, slots=True)
class Type:
    """A data type that is not built in."""

    oid: int
    schema: str
    name: str


@dataclass(frozen=True, slots=True)
class Insert:
    """A new row, one value per column of the relation."""

    relation: int
    new: Values


@dataclass(frozen=True, slots=True)
class Update:
    """A changed row. `old` is whole with REPLICA IDENTITY FULL (`whole`), else the old key, or None when it stayed."""

    relation: int
    old: Values | None
    whole: bool
    new: Values


@dataclass(frozen=True, slots=True)
class Delete:
    """A removed row: whole with REPLICA IDENTITY FULL (`whole`), else only its key."""

    relation: int
    old: Values
    whole: bool


@dataclass(frozen=True, slots=True)
class Truncate:
    """Tables emptied by one TRUNCATE."""

    relations: tuple[int, ...]
    cascade: bool
    restart_identity: bool


@dataclass(frozen=True, slots=True)
class LogicalMessage:
    """What `pg_logical_emit_message` wrote."""

    transactional: bool
    lsn: Lsn
    prefix: str
    content: bytes


Message: TypeAlias = Begin | Commit | Origin | Relation | Type | Insert | Update | Delete | Truncate | LogicalMessage

_LONG = struct.Struct(">I").unpack_from
_BEGIN = struct.Struct(">QqI").unpack_from
_COMMIT = struct.Struct(">BQQq").unpack_from
_COLUMN = struct.Struct(">Ii").unpack_from


def decode(data: bytes) -> Message:
    """One message. Raises MalformedMessage."""
    try:
        reader = _READERS.get(data[:1])
        if reader is None:
            raise MalformedMessage(
                f"PostgreSQL sent a logical replication message of an unknown kind: {data[:1]!r}",
                hint="The slot was opened with other options, or the server is newer than this program.",
            )
        message, end = reader(data)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise MalformedMessage(f"a logical replication message of kind {data[:1]!r} is cut off") from error
    if end != len(data):
        raise MalformedMessage(
            f"a logical replication message of kind {data[:1]!r} has {len(data) - end} bytes too many or too few"
        )
    return message


def _seconds(micros: int) -> float:
    return EPOCH_2000 + micros / 1_000_000


def _string(data: bytes, at: int) -> tuple[str, int]:
    end = data.find(b"\0", at)
    if end < 0:
        raise IndexError
    return data[at:end].decode(), end + 1


def _values(data: bytes, at: int) -> tuple[Values, int]:
    """A tuple: column count, then per column `n`(ull), `u`(nchanged) or `t`(ext) with a length."""
    count = data[at] << 8 | data[at + 1]
    at += 2
    found: list[Value] = []
    add = found.append
    for _ in range(count):
        kind = data[at]
        if kind == 0x74:  # t
            (size,) = _LONG(data, at + 1)
            at += 5
            end = at + size
            if end > len(data):
                raise IndexError
            add(data[at:end])
            at = end
        elif kind == 0x6E:  # n
            add(None)
            at += 1
        elif kind == 0x75:  # u
            add(UNCHANGED)
            at += 1
        else:
            raise MalformedMessage(f"a column of a row has the unknown kind {data[at : at + 1]!r}")
    return tuple(found), at


def _begin(data: bytes) -> tuple[Message, int]:
    lsn, micros, xid = _BEGIN(data, 1)
    return Begin(lsn, _seconds(micros), xid), 21


def _commit(data: bytes) -> tuple[Message, int]:
    _, lsn, end, micros = _COMMIT(data, 1)
    return Commit(lsn, end, _seconds(micros)), 26


def _origin(data: bytes) -> tuple[Message, int]:
    name, end = _string(data, 9)
    return Origin(int.from_bytes(data[1:9], "big"), name), end


def _relation(data: bytes) -> tuple[Message, int]:
    (oid,) = _LONG(data, 1)
    schema, at = _string(data, 5)
    table, at = _string(data, at)
    identity = chr(data[at])
    count = data[at + 1] << 8 | data[at + 2]
    at += 3
    columns = []
    for _ in range(count):
        flags = data[at]
        name, at = _string(data, at + 1)
        kind, modifier = _COLUMN(data, at)
        columns.append(RelationColumn(name, kind, modifier, bool(flags & 1)))
        at += 8
    return Relation(oid, schema or "pg_catalog", table, identity, tuple(columns)), at


def _type(data: bytes) -> tuple[Message, int]:
    (oid,) = _LONG(data, 1)
    schema, at = _string(data, 5)
    name, at = _string(data, at)
    return Type(oid, schema or "pg_catalog", name), at


def _insert(data: bytes) -> tuple[Message, int]:
    _expect(data, 5, b"N")
    new, end = _values(data, 6)
    return Insert(_LONG(data, 1)[0], new), end


def _update(data: bytes) -> tuple[Message, int]:
    at = 5
    kind = data[at : at + 1]
    old: Values | None = None
    if kind in (b"O", b"K"):
        old, at = _values(data, at + 1)
    _expect(data, at, b"N")
    new, end = _values(data, at + 1)
    return Update(_LONG(data, 1)[0], old, kind == b"O", new), end


def _delete(data: bytes) -> tuple[Message, int]:
    kind = data[5:6]
    if kind not in (b"O", b"K"):
        raise MalformedMessage(f"a deleted row has the unknown kind {kind!r}")
    old, end = _values(data, 6)
    return Delete(_LONG(data, 1)[0], old, kind == b"O"), end


def _truncate(data: bytes) -> tuple[Message, int]:
    (count,) = _LONG(data, 1)
    flags = data[5]
    end = 6 + 4 * count
    if end > len(data):
        raise IndexError
    oids = struct.unpack_from(f">{count}I", data, 6)
    return Truncate(tuple(oids), bool(flags & 1), bool(flags & 2)), end


def _message(data: bytes) -> tuple[Message, int]:
    lsn = int.from_bytes(data[2:10], "big")
    prefix, at = _string(data, 10)
    (size,) = _LONG(data, at)
    at += 4
    if at + size > len(data):
        raise IndexError
    return LogicalMessage(bool(data[1] & 1), lsn, prefix, data[at : at + size]), at + size


def _expect(data: bytes, at: int, mark: bytes) -> None:
    if data[at : at + 1] != mark:
        raise MalformedMessage(f"{mark!r} expected in a logical replication message, found {data[at : at + 1]!r}")


_READERS = {
    b"B": _begin,
    b"C": _commit,
    b"O": _origin,
    b"R": _relation,
    b"Y": _type,
    b"I": _insert,
    b"U": _update,
    b"D": _delete,
    b"T": _truncate,
    b"M": _message,
}

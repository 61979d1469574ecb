"""Binlog events parsed from hand-made bytes."""

from __future__ import annotations

import struct
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from model.errors import CorruptEvent, UnknownEvent
from sync.mysql.event_types import IGNORABLE, TRANSACTIONAL, EventType, require_known
from sync.mysql.events import (
    ChecksumAlgorithm,
    EventHeader,
    checksum_matches,
    parse_format_description,
    parse_gtid,
    parse_gtid_list,
    parse_header,
    parse_heartbeat,
    parse_incident,
    parse_previous_gtids,
    parse_query,
    parse_rotate,
    parse_rows_header,
    parse_table_map,
    parse_xa_prepare,
)
from sync.mysql.payload import expand_mariadb, expand_payload
from sync.mysql.wire import Cursor
from tests.unit.sync.binlog_bytes import SERVER_UUID, event, format_description, gtid, query, xid


def test_header_and_checksum() -> None:
    raw = xid(log_pos=4711)
    assert parse_header(raw) == EventHeader(1_700_000_000, EventType.XID, 1, len(raw), 4711, 0)
    assert checksum_matches(raw)
    assert not checksum_matches(raw[:-1] + bytes([raw[-1] ^ 1]))
    with pytest.raises(CorruptEvent):
        parse_header(raw[:18])


@pytest.mark.parametrize(
    ("version", "crc", "checksum", "mariadb"),
    [
        (b"8.0.36", True, ChecksumAlgorithm.CRC32, False),
        (b"5.6.24-log", False, ChecksumAlgorithm.NONE, False),
        (b"10.11.19-MariaDB", True, ChecksumAlgorithm.CRC32, True),
    ],
)
def test_format_description(version: bytes, crc: bool, checksum: ChecksumAlgorithm, mariadb: bool) -> None:
    described = parse_format_description(format_description(crc=crc, version=version)[19:])
    assert (described.checksum, described.mariadb, len(described.post_header_lengths)) == (checksum, mariadb, 40)


def test_format_description_of_servers_without_checksums() -> None:
    body = format_description(version=b"5.5.62")[19:-5]
    assert parse_format_description(body).checksum is ChecksumAlgorithm.NONE
    with pytest.raises(UnknownEvent):
        parse_format_description(format_description()[19:-5] + b"\x07\0\0\0\0")


def test_rotate_and_heartbeats() -> None:
    assert parse_rotate(struct.pack("<Q", 1 << 33) + b"bin.000007").offset == 1 << 33
    assert parse_heartbeat(EventType.HEARTBEAT, b"bin.000007").file == "bin.000007"
    body = b"\x01\x0abin.000007" + b"\x02\x09\xfe" + (5 << 32).to_bytes(8, "little") + b"\0"
    heartbeat = parse_heartbeat(EventType.HEARTBEAT_V2, body)
    assert (heartbeat.file, heartbeat.offset) == ("bin.000007", 5 << 32)


def test_gtids_of_each_server() -> None:
    found = parse_gtid(EventType.GTID, 1, gtid(23)[19:-4])
    assert (found.gtid, found.commit_time_us) == (f"{SERVER_UUID}:23", 1_700_000_000_123_456)
    old = struct.pack("<B16sq", 0, SERVER_UUID.bytes, 23)
    assert parse_gtid(EventType.GTID, 1, old).commit_time_us is None
    assert parse_gtid(EventType.ANONYMOUS_GTID, 1, old).gtid == ""
    mariadb = parse_gtid(EventType.MARIADB_GTID, 9, struct.pack("<QIBQ", 77, 3, 1 | 2 | 32, 4242))
    assert (mariadb.gtid, mariadb.standalone, mariadb.ddl, mariadb.commit_id) == ("3-9-77", True, True, 4242)
    assert parse_gtid_list(struct.pack("<IIIQ", 1, 3, 9, 77)) == ("3-9-77",)


def test_previous_gtids_with_and_without_tags() -> None:
    intervals = struct.pack("<QQQQQ", 2, 1, 6, 8, 9)
    plain = struct.pack("<Q", 1) + SERVER_UUID.bytes + intervals
    assert parse_previous_gtids(plain) == f"{SERVER_UUID}:1-5:8"
    tagged = struct.pack("<Q", 1 << 56 | 1 << 8 | 1) + SERVER_UUID.bytes + b"\x08blue" + intervals
    assert parse_previous_gtids(tagged) == f"{SERVER_UUID}:blue:1-5:8"


def test_query_knows_its_character_set_and_mode() -> None:
    status = (
        b"\0\0\0\0\0" + b"\x01" + (4).to_bytes(8, "little") + b"\x06\x03std" + b"\x04" + struct.pack("<HHH", 8, 8, 8)
    )
    body = query("", status=status)[19:-4] + "SELECT 'é'".encode("latin-1")
    found = parse_query(body)
    assert (found.text, found.schema, found.sql_mode, found.client_collation) == ("SELECT 'é'", "shop", 4, 8)
    assert parse_query(query("CREATE TABLE ü")[19:-4]).text == "CREATE TABLE ü"


def test_incident_and_xa_prepare() -> None:
    assert parse_incident(b"\x01\0\x04lost") == "lost"
    found = parse_xa_prepare(struct.pack("<BIII", 0, 1, 2, 1) + b"abc")
    assert (found.one_phase, found.gtrid, found.bqual) == (False, b"ab", b"c")


def test_every_type_is_known_ignorable_or_refused() -> None:
    refused = set()
    for number in range(256):
        try:
            require_known(number, "bin.000001:4")
        except UnknownEvent as error:
            refused.add(number)
            assert error.where["position"] == "bin.000001:4"
    assert not refused & (TRANSACTIONAL | IGNORABLE)
    assert {0, 172, 43, 200} <= refused
    assert len(refused) > 200
    with pytest.raises(UnknownEvent, match="MARIADB_PARTIAL_ROW_DATA"):
        require_known(172, None)


def table_map_body(optional: bytes = b"") -> bytes:
    """`shop.t (a INT, b VARCHAR(20), e ENUM, d DECIMAL(5,2))`, b nullable."""
    head = (77).to_bytes(6, "little") + b"\x01\0" + b"\x04shop\0" + b"\x01t\0"
    return (
        head + b"\x04" + bytes([3, 15, 254, 246]) + b"\x06" + b"\x14\0" + b"\xf7\x01" + b"\x05\x02" + b"\x02" + optional
    )


def test_table_map_without_and_with_optional_metadata() -> None:
    table = parse_table_map(table_map_body())
    assert (table.table_id, table.schema, table.table) == (77, "shop", "t")
    assert table.types == bytes([3, 15, 254, 246]) and table.real_types == bytes([3, 15, 247, 246])
    assert table.metadata == (0, 20, 0x01F7, 0x0205)
    assert [table.is_nullable(i) for i in range(4)] == [False, True, False, False]
    assert table.optional.names is None
    fields = (
        b"\x01\x01\x80"  # signedness: a is unsigned, d is not
        b"\x02\x01\x08"  # default collation 8
        b"\x04\x08\x01a\x01b\x01e\x01d"
        b"\x06\x05\x02\x01p\x01q"  # labels of e
        b"\x0a\x01\x21"
        b"\x08\x01\x00"
        b"\xc8\x02zz"  # a field of tomorrow
    )
    optional = parse_table_map(table_map_body(fields)).optional
    assert optional.unsigned == (True, False, False, False)
    assert optional.collations == (0, 8, 0, 0) and optional.label_collations == (0, 0, 33, 0)
    assert optional.names == ("a", "b", "e", "d")
    assert optional.labels == ((), (), (b"p", b"q"), ())
    assert optional.primary_key == ((0, 0),)
    assert optional.unknown == (200,)


@given(st.integers(0, len(table_map_body()) - 1))
def test_cut_table_map_is_corrupt_not_a_crash(length: int) -> None:
    with pytest.raises(CorruptEvent):
        parse_table_map(table_map_body()[:length])


def test_rows_headers() -> None:
    first = (77).to_bytes(6, "little") + b"\x01\0"
    write = parse_rows_header(EventType.WRITE_ROWS_V1, first + b"\x03\x07rows")
    assert (write.table_id, write.column_count, write.present_before, write.present_after) == (77, 3, None, b"\x07")
    assert write.statement_end and write.rows_offset == 10
    update = parse_rows_header(EventType.UPDATE_ROWS_V2, first + b"\x05\0abc" + b"\x09\xff\x01\x03\x00rows")
    assert (update.present_before, update.present_after, update.rows_offset) == (b"\xff\x01", b"\x03\x00", 18)
    delete = parse_rows_header(EventType.DELETE_ROWS_V2, first + b"\x02\0" + b"\x03\x05")
    assert (delete.present_before, delete.present_after) == (b"\x05", None)
    with pytest.raises(UnknownEvent):
        parse_rows_header(EventType.WRITE_ROWS_V0, first)


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_varlen_integers(value: int) -> None:
    """Against an encoder written from the library's description: n trailing ones, a zero, then the value."""
    unsigned = value << 1 if value >= 0 else (-(value + 1)) << 1 | 1
    size = next((n for n in range(1, 9) if unsigned < 1 << 7 * n), 9)
    if size == 9:
        encoded = b"\xff" + unsigned.to_bytes(8, "little")
    else:
        encoded = (unsigned << size | (1 << size - 1) - 1).to_bytes(size, "little")
    cursor = Cursor(encoded)
    assert cursor.varlen_signed() == value and cursor.remaining() == 0


def _payload(plain: bytes, cuts: int) -> list[bytes]:
    packed = zstandard.ZstdCompressor().compress(plain)
    size = b"\xfe" + len(packed).to_bytes(8, "little")
    body = b"\x02\x01\x00" + b"\x01\x09" + size + b"\0" + packed + b"\xde\xad\xbe\xef"
    step = max(40, len(body) // cuts)
    return [body[i : i + step] for i in range(0, len(body), step)]


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=20), st.integers(1, 9))
def test_payload_is_expanded_whatever_its_pieces(bodies: list[bytes], cuts: int) -> None:
    plain = b"".join(event(EventType.TABLE_MAP, body, crc=False) for body in bodies)
    first, *rest = _payload(plain, cuts)
    assert [body for _, body in expand_payload(first, iter(rest))] == bodies


def test_damaged_payload_is_corrupt() -> None:
    first, *rest = _payload(xid(crc=False) * 50, 1)
    with pytest.raises(CorruptEvent):
        list(expand_payload(first[:-12], iter(rest)))
    with pytest.raises(CorruptEvent):
        list(expand_payload(first[:20] + bytes([first[20] ^ 255]) + first[21:], iter(rest)))


def test_mariadb_compressed_rows_and_query() -> None:
    rows = b"r" * 300
    packed = b"\x82\x01\x2c" + zlib.compress(rows)
    head = (77).to_bytes(6, "little") + b"\x01\0" + b"\x03\x07"
    header = parse_header(event(EventType.MARIADB_WRITE_ROWS_COMPRESSED_V1, head + packed))
    plain_header, body = expand_mariadb(header, head + packed)
    assert (plain_header.type, body) == (EventType.WRITE_ROWS_V1, head + rows)
    text = b"CREATE TABLE t (a INT)"
    prefix = query("", status=b"\x07\0\0")[19:-4]
    compressed = prefix + b"\x81" + bytes([len(text)]) + zlib.compress(text)
    header = parse_header(event(EventType.MARIADB_QUERY_COMPRESSED, compressed))
    plain_header, body = expand_mariadb(header, compressed)
    assert parse_query(body).text == text.decode()
    with pytest.raises(CorruptEvent):
        expand_mariadb(header, compressed[:-8] + bytes(8))

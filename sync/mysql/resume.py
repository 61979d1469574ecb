"""Before a dump: by what to resume, whether the source still has it, and which GTIDs stand before a file and offset.

Asks the source; changes nothing anywhere.
"""

from __future__ import annotations

import threading
from typing import Any

import structlog

from config.settings import SourceSettings
from model.errors import AccessDenied, PositionPurged, Refused, SourceError, Unreachable
from model.gtid import GtidSet
from model.position import BinlogCoordinate, Position
from stores.errors import translated
from stores.mysql import MysqlConnection, ServerInfo, executed_gtids, lists_replicas
from sync.mysql.dump import FILE_START, DumpMode, DumpStart, ServerIdClash, open_dump
from sync.mysql.event_types import TRANSACTIONAL, EventType
from sync.mysql.events import parse_previous_gtids
from sync.mysql.stream import EventStream
from sync.mysql.transactions import GTID_EVENTS, Boundary, TransactionTracker

log = structlog.get_logger(__name__)


def choose_mode(source: SourceSettings, info: ServerInfo, position: Position, *, gtids_known: bool) -> DumpMode:
    """By GTID when both sides can, unless the settings say otherwise. Raises Refused for `gtid` without GTIDs."""
    possible = info.gtids and gtids_known and bool(position.gtids)
    if source.position == "gtid" and not possible:
        raise Refused(
            "source.position is gtid, but the source or the position has no GTIDs",
            hint="Set gtid_mode=ON on the source, or source.position: auto",
            position=position,
        )
    return DumpMode.GTID if possible and source.position != "file" else DumpMode.FILE


def check_available(
    connection: MysqlConnection[Any],
    info: ServerInfo,
    mode: DumpMode,
    position: Position,
    *,
    same_server: bool,
) -> None:
    """Raise PositionPurged when the source's binlog no longer reaches back to the position, SourceError when the
    source's history is another one. MariaDB judges GTID positions itself, when the dump begins."""
    if mode is DumpMode.FILE:
        _check_file(connection, position.coordinate)
    elif not info.mariadb:
        _check_gtids(connection, info, position, wait=same_server)


def _check_file(connection: MysqlConnection[Any], coordinate: BinlogCoordinate) -> None:
    try:
        with translated("source"), connection.cursor() as cursor:
            cursor.execute("SHOW BINARY LOGS")
            sizes = {str(row[0]): int(row[1]) for row in cursor.fetchall()}
    except AccessDenied as error:
        log.warning("reader.binlogs_not_listed", error=str(error))
        return
    size = sizes.get(coordinate.file)
    if size is None:
        raise PositionPurged(
            "the source no longer has the binlog file that we must continue from",
            needed=coordinate,
            oldest=next(iter(sizes), "none"),
        )
    if size < coordinate.offset:
        raise SourceError(
            "the source's binlog file is shorter than our position in it: it has been reset or is another server's",
            hint="Point `source` at the right server, or copy anew: crossfade start --fresh",
            needed=coordinate,
            size=size,
        )


def _check_gtids(connection: MysqlConnection[Any], info: ServerInfo, position: Position, *, wait: bool) -> None:
    ours = GtidSet.parse(position.gtids)
    executed = GtidSet.parse(executed_gtids(connection, info))
    with translated("source"), connection.cursor() as cursor:
        cursor.execute("SELECT @@GLOBAL.gtid_purged")
        row = cursor.fetchone()
    purged = GtidSet.parse(str(row[0]) if row else "")
    if not purged.issubset(ours):
        raise PositionPurged(
            "the source has purged transactions that we have not read", missing=purged.minus(ours), position=position
        )
    if ours.issubset(executed):
        return
    extra = ours.minus(executed)
    if wait:
        # What was flushed to the binlog and sent to us may not be committed on the source yet.
        raise Unreachable("the source has not committed transactions yet that it has sent us", waiting_for=extra)
    raise SourceError(
        "the source's history is not the one we followed: it lacks transactions that we have read",
        hint="Point `source` at a server that has them, or copy anew: crossfade start --fresh",
        missing_there=extra,
    )


def check_server_id(connection: MysqlConnection[Any], info: ServerInfo, ended_s: float) -> None:
    """Raise ServerIdClash when somebody began to read the binlog as the source ended our stream, `ended_s` seconds ago.

    For MySQL 5.6, which does not say why it ended a stream (newer servers do) and must not be asked for its replicas.
    Several who came at once are replicas that were all disconnected; behind a restart nobody is suspected.
    """
    if lists_replicas(info):
        return
    since = int(ended_s) + 1
    with translated("source"), connection.cursor() as cursor:
        cursor.execute(
            "SELECT COUNT(*), (SELECT variable_value FROM information_schema.global_status"
            " WHERE variable_name = 'UPTIME') FROM information_schema.processlist"
            " WHERE command LIKE 'Binlog Dump%%' AND time <= %s",
            (since,),
        )
        ((came, uptime_s),) = cursor.fetchall()
    if int(came) == 1 and int(uptime_s) > since:
        raise ServerIdClash("the source ended our stream and serves another replica since, with our server id it seems")


def gtids_at(
    source: SourceSettings,
    connection: MysqlConnection[Any],
    info: ServerInfo,
    coordinate: BinlogCoordinate,
    server_id: int,
    stop: threading.Event,
) -> str:
    """The GTIDs executed before a file and offset: MariaDB is asked; MySQL's file is read from its start.

    Raises PositionPurged when the file is gone, SourceError when the offset is not between transactions.
    """
    _check_file(connection, coordinate)
    if info.mariadb:
        with translated("source"), connection.cursor() as cursor:
            cursor.execute("SELECT BINLOG_GTID_POS(%s, %s)", (coordinate.file, coordinate.offset))
            row = cursor.fetchone()
        if not row or row[0] is None:
            raise SourceError("the source does not know the GTID position of the start", position=coordinate)
        return str(row[0])
    start = DumpStart(DumpMode.FILE, BinlogCoordinate(coordinate.file, FILE_START), blocking=False)
    dump = open_dump(source, info, start, server_id, stop)
    try:
        stream = EventStream(dump.packets, start.coordinate, f"source {source.host}:{source.port}")
        found, tracker = GtidSet(), TransactionTracker()
        while stream.offset < coordinate.offset and (event := stream.next_event()) is not None:
            header, raw = event
            for piece in stream.pieces(header):
                if header.type == EventType.PREVIOUS_GTIDS and piece is not None:
                    raw += piece
            if header.type == EventType.PREVIOUS_GTIDS:
                found = GtidSet.parse(parse_previous_gtids(stream.body(raw)))
            elif header.type in TRANSACTIONAL:
                if tracker.feed(header, stream.body(raw)) is not Boundary.INSIDE:
                    tracker.reset()
                elif header.type in GTID_EVENTS and tracker.gtid and tracker.gtid.gtid:
                    found = found.add(tracker.gtid.gtid)
        if (stream.offset != coordinate.offset or tracker.open) and not stop.is_set():
            raise SourceError(
                "the start position is not between two transactions of the source's binlog",
                hint="Take the position from the source itself, or copy anew: crossfade start --fresh",
                position=coordinate,
            )
        return str(found)
    finally:
        dump.close()

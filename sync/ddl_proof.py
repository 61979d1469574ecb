"""The definition that a table has right after a statement of the binlog, read from the source's catalogue of now.

The catalogue is ahead of the stream, so what it says counts only when nothing that is on its way to us changes the
table once more: the relay is read up to where the source was after the catalogue was.
"""

from __future__ import annotations

import threading
import time
from contextlib import closing
from typing import Final

from config.settings import SourceSettings
from model.position import BinlogCoordinate
from model.tables import TableDef, TableId
from stores.mysql import ServerInfo, binlog_end, connect_source
from sync.applier_ports import Relay
from sync.ddl_policy import Meaning, judge
from sync.mysql.catalog import read_tables
from sync.mysql.event_types import EventType
from sync.mysql.events import parse_query

_WAIT_S: Final = 15.0
"""How long the relay may take to come to where the source is."""


def definition_after(
    settings: SourceSettings, info: ServerInfo, relay: Relay, table: TableId, seq: int, stop: threading.Event
) -> TableDef | None:
    """The definition of `table` after transaction `seq`; None when a later statement has changed it again.

    Raises Unreachable or AccessDenied when the source cannot be asked.
    """
    with closing(connect_source(settings)) as connection:
        found = read_tables(connection, info, [table]).get(table)
        end = binlog_end(connection, info).coordinate
    if found is None or not _arrives(relay, end, stop):
        return None
    return None if _changes_again(relay, table, seq, end) else found


def _arrives(relay: Relay, end: BinlogCoordinate, stop: threading.Event) -> bool:
    deadline = time.monotonic() + _WAIT_S
    while time.monotonic() < deadline and not stop.is_set():
        tail = relay.tail
        if tail is not None and tail.position.coordinate >= end:
            return True
        relay.wait(tail.seq if tail is not None else 0, 0.1)
    return False


def _changes_again(relay: Relay, table: TableId, seq: int, end: BinlogCoordinate) -> bool:
    name = table.name.lower()
    for transaction in relay.transactions(seq):
        for header, body in transaction.events():
            if header.type != EventType.QUERY:
                continue
            query = parse_query(body)
            if name in query.text.lower():
                judgement = judge(query.text, query.schema, [table], sql_mode=query.sql_mode)
                if judgement.meaning is Meaning.DDL or judgement.alters:
                    return True
        if transaction.coordinate >= end:
            return False
    return False

"""The definition that a table has right after a statement of the binlog, read from the source's catalogue of now.

The catalogue is ahead of the stream: the relay is read up to where the source was after the catalogue was, and what
changes the table once more on the way there is taken back (`ddl_between`).
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
from sync.changes import SchemaChange
from sync.ddl_alter import Alteration, read_alteration
from sync.ddl_between import definition_between
from sync.ddl_policy import Meaning, judge
from sync.ddl_statement import Act, read_statement
from sync.mysql.catalog import read_tables
from sync.mysql.event_types import EventType
from sync.mysql.events import parse_query

_WAIT_S: Final = 15.0
"""How long the relay may take to come to where the source is."""


def definition_after(
    settings: SourceSettings,
    info: ServerInfo,
    relay: Relay,
    before: TableDef,
    change: SchemaChange,
    seq: int,
    stop: threading.Event,
) -> TableDef | None:
    """The definition of a table after `change`, which is transaction `seq` and found it as `before`.

    None when later statements have changed it again in a way that hides what it was in between. Raises Unreachable or
    AccessDenied when the source cannot be asked.
    """
    table = before.id
    with closing(connect_source(settings)) as connection:
        found = read_tables(connection, info, [table]).get(table)
        end = binlog_end(connection, info).coordinate
    if found is None or not _arrives(relay, end, stop):
        return None
    later = _later(relay, table, seq, end)
    if later == []:
        return found
    first = _alteration(change.statement, change.schema, table, change.sql_mode)
    return definition_between(before, found, first, later) if first is not None and later is not None else None


def _arrives(relay: Relay, end: BinlogCoordinate, stop: threading.Event) -> bool:
    deadline = time.monotonic() + _WAIT_S
    while time.monotonic() < deadline and not stop.is_set():
        tail = relay.tail
        if tail is not None and tail.position.coordinate >= end:
            return True
        relay.wait(tail.seq if tail is not None else 0, 0.1)
    return False


def _later(relay: Relay, table: TableId, seq: int, end: BinlogCoordinate) -> list[Alteration] | None:
    """What changes the table after transaction `seq`, up to `end`; None when one of these is no ALTER TABLE."""
    name = table.name.lower()
    found: list[Alteration] = []
    for transaction in relay.transactions(seq):
        for header, body in transaction.events():
            if header.type != EventType.QUERY:
                continue
            query = parse_query(body)
            if name not in query.text.lower():
                continue
            judgement = judge(query.text, query.schema, [table], sql_mode=query.sql_mode)
            if judgement.meaning is not Meaning.DDL and not judgement.alters:
                continue
            act = read_statement(query.text, query.schema, table, query.sql_mode).act
            if act in (Act.TRUNCATE, Act.NOTHING):
                continue  # the definition stays
            alteration = _alteration(query.text, query.schema, table, query.sql_mode)
            if alteration is None:
                return None
            found.append(alteration)
        if transaction.coordinate >= end:
            break
    return found


def _alteration(statement: str, schema: str, table: TableId, sql_mode: int | None) -> Alteration | None:
    """The statement as an ALTER TABLE of the table that is wholly understood, else None."""
    if read_statement(statement, schema, table, sql_mode).act is not Act.ALTER:
        return None
    return read_alteration(statement, schema, sql_mode)

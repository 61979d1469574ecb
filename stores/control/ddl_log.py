"""The record of the source's DDL about migrated tables: the statement, what was done in the store, and why.

Rows are written in the transaction that moves the checkpoint over the statement. Decides nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from stores.postgres import PostgresConnection

PASSED: Final = "passed: rows and columns stay as they are, nothing was changed in the store (nor its indexes)"

_SECRET: Final = re.compile(r"\bIDENTIFIED\b.*", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class DdlEntry:
    """A statement of transaction `seq`, what became of it, and the statement that the store ran ("": none)."""

    seq: int
    statement: str
    verdict: str
    store_statement: str = ""


def shown(statement: str) -> str:
    """A statement as it may be kept: without what belongs to accounts, and without what a text column cannot hold."""
    return _SECRET.sub("IDENTIFIED …", statement).replace("\0", "").encode("utf-8", "replace").decode()


def append(connection: PostgresConnection, stream: str, entry: DdlEntry) -> None:
    """Write an entry; one that is there already stays (a replay meets statements again)."""
    connection.execute(
        "INSERT INTO crossfade.ddl_log (stream, seq, source_statement, store_statement, verdict) "
        "SELECT new.* FROM (VALUES (%(stream)s, %(seq)s::bigint, %(statement)s, %(store)s, %(verdict)s)) "
        "AS new (stream, seq, source_statement, store_statement, verdict) WHERE NOT EXISTS ("
        "SELECT FROM crossfade.ddl_log AS old WHERE (old.stream, old.seq, old.source_statement) "
        "= (new.stream, new.seq, new.source_statement))",
        {
            "stream": stream,
            "seq": entry.seq,
            "statement": shown(entry.statement),
            "store": entry.store_statement,
            "verdict": entry.verdict,
        },
    )


def load(connection: PostgresConnection, stream: str) -> list[DdlEntry]:
    """All entries of a stream in order."""
    rows = connection.execute(
        "SELECT seq, source_statement, verdict, store_statement FROM crossfade.ddl_log WHERE stream = %s ORDER BY id",
        (stream,),
    ).fetchall()
    return [DdlEntry(*row) for row in rows]

"""Where a store left a timeline: by the history that the server keeps of its standbys' promotions.

Only the replication protocol tells it to anybody but superusers. (Format: PostgreSQL manual, "Timelines" and
"Streaming Replication Protocol", TIMELINE_HISTORY.)
"""

from __future__ import annotations

import psycopg
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from stores.errors import translated
from stores.postgres import dsn_label
from sync.postgres.pgoutput import Lsn, parse_lsn


def left_at(dsn: SecretStr, timeline: int, now: int) -> Lsn | None:
    """The end of `timeline` in the history of timeline `now`; None when it is no part of that, or not known any more.

    Raises Unreachable, AccessDenied.
    """
    conninfo = make_conninfo(dsn.get_secret_value(), replication="database", connect_timeout=10)
    with translated(f"store {dsn_label(dsn)}"), psycopg.connect(conninfo, autocommit=True) as connection:
        try:
            row = connection.execute(f"TIMELINE_HISTORY {now:d}".encode()).fetchone()
        except psycopg.errors.UndefinedFile:
            return None
    if row is None:
        return None
    text = row[1]
    return ended(text.decode() if isinstance(text, bytes) else str(text)).get(timeline)


def ended(history: str) -> dict[int, Lsn]:
    """Each timeline that a history file tells of, and where it was left."""
    lines = (line.split() for line in history.splitlines() if line.strip() and not line.startswith("#"))
    return {int(words[0]): parse_lsn(words[1]) for words in lines}

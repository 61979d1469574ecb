"""Clients of the ledger that keep writing through every cutover and rollback, and know what was acknowledged.

Each has rows of its own, follows the routing table, tries a refused write again on whichever side serves by then, and
after a lost answer looks whether its write is there. A write counts as acknowledged when a commit was confirmed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

import psycopg
import pymysql

from stores.control import domains
from tests.support.ledger import DOMAIN, SCHEMA, TABLES, Ledger, Row, Rows
from tests.support.servers import AGAIN_MYSQL

AGAIN_S: Final = 0.005
"""After a refused write, before the next attempt."""
LOST_S: Final = 0.05
"""After a lost connection."""
FOLLOW_S: Final = 0.01
LIVE_ROWS: Final = 60
"""A client's rows a table; beyond these it deletes."""
REFUSED_MYSQL: Final = 1644
REFUSED_POSTGRES: Final = "25006"
AGAIN_POSTGRES: Final = ("40001", "40P01", "55P03")


@dataclass(frozen=True, slots=True)
class Change:
    """A row before and after; None: it is not there."""

    table: str
    token: str
    before: Row | None
    after: Row | None


@dataclass(slots=True)
class Timeline:
    """When attempts began and ended, by time.monotonic(). Appended to by every client, each append atomic."""

    acknowledged: list[tuple[float, float, str]] = field(default_factory=list)
    """(attempt began, confirmed, side)"""
    refused: list[tuple[float, str]] = field(default_factory=list)
    """(told, side)"""
    lost: int = 0
    recovered: int = 0
    """Writes whose answer was lost but which were there."""

    def write_stop_s(self, since: float, to: str) -> float | None:
        """From the first write refused after `since` to the first accepted on side `to`, as clients see it."""
        first = min((told for told, _ in self.refused if told >= since), default=None)
        if first is None:
            return None
        accepted = min((end for began, end, side in self.acknowledged if side == to and began >= first), default=None)
        return None if accepted is None else accepted - first


class Clients:
    """So many clients with so many writes a second together."""

    def __init__(self, ledger: Ledger, *, rate: float, threads: int = 6, seed: int = 1) -> None:
        self.timeline = Timeline()
        self.side = "source"
        self.others: Rows = {}
        """Rows that the test itself has written."""
        self._ledger = ledger
        self._stop = threading.Event()
        self._going = threading.Event()
        self._going.set()
        self._clients = [_Client(f"{seed}c{number}", ledger, self, rate / threads) for number in range(threads)]
        self._threads = [threading.Thread(target=client.run, daemon=True) for client in self._clients]
        self._follower = threading.Thread(target=self._follow, daemon=True)

    @property
    def rows(self) -> Rows:
        """Everything that has been acknowledged; exact while paused."""
        return self.others | {place: row for client in self._clients for place, row in client.rows.items()}

    @contextmanager
    def writing(self) -> Iterator[Clients]:
        """Writes, until the end of the block."""
        self._follower.start()
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._going.set()
            self._stop.set()
            for thread in (*self._threads, self._follower):
                thread.join()
        self.check()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """No write under way, until the end of the block."""
        self._going.clear()
        for client in self._clients:
            assert client.turn.acquire(timeout=60), f"a client's write does not end: {client.doing}"
            client.turn.release()
        self.check()
        try:
            yield
        finally:
            self._going.set()

    def check(self) -> None:
        """Raise what ended a client."""
        for client in self._clients:
            if client.failure is not None:
                raise client.failure

    def assert_both_hold(self, timeout_s: float = 60.0) -> int:
        """Both sides hold exactly what was acknowledged, the follower within `timeout_s`; gives the number of rows."""
        with self.paused():
            wanted = {table: [] for table in TABLES}  # type: dict[str, list[tuple[object, ...]]]
            for (table, token), row in sorted(self.rows.items()):
                wanted[table].append((token, *row))
            deadline = time.monotonic() + timeout_s
            while True:
                found = {"source": self._ledger.source_rows(), "stores": self._ledger.store_rows()}
                wrong = {side: differing(wanted, tables) for side, tables in found.items()}
                assert not wrong[self.side], f"{self.side} serves and differs: {wrong[self.side]}"
                if not any(wrong.values()):
                    break
                assert time.monotonic() < deadline, f"the follower differs: {wrong}"
                time.sleep(0.1)
            assert found["source"]["entry"] == found["stores"]["entry"], "ids differ"
            return sum(map(len, wanted.values()))

    def _follow(self) -> None:
        while not self._stop.is_set():
            try:
                with closing(self._ledger.control.connect()) as connection:
                    while not self._stop.wait(FOLLOW_S):
                        state = domains.read(connection, "ledger", DOMAIN)
                        if state is not None:
                            self.side = state.side
            except psycopg.Error:
                self._stop.wait(LOST_S)

    @property
    def going(self) -> bool:
        """Whether not paused."""
        return self._going.is_set()

    def over(self, seconds: float) -> bool:
        """Wait so long, and while paused; True when it is over."""
        return self._stop.wait(max(0.0, seconds)) or (self._going.wait() and self._stop.is_set())


def differing(wanted: dict[str, list[tuple[object, ...]]], found: dict[str, list[tuple[object, ...]]]) -> list[str]:
    """Rows that are missing, too many or different, at most five a table."""
    told: list[str] = []
    for table, rows in wanted.items():
        there = [row[:3] for row in found[table]]
        if there != rows:
            missing, more = sorted(set(rows) - set(there)), sorted(set(there) - set(rows))
            doubled = len(there) - len(set(there))
            told.append(f"{table}: lacks {missing[:5]}, has {more[:5]}, {doubled} doubled")
    return told


class _Refused(Exception):
    """The gate said no."""


class _Again(Exception):
    """A lock was in the way; nothing happened."""


class _Lost(Exception):
    """No answer: it may have happened."""


class _Client:
    """One thread, its rows and its connections."""

    def __init__(self, name: str, ledger: Ledger, all_of_them: Clients, rate: float) -> None:
        self.rows: Rows = {}
        self.turn = threading.Lock()
        """Held while a write is under way."""
        self.doing: list[Change] = []
        self.failure: BaseException | None = None
        self._name = name
        self._ledger = ledger
        self._all = all_of_them
        self._interval_s = 1 / rate
        self._random = Random(name)
        self._tokens: dict[str, list[str]] = {table: [] for table in TABLES}
        self._number = 0
        self._sessions: dict[str, Any] = {}

    def run(self) -> None:
        due = time.monotonic() + self._random.random() * self._interval_s
        try:
            while not self._all.over(due - time.monotonic()):
                with self.turn:
                    if self._all.going:
                        self.doing = self._changes()
                        self._write(self.doing)
                due = max(due + self._interval_s, time.monotonic() - 1.0)
        except BaseException as error:
            self.failure = error
        finally:
            for session in self._sessions.values():
                session.close()

    # -- what to write

    def _changes(self) -> list[Change]:
        """One transaction: mostly one row of one table, sometimes an account and an entry together."""
        chosen = self._random.random()
        if chosen < 0.15:
            return [self._change("account"), self._change("entry")]
        return [self._change(self._random.choice(TABLES))]

    def _change(self, table: str) -> Change:
        tokens = self._tokens[table]
        kind = self._random.random()
        self._number += 1
        if not tokens or (kind < 0.4 and len(tokens) < LIVE_ROWS):
            token = f"{self._name}-{self._number:07d}"
            tokens.append(token)
            return Change(table, token, None, (0, f"né – {self._number}"))
        place = self._random.randrange(len(tokens))
        before = self.rows[table, tokens[place]]
        if kind < 0.75:
            return Change(table, tokens[place], before, (before[0] + 1, f"{self._number}"))
        tokens[place], tokens[-1] = tokens[-1], tokens[place]
        return Change(table, tokens.pop(), before, None)

    # -- writing it

    def _write(self, changes: list[Change]) -> None:
        timeline = self._all.timeline
        in_doubt = False
        while True:
            side = self._all.side
            began = time.monotonic()
            try:
                session = self._session(side, changes[0].table)
                if in_doubt and self._is_there(session, changes):
                    timeline.recovered += 1
                else:
                    in_doubt = False
                    session.write(changes)
                break
            except _Refused:
                timeline.refused.append((time.monotonic(), side))
                time.sleep(AGAIN_S)
            except _Again:
                time.sleep(AGAIN_S)
            except _Lost:
                timeline.lost += 1
                in_doubt = True
                self._forget(side)
                time.sleep(LOST_S)
        timeline.acknowledged.append((began, time.monotonic(), side))
        for change in changes:
            if change.after is None:
                del self.rows[change.table, change.token]
            else:
                self.rows[change.table, change.token] = change.after

    def _is_there(self, session: Any, changes: list[Change]) -> bool:
        there = [session.read(change.table, change.token) for change in changes]
        if there == [change.after for change in changes]:
            return True
        assert there == [change.before for change in changes], f"{changes}: found {there}"
        return False

    def _session(self, side: str, table: str) -> Any:
        where = "source" if side == "source" else self._ledger.store_of(table)
        session = self._sessions.get(where)
        if session is None:
            made = _Mysql(self._ledger) if side == "source" else _Postgres(self._ledger, where)
            session = self._sessions[where] = made
        return session

    def _forget(self, side: str) -> None:
        for where in list(self._sessions):
            if (where == "source") == (side == "source"):
                self._sessions.pop(where).close()


class _Mysql:
    def __init__(self, ledger: Ledger) -> None:
        try:
            self._connection = ledger.source.connect(connect_timeout=5, read_timeout=30)
        except pymysql.err.MySQLError as error:
            raise _Lost from error

    def write(self, changes: list[Change]) -> None:
        connection = self._connection
        try:
            with connection.cursor() as cursor:
                if len(changes) > 1:
                    cursor.execute("BEGIN")
                for change in changes:
                    cursor.execute(*_statement(change, change.table))
                    assert cursor.rowcount == 1, f"{change}: {cursor.rowcount} rows"
                if len(changes) > 1:
                    cursor.execute("COMMIT")
        except pymysql.err.MySQLError as error:
            number = error.args[0] if error.args else 0
            if number == REFUSED_MYSQL or number in AGAIN_MYSQL:
                try:
                    connection.rollback()
                except pymysql.err.MySQLError as lost:
                    raise _Lost from lost
                raise (_Refused if number == REFUSED_MYSQL else _Again) from error
            if number in (1062, 1452, 1064, 1054):
                raise
            raise _Lost from error

    def read(self, table: str, token: str) -> Row | None:
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(f"SELECT n, note FROM {table} WHERE token = %s", (token,))
                rows = cursor.fetchall()
        except pymysql.err.MySQLError as error:
            raise _Lost from error
        assert len(rows) <= 1, f"{table} {token}: doubled"
        return tuple(rows[0]) if rows else None

    def close(self) -> None:
        with suppress(pymysql.err.MySQLError):
            self._connection.close()


class _Postgres:
    def __init__(self, ledger: Ledger, store: str) -> None:
        self._store = store
        self._ledger = ledger
        self._connection = _reached(lambda: ledger.stores[store].connect(connect_timeout=5))

    def write(self, changes: list[Change]) -> None:
        connection = self._connection
        try:
            if len(changes) == 1:
                self._do(changes[0])
            else:
                with connection.transaction():
                    for change in changes:
                        self._do(change)
        except psycopg.Error as error:
            if error.sqlstate == REFUSED_POSTGRES:
                raise _Refused from error
            if error.sqlstate in AGAIN_POSTGRES:
                raise _Again from error
            if (error.sqlstate or "").startswith(("22", "23", "42")):
                raise
            raise _Lost from error

    def _do(self, change: Change) -> None:
        assert self._ledger.store_of(change.table) == self._store
        statement, values = _statement(change, f"{SCHEMA}.{change.table}")
        done = self._connection.execute(statement.encode(), values)
        assert done.rowcount == 1, f"{change}: {done.rowcount} rows"

    def read(self, table: str, token: str) -> Row | None:
        query = f"SELECT n, note FROM {SCHEMA}.{table} WHERE token = %s".encode()
        rows = _reached(lambda: self._connection.execute(query, (token,)).fetchall())
        assert len(rows) <= 1, f"{table} {token}: doubled"
        return tuple(rows[0]) if rows else None

    def close(self) -> None:
        self._connection.close()


def _reached(act: Any) -> Any:
    try:
        return act()
    except psycopg.Error as error:
        raise _Lost from error


def _statement(change: Change, table: str) -> tuple[str, tuple[object, ...]]:
    if change.before is None:
        assert change.after is not None
        return f"INSERT INTO {table} (token, n, note) VALUES (%s, %s, %s)", (change.token, *change.after)
    if change.after is None:
        return f"DELETE FROM {table} WHERE token = %s", (change.token,)
    return f"UPDATE {table} SET n = n + 1, note = %s WHERE token = %s", (change.after[1], change.token)

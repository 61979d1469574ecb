"""Identity sequences of a store's tables: put ahead of every id that the source has given out, and read back.

Where several tables give out the ids of one source table (its rows are routed or split), each counts in steps of its
own share, so that no two of them ever give the same id: on the way back both would be the same row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from psycopg import sql

from model.errors import CrossfadeError
from stores.errors import translated
from stores.postgres import PostgresConnection
from transforms.names import literal
from transforms.target import TargetTable

GAP: Final = 1000
"""Ids left out between the last of the source and the first of the store."""


@dataclass(frozen=True, slots=True)
class Ahead:
    """What a table's identity must begin above; of `shares` tables that share the ids it is the one of this number."""

    table: TargetTable
    least: int
    share: int = 0
    shares: int = 1


@dataclass(frozen=True, slots=True)
class _Sequence:
    """One identity sequence now."""

    name: str
    """Qualified and quoted by the server."""
    highest: int
    """In the table."""
    step: int
    next_id: int


def put_ahead(connection: PostgresConnection, wanted: Iterable[Ahead], gap: int = GAP) -> dict[str, int]:
    """Let identities begin above `least` and above every id in their table, by `gap`; never backwards. One store.

    Table → its next id as read back; tables without identity are left out. The number of statements does not grow
    with the tables. Raises CrossfadeError when one did not take, or is not there.
    """
    named = [(ahead, name) for ahead in wanted if (name := _identity(ahead.table)) is not None]
    if not named:
        return {}
    found = _read(connection, [(ahead.table, name) for ahead, name in named])
    goals: dict[int, int] = {}
    for index, (ahead, column) in enumerate(named):
        if index not in found:
            raise CrossfadeError(
                "the store's column does not count its ids", hint="See: crossfade schema plan", table=ahead.table,
                column=column,
            )  # fmt: skip
        goals[index] = _in_share(max(ahead.least, found[index].highest + 1) + gap, ahead)
    late = [index for index, goal in goals.items() if _late(found[index], goal, named[index][0])]
    with translated(f"store {named[0][0].table.store}"), connection.transaction():
        for index in late:
            if found[index].step != named[index][0].shares:
                connection.execute(f"ALTER SEQUENCE {found[index].name} INCREMENT BY {named[index][0].shares}".encode())
        if late:
            set_to = ", ".join(
                f"setval({literal(found[index].name)}, "
                f"{_in_share(max(goals[index], found[index].next_id), named[index][0])}, false)"
                for index in late
            )
            connection.execute(f"SELECT {set_to}".encode())
    if late:
        found = _read(connection, [(ahead.table, name) for ahead, name in named])
    for index, goal in goals.items():
        if _late(found[index], goal, named[index][0]):
            raise CrossfadeError(
                "the identity did not take the value it was set to", table=named[index][0].table,
                column=named[index][1], wanted=goal, found=found[index].next_id,
            )  # fmt: skip
    return {str(named[index][0].table): found[index].next_id for index in goals}


def _identity(table: TargetTable) -> str | None:
    return next((column.name for column in table.columns if column.identity), None)


def _in_share(value: int, ahead: Ahead) -> int:
    """The first id of the share that is not below `value`."""
    return value + (ahead.share - value) % ahead.shares


def _late(now: _Sequence, goal: int, ahead: Ahead) -> bool:
    return now.next_id < goal or now.step != ahead.shares or now.next_id % ahead.shares != ahead.share


def _read(connection: PostgresConnection, tables: Sequence[tuple[TargetTable, str]]) -> dict[int, _Sequence]:
    """Place in `tables` → its sequence, in two statements."""
    with translated(f"store {tables[0][0].store}"):
        known = connection.execute(
            sql.SQL(" UNION ALL ").join(
                sql.SQL(
                    "SELECT {place}::int, (SELECT coalesce(max({column}), 0)::bigint FROM {table}), s.name, "
                    "(SELECT seqincrement FROM pg_sequence WHERE seqrelid = s.name::regclass) "
                    "FROM (SELECT pg_get_serial_sequence({text}, {column_text}) AS name) AS s WHERE s.name IS NOT NULL"
                ).format(
                    place=sql.Literal(place), column=sql.Identifier(column), column_text=sql.Literal(column),
                    table=sql.Identifier(table.schema, table.name),
                    text=sql.Literal(sql.Identifier(table.schema, table.name).as_string(None)),
                )
                for place, (table, column) in enumerate(tables)
            )
        ).fetchall()  # fmt: skip
        if not known:
            return {}
        counted = connection.execute(
            " UNION ALL ".join(
                f"SELECT {place}::int, last_value, is_called FROM {name}" for place, _, name, _ in known
            ).encode()
        ).fetchall()
    counters = {int(place): (int(last), bool(called)) for place, last, called in counted}
    return {
        int(place): _Sequence(
            str(name), int(highest), int(step), counters[place][0] + int(step) * int(counters[place][1])
        )
        for place, highest, name, step in known
    }


def next_id(connection: PostgresConnection, table: TargetTable) -> int | None:
    """The id that the table would give next, None for a table without identity."""
    name = _identity(table)
    found = _read(connection, [(table, name)]) if name is not None else {}
    return found[0].next_id if found else None


def next_ids(connection: PostgresConnection, tables: Iterable[TargetTable]) -> dict[TargetTable, int]:
    """The id that each table of one store would give next; tables without identity are left out."""
    named = [(table, name) for table in tables if (name := _identity(table)) is not None]
    return {named[place][0]: found.next_id for place, found in _read(connection, named).items()} if named else {}

"""What an applier needs from its surroundings, as types: the plan of its store, a relay, the DDL of the phases."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from model.position import Position
from model.tables import TableDef, TableId
from stores.control.schema_history import SchemaHistory
from stores.postgres import PostgresConnection
from sync.cascades import CascadeGraph
from sync.changes import SchemaChange, Transaction
from transforms.plan import TablePlan
from transforms.target import TargetTable


class Tail(Protocol):
    """What is needed of a `RelayTail`."""

    @property
    def seq(self) -> int:
        """The last complete transaction."""

    @property
    def position(self) -> Position:
        """Nothing is missing up to here."""


class Relay(Protocol):
    """What is needed of a `sync.relay.reader.RelayReader`."""

    @property
    def tail(self) -> Tail | None:
        """How far the relay reaches now."""

    def transactions(self, after_seq: int) -> Iterator[Transaction]:
        """Durable transactions after `after_seq`, ending at the tail."""

    def wait(self, after_seq: int, timeout_s: float) -> bool:
        """Wait for a transaction after `after_seq`."""

    def interrupt(self) -> None:
        """From any thread: end the wait under way, or the next one."""


class SchemaSteps(Protocol):
    """DDL that belongs to phases; idempotent, outside of a transaction."""

    def create_uniques(self, connection: PostgresConnection, plan: TablePlan) -> None:
        """Create the unique indexes and constraints of a table that has become exact."""

    def slow_uniques(self, connection: PostgresConnection, plan: TablePlan) -> bool:
        """Whether `create_uniques` would take so long that the other tables should not wait for it."""

    def build_uniques(
        self,
        connection: PostgresConnection,
        target: TargetTable,
        stop: threading.Event,
        say: Callable[[str], None],
    ) -> None:
        """The same beside the stream, on a connection of its own; `say` is told the name of each index before."""

    def create_foreign_keys(self, connection: PostgresConnection, plans: Sequence[TablePlan]) -> None:
        """Create the foreign keys between the store's tables, all of which stream."""

    def keep_lookups(self, connection: PostgresConnection, plans: Sequence[TablePlan]) -> None:
        """Arm and fill the looked-up columns of the store's tables, all of which stream."""

    def create_read_models(self, connection: PostgresConnection, store: str) -> None:
        """Create the store's read models, whose base tables all stream."""


@dataclass(frozen=True, slots=True)
class StorePlan:
    """What an applier has to know of its store."""

    store: str
    stream: str
    plans: tuple[TablePlan, ...]
    graph: CascadeGraph
    """`CascadeGraph()` for MySQL from 9.6 on, which logs what cascades."""


class StoreSchema(Protocol):
    """What is known of the source's definitions beyond the history, and the plans that they make."""

    def plan(self, history: SchemaHistory) -> StorePlan:
        """The store's plan by the latest definitions of the history. Raises ConfigError."""

    def trial(self, history: SchemaHistory, changed: Mapping[TableId, TableDef | None]) -> tuple[TablePlan, ...]:
        """The plans that the store would have with these definitions; None: the table is gone. Raises ConfigError."""

    def definition(
        self, relay: Relay, before: TableDef, change: SchemaChange, seq: int, stop: threading.Event
    ) -> TableDef | None:
        """The definition of a table after `change`, which is transaction `seq` and found it as `before`; None when it
        cannot be known. Raises Unreachable."""

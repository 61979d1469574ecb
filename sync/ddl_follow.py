"""What a statement of the source about migrated tables asks of one store: statements, new definitions, or a question.

Works out the answer and changes nothing; `applier_phases` carries it out.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from model.errors import ConfigError
from model.tables import TableDef, TableId
from stores.control.schema_history import SchemaHistory, SchemaVersion
from sync.applier_ports import Relay, StorePlan, StoreSchema
from sync.changes import SchemaChange
from sync.ddl_effects import Effects, Verdict, effects
from sync.ddl_statement import Act, Reading, read_statement
from transforms.ddl import qualified
from transforms.plan import TablePlan


@dataclass(frozen=True, slots=True)
class Answer:
    """What is to be done about a statement."""

    effects: dict[str, Effects]
    """By plan id; also of tables that the statement does not name but whose foreign keys go."""
    versions: tuple[SchemaVersion, ...] = ()
    """Definitions that hold after the statement."""
    gone: frozenset[str] = field(default_factory=frozenset)
    """Plans whose table is no more."""

    def refuse(self, why: str) -> None:
        """It cannot be done after all."""
        for one in self.effects.values():
            one.copy(why)

    @property
    def verdict(self) -> Verdict:
        """The worst of all."""
        return max((one.verdict for one in self.effects.values()), default=Verdict.FOLLOW)

    @property
    def statements(self) -> list[str]:
        """Everything that would run in the store."""
        return [statement for one in self.effects.values() for statement in one.statements]

    @property
    def why(self) -> str:
        """The reasons why it is not simply followed."""
        return "; ".join(dict.fromkeys(reason for one in self.effects.values() for reason in one.reasons))


class DdlFollowing:
    """Answers for one store, by the plan of one session of its applier."""

    def __init__(self, plan: StorePlan, schema: StoreSchema, history: SchemaHistory, relay: Relay) -> None:
        self._plan = plan
        self._schema = schema
        self._history = history
        self._relay = relay

    def answer(
        self, change: SchemaChange, seq: int, stop: threading.Event, unique: Callable[[str], bool], *, keep: bool
    ) -> Answer:
        """What the statement of transaction `seq` asks of the store.

        `unique`: whether a plan's table has its unique indexes by now. `keep`: what the source takes away, the store
        keeps. Raises Unreachable when the source has to be asked and is away.
        """
        readings = {
            table: read_statement(change.statement, change.schema, table, change.sql_mode) for table in change.tables
        }
        changed: dict[TableId, TableDef | None] = {}
        found: dict[str, Effects] = {}
        for table, reading in readings.items():
            plans = self._of(table)
            match reading.act:
                case Act.UNCLEAR:
                    _refuse(found, plans, table, reading.why)
                case Act.TRUNCATE:
                    for plan in plans:
                        found[plan.id] = self._emptied(plan, keep=keep)
                case Act.DROP:
                    changed[table] = None
                    for plan in plans:
                        found[plan.id] = _dropped(plan, keep=keep)
                case Act.ALTER | Act.SWAP:
                    before = self._history.at(table, seq)
                    definition = self._schema.definition(self._relay, before, change, seq, stop) if before else None
                    if definition is None:
                        _refuse(found, plans, table, "a later statement has changed the table again, or dropped it")
                    else:
                        changed[table] = definition
        if not changed or any(one.verdict is Verdict.COPY for one in found.values()):
            return Answer(found)
        try:
            after = {plan.id: plan for plan in self._schema.trial(self._history, changed)}
        except ConfigError as error:
            for table in changed:
                why = f"the configuration does not fit any more: {error}. {error.hint}"
                _refuse(found, self._of(table), table, why)
            return Answer(found)
        gone = frozenset(plan.id for plan in self._plan.plans if plan.id not in after)
        for plan in self._plan.plans:
            new = after.get(plan.id)
            if new is None or (plan.source.id not in changed and plan.target == new.target):
                continue
            reading = readings.get(plan.source.id, Reading(Act.ALTER))
            moment = change.moment if reading.act is Act.ALTER else None
            found[plan.id] = effects(plan, new, reading.renamed, moment, unique=unique(plan.id), keep=keep)
        versions = tuple(SchemaVersion(table, seq + 1, definition) for table, definition in changed.items())
        return Answer(found, versions, gone)

    def _of(self, table: TableId) -> list[TablePlan]:
        return [plan for plan in self._plan.plans if plan.source.id == table]

    def _emptied(self, plan: TablePlan, *, keep: bool) -> Effects:
        found = Effects()
        if not keep:
            place = qualified(plan.target.schema, plan.target.name)
            inbound = any(
                (key.ref_schema, key.ref_table) == (plan.target.schema, plan.target.name)
                for other in self._plan.plans
                for key in other.target.foreign_keys
            )
            # PostgreSQL truncates no table that a foreign key refers to.
            found.statements.append(f"DELETE FROM {place}" if inbound else f"TRUNCATE TABLE {place}")
            found.ask("every row would go")
        return found


def _dropped(plan: TablePlan, *, keep: bool) -> Effects:
    found = Effects()
    if not keep:
        found.statements.append(f"DROP TABLE {qualified(plan.target.schema, plan.target.name)}")
        found.ask("the table would go, with its rows")
    return found


def _refuse(found: dict[str, Effects], plans: Iterable[TablePlan], table: TableId, why: str) -> None:
    """A table without a plan of its own counts too: others follow its cascades."""
    for name in [plan.id for plan in plans] or [str(table)]:
        found.setdefault(name, Effects()).copy(why)

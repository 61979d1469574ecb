"""Begins the copy of held tables anew, with the definition that the source has now. The daemon must not run."""

from __future__ import annotations

import dataclasses
from contextlib import ExitStack, closing

import structlog

from config.settings import Settings
from daemon.lock import take_daemon_lock
from daemon.planning import read_plan
from model.errors import ExitCode, Refused, UsageError
from stores.control import checkpoints, chunks, ddl_log, quarantine, schema_history, table_states
from stores.control.ddl_log import DdlEntry
from stores.control.quarantine import QuarantineState
from stores.control.schema_history import SchemaVersion
from stores.control.table_states import Phase, TableState
from stores.errors import translated
from stores.postgres import PostgresConnection, connect_store
from sync.postgres.copy import prepare_session
from sync.postgres.schema_reset import make_again
from sync.table_phase import moved
from transforms.plan import TablePlan

log = structlog.get_logger(__name__)


class NotConfirmed(Refused):
    """The table's name has to be typed."""

    exit_code = ExitCode.CONFIRM


def recopy(settings: Settings, table: str, confirmation: str | None) -> list[str]:
    """Empty a held table in every store and mark it for a copy by the next daemon; gives the plans.

    Raises UsageError when it is not held, NotConfirmed, LockHeld when a daemon runs, ConfigError when the file does not
    fit the new definition, and Refused when the source has no such table any more.
    """
    with ExitStack() as stack:
        lock = stack.enter_context(closing(connect_store(settings.control_dsn, application="crossfade schema")))
        take_daemon_lock(lock, settings.name)
        stores = {
            name: stack.enter_context(closing(connect_store(store.dsn, application="crossfade schema")))
            for name, store in settings.stores.items()
        }
        for name, connection in stores.items():
            # In a shared table rows are deleted: nobody's trigger, and no cascade of somebody's foreign key, follows.
            prepare_session(connection, f"store {name}")
        held = {name: _held(connection, settings.name, table) for name, connection in stores.items()}
        if not any(held.values()):
            raise UsageError(f"no held table is called {table}", hint="See: crossfade schema pending")
        if confirmation != table:
            raise NotConfirmed(
                f"{table} would be emptied in {', '.join(name for name, states in held.items() if states)}",
                hint=f"If you mean it: crossfade schema recopy {table} --confirm {table}",
            )
        histories = [schema_history.load(connection, settings.name) for connection in stores.values()]
        names = {plan_id.partition(">")[0] for states in held.values() for plan_id in states}
        planned = read_plan(settings, histories, today=names)
        done = []
        for name, connection in stores.items():
            for plan in planned.plan.of_store(name):
                if plan.id in held[name]:
                    _begin_anew(connection, settings.name, plan, held[name].pop(plan.id))
                    done.append(plan.id)
    left = [plan_id for states in held.values() for plan_id in states]
    if left:
        raise Refused(
            f"the source has no table for {left[0]} any more", hint="Take it out of the file, or bring it back."
        )
    return done


def _held(connection: PostgresConnection, stream: str, table: str) -> dict[str, TableState]:
    with translated("store"):
        row = connection.execute("SELECT to_regclass('crossfade.table_state') IS NOT NULL").fetchone()
        states = table_states.load(connection, stream) if row and row[0] else {}
    found = {}
    for plan_id, state in states.items():
        source = plan_id.partition(">")[0]
        if state.phase is Phase.HELD and table in (plan_id, source, source.rpartition(".")[2]):
            found[plan_id] = state
    return found


def _begin_anew(connection: PostgresConnection, stream: str, plan: TablePlan, state: TableState) -> None:
    """Table, chunks, quarantine, definition and state in one transaction, under a fence of our own."""
    with translated(f"store {plan.target.store}"):
        fence = checkpoints.take_over(connection, stream)
        with connection.transaction():
            checkpoints.hold_fence(connection, stream, fence)
            checkpoint = checkpoints.read(connection, stream)
            assert checkpoint is not None
            make_again(connection, plan)
            chunks.clear(connection, stream, plan.id)
            parked = quarantine.waiting(connection, stream, [plan.id])
            quarantine.settle(connection, stream, [row.id for row in parked], QuarantineState.DISCARDED)
            version = SchemaVersion(plan.source.id, checkpoint.seq + 1, plan.source)
            schema_history.replace(connection, stream, version)
            again = moved(state, Phase.PENDING, gate_seq=None, high=None, applied_seq=None, rows_copied=0)
            table_states.save(connection, stream, dataclasses.replace(again, sweep=False))
            table_states.clear_sweep(connection, stream, plan.id)
            note = DdlEntry(checkpoint.seq, f"-- {plan.source.id} as it is now", f"copied anew: {plan.id}")
            ddl_log.append(connection, stream, note)
    log.warning("copy begins anew", table=str(plan.source.id), store=plan.target.store)

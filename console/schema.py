"""`schema plan|apply|pending`: the stores' tables, as DDL, created, or shown as a difference; held tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import ExitStack, closing
from typing import Annotated

import typer

from config.load import load_settings
from config.settings import Settings
from console.output import Invocation
from daemon.planning import read_plan
from model.errors import ExitCode, UsageError
from stores.control import table_states
from stores.errors import translated
from stores.postgres import connect_store
from sync.postgres.drift import Difference, differences, render
from sync.postgres.schema_apply import apply_schema
from sync.postgres.store_catalog import read_store
from transforms.ddl import Phase, statements
from transforms.plan import MigrationPlan

schema_app = typer.Typer(help="The stores' tables.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands to the root."""
    app.add_typer(schema_app, name="schema")


def _drift(settings: Settings, plan: MigrationPlan, stores: Sequence[str]) -> list[Difference]:
    found: list[Difference] = []
    for name in stores:
        with closing(connect_store(settings.stores[name].dsn, application="crossfade schema")) as connection:
            tables = [item.target for item in plan.of_store(name)]
            with translated(f"store {name}"):
                catalog = read_store(connection, {table.schema for table in tables})
            found.extend(differences(catalog, tables))
    return found


@schema_app.command("plan")
def plan(
    context: typer.Context,
    store: Annotated[str | None, typer.Option(help="Only this store.")] = None,
    diff: Annotated[bool, typer.Option("--diff", help="Compare with what the stores hold now.")] = False,
) -> int:
    """Print the DDL per store; with --diff, how the stores differ from it (exit 5 when they do)."""
    invocation: Invocation = context.obj
    settings = load_settings(invocation.config)
    if store is not None and store not in settings.stores:
        raise UsageError(f"there is no store {store}", hint=f"Stores: {', '.join(settings.stores)}")
    planned = read_plan(settings)
    if diff:
        found = _drift(settings, planned.plan, [store] if store else list(settings.stores))
        if invocation.json:
            invocation.emit("crossfade.schema-diff/1", {"differences": [dataclasses.asdict(item) for item in found]})
        else:
            invocation.say(render(found) or "no differences")
        return ExitCode.DIFFERENCES if found else ExitCode.CLEAN
    chosen = [name for name in settings.stores if store in (None, name)]
    scripts = {name: list(statements([p.target for p in planned.plan.of_store(name)])) for name in chosen}
    if invocation.json:
        invocation.emit(
            "crossfade.schema-plan/1",
            {
                "stores": {
                    name: [{"phase": str(item.phase), "object": str(item.object), "sql": item.sql} for item in items]
                    for name, items in scripts.items()
                },
                "notes": {item.id: list(item.notes) for item in planned.plan.plans if item.notes},
            },
        )
        return ExitCode.CLEAN
    for name, items in scripts.items():
        invocation.say(f"-- store {name}")
        for phase in Phase:
            invocation.say(f"-- {phase.value.replace('_', ' ')}")
            invocation.say(*[f"{item.sql};" for item in items if item.phase is phase])
    for item in planned.plan.plans:
        invocation.say(*[f"-- note {item.source.id}: {note}" for note in item.notes])
    return ExitCode.CLEAN


@schema_app.command("apply")
def apply(context: typer.Context) -> None:
    """Create the tables (indexes and foreign keys come after the copy). Running it again changes nothing."""
    invocation: Invocation = context.obj
    settings = load_settings(invocation.config)
    planned = read_plan(settings)
    created: dict[str, list[str]] = {}
    with ExitStack() as stack:
        connections = {
            name: stack.enter_context(closing(connect_store(store.dsn, application="crossfade schema")))
            for name, store in settings.stores.items()
        }
        for name, connection in connections.items():
            targets = [item.target for item in planned.plan.of_store(name)]
            created[name] = [str(item) for item in apply_schema(connection, targets, Phase.BEFORE_COPY)]
    if invocation.json:
        invocation.emit("crossfade.schema-apply/1", {"created": created})
        return
    for name, items in created.items():
        invocation.say(f"{name}: {len(items)} created" if items else f"{name}: nothing to do")
        invocation.say(*[f"  {item}" for item in items])
    invocation.say("next: crossfade start")


@schema_app.command("pending")
def pending(context: typer.Context) -> int:
    """List held tables with the reason: a statement of the source, a full quarantine. Exit 5 when there are any."""
    invocation: Invocation = context.obj
    settings = load_settings(invocation.config)
    held: list[dict[str, str | int | None]] = []
    for name, store in settings.stores.items():
        with (
            closing(connect_store(store.dsn, application="crossfade schema")) as connection,
            translated(f"store {name}"),
        ):
            row = connection.execute("SELECT to_regclass('crossfade.table_state') IS NOT NULL").fetchone()
            states = table_states.load(connection, settings.name) if row and row[0] else {}
        held.extend(
            {"store": name, "plan": state.plan_id, "reason": state.reason, "applied_seq": state.applied_seq}
            for state in states.values()
            if state.phase is table_states.Phase.HELD
        )
    if invocation.json:
        invocation.emit("crossfade.schema-pending/1", {"held": held})
    else:
        for one in held:
            invocation.say(f"{one['plan']}: {one['reason']}")
        if not held:
            invocation.say("no table is held")
    return ExitCode.DIFFERENCES if held else ExitCode.CLEAN

"""`schema plan|apply|pending|approve|reject|recopy`: the stores' tables as DDL or as a difference; held tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import ExitStack, closing
from typing import Annotated

import typer

from config.load import load_settings
from config.settings import Settings
from console.output import Invocation
from daemon.client import ask
from daemon.planning import read_followed
from daemon.recopy import recopy as begin_anew
from model.errors import ExitCode, Refused, UsageError
from stores.control import held_ddl, table_states
from stores.errors import translated
from stores.postgres import connect_store
from sync.postgres import lookups, read_models
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
            tables = plan.targets_of(name)
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
    planned = read_followed(settings)
    if diff:
        found = _drift(settings, planned.plan, [store] if store else list(settings.stores))
        if invocation.json:
            invocation.emit("crossfade.schema-diff/1", {"differences": [dataclasses.asdict(item) for item in found]})
        else:
            invocation.say(render(found) or "no differences")
        return ExitCode.DIFFERENCES if found else ExitCode.CLEAN
    chosen = [name for name in settings.stores if store in (None, name)]
    scripts = {name: list(statements(planned.plan.targets_of(name))) for name in chosen}
    models = {name: planned.plan.models_of(name) for name in chosen}
    if invocation.json:
        invocation.emit(
            "crossfade.schema-plan/1",
            {
                "stores": {
                    name: [{"phase": str(item.phase), "object": str(item.object), "sql": item.sql} for item in items]
                    for name, items in scripts.items()
                },
                "read_models": {
                    name: [
                        {"object": model.place, "sql": read_models.planned(model), "reads": list(model.reads)}
                        for model in items
                    ]
                    for name, items in models.items()
                },
                "lookups": {
                    name: [
                        {"object": one.place, "sql": lookups.planned(one), "reads": [one.table, one.other]}
                        for one in planned.plan.lookups_of(name)
                    ]
                    for name in chosen
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
        for one in planned.plan.lookups_of(name):
            invocation.say(f"-- when everything streams: the looked-up column {one.place}")
            invocation.say(*[f"{sql};" for sql in lookups.planned(one)])
            invocation.say(f"-- with triggers on {one.table} and {one.other} that keep it")
        for model in models[name]:
            invocation.say(f"-- when everything streams: the read model {model.place}")
            invocation.say(*[f"{sql};" for sql in read_models.planned(model)])
            invocation.say(f"-- with triggers on {', '.join(model.reads)} that keep it")
    for item in planned.plan.plans:
        invocation.say(*[f"-- note {item.source.id}: {note}" for note in item.notes])
    return ExitCode.CLEAN


@schema_app.command("apply")
def apply(context: typer.Context) -> None:
    """Create the tables (indexes and foreign keys come after the copy). Running it again changes nothing."""
    invocation: Invocation = context.obj
    settings = load_settings(invocation.config)
    planned = read_followed(settings)
    created: dict[str, list[str]] = {}
    with ExitStack() as stack:
        connections = {
            name: stack.enter_context(closing(connect_store(store.dsn, application="crossfade schema")))
            for name, store in settings.stores.items()
        }
        for name, connection in connections.items():
            targets = planned.plan.targets_of(name)
            created[name] = [str(item) for item in apply_schema(connection, targets, Phase.BEFORE_COPY)]
    models = [str(model) for name in settings.stores for model in planned.plan.models_of(name)]
    if invocation.json:
        invocation.emit("crossfade.schema-apply/1", {"created": created, "read_models": models})
        return
    for name, items in created.items():
        invocation.say(f"{name}: {len(items)} created" if items else f"{name}: nothing to do")
        invocation.say(*[f"  {item}" for item in items])
    if models:
        invocation.say(f"made when everything streams: the read models {', '.join(models)}")
    invocation.say("next: crossfade start")


@schema_app.command("pending")
def pending(context: typer.Context) -> int:
    """List held tables: what for, and what would run in the store on approval. Exit 5 when there are any."""
    invocation: Invocation = context.obj
    settings = load_settings(invocation.config)
    held = [one for name in settings.stores for one in _held(settings, name)]
    if invocation.json:
        invocation.emit("crossfade.schema-pending/1", {"held": [dataclasses.asdict(one) for one in held]})
        return ExitCode.DIFFERENCES if held else ExitCode.CLEAN
    for one in held:
        invocation.say(f"{one.plan}: {one.reason}")
        if one.source_statement:
            invocation.say(f"  the source ran:   {one.source_statement}")
        for statement in one.store_statement.split(";\n") if one.store_statement else ():
            invocation.say(f"  on approval:      {statement};")
        invocation.say(*[f"  next: {step}" for step in one.next_steps])
    if not held:
        invocation.say("no table is held")
    return ExitCode.DIFFERENCES if held else ExitCode.CLEAN


@schema_app.command("approve")
def approve(
    context: typer.Context,
    table: Annotated[str, typer.Argument(help="The source table, as `schema pending` names it.")],
    confirm: Annotated[str | None, typer.Option("--confirm", metavar="TABLE", help="The table again.")] = None,
) -> None:
    """Let the store do what the source did to a held table, and let the table go on."""
    invocation: Invocation = context.obj
    settings = load_settings(invocation.config)
    waiting = [one for name in settings.stores for one in _held(settings, name) if _names(one.plan, table)]
    statements = [one.store_statement for one in waiting if one.store_statement]
    if statements and confirm is None and not invocation.no_input and invocation.stderr.is_terminal:
        invocation.say(*statements)
        confirm = typer.prompt(f"this runs in the store; type {table}", err=True)
    if statements and confirm != table:
        raise NotConfirmed(
            "this would run in the store: " + "; ".join(statements),
            hint=f"If you mean it: crossfade schema approve {table} --confirm {table}",
        )
    _decide(invocation, settings, table, accept=True)


@schema_app.command("reject")
def reject(context: typer.Context, table: Annotated[str, typer.Argument(help="The source table.")]) -> None:
    """Keep in the store what the source took away from a held table, and let the table go on without it."""
    invocation: Invocation = context.obj
    _decide(invocation, load_settings(invocation.config), table, accept=False)


class NotConfirmed(Refused):
    """The table's name has to be typed again."""

    exit_code = ExitCode.CONFIRM


@schema_app.command("recopy")
def recopy(
    context: typer.Context,
    table: Annotated[str, typer.Argument(help="The held source table.")],
    confirm: Annotated[str | None, typer.Option("--confirm", metavar="TABLE", help="The table again.")] = None,
) -> None:
    """Empty a held table in the stores and have the next `crossfade start` copy it as the source has it then.

    The other tables stay as they are. The daemon must not run.
    """
    invocation: Invocation = context.obj
    done = begin_anew(load_settings(invocation.config), table, confirm)
    if invocation.json:
        invocation.emit("crossfade.schema-recopy/1", {"plans": done})
    else:
        invocation.say(*[f"to be copied: {plan}" for plan in done], "next: crossfade start")


@dataclasses.dataclass(frozen=True, slots=True)
class _Held:
    """A held table of a store."""

    store: str
    plan: str
    reason: str
    applied_seq: int | None
    source_statement: str = ""
    store_statement: str = ""
    next_steps: tuple[str, ...] = ()


def _held(settings: Settings, store: str) -> list[_Held]:
    with (
        closing(connect_store(settings.stores[store].dsn, application="crossfade schema")) as connection,
        translated(f"store {store}"),
    ):
        row = connection.execute("SELECT to_regclass('crossfade.held_ddl') IS NOT NULL").fetchone()
        if not row or not row[0]:
            return []
        states = table_states.load(connection, settings.name)
        waiting = {
            one.plan_id: one for one in held_ddl.load(connection, settings.name) if one.decision is None
        }  # fmt: skip
    found = []
    for state in states.values():
        if state.phase is not table_states.Phase.HELD:
            continue
        ddl = waiting.get(state.plan_id)
        name = state.plan_id.partition(">")[0].rpartition(".")[2]
        steps: tuple[str, ...] = ()
        if ddl is not None and ddl.store_statement:
            steps = (f"crossfade schema approve {name} --confirm {name}", f"crossfade schema reject {name}")
        elif ddl is not None:
            steps = ("crossfade stop", f"crossfade schema recopy {name} --confirm {name}", "crossfade start")
        statement, target = (ddl.statement, ddl.store_statement) if ddl is not None else ("", "")
        found.append(_Held(store, state.plan_id, state.reason or "", state.applied_seq, statement, target, steps))
    return found


def _names(plan_id: str, table: str) -> bool:
    source = plan_id.partition(">")[0]
    return table in (plan_id, source, source.rpartition(".")[2])


def _decide(invocation: Invocation, settings: Settings, table: str, *, accept: bool) -> None:
    result = ask(settings, "schema_decide", {"table": table, "accept": accept})
    if invocation.json:
        invocation.emit("crossfade.schema-decide/1", result)
        return
    word = "approved" if accept else "rejected"
    invocation.say(*[f"{word}: {plan} goes on" for plan in result["plans"]])
    invocation.say("next: crossfade status --tables")

"""`readmodel list|rebuild`: read models and looked-up columns of the stores, and making one anew from its tables."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from config.load import load_settings
from config.settings import Settings
from console.output import Invocation
from daemon.planning import read_plan
from model.errors import ExitCode, UsageError
from stores.control.migrations import prepare_store
from stores.errors import translated
from stores.postgres import connect_store
from sync.postgres import lookups, read_models
from transforms.lookup import Lookup
from transforms.read_model import ReadModel
from validators.computed_state import ComputedState, Kept, state_of
from validators.computed_verdict import Computed

readmodel_app = typer.Typer(help="See and rebuild read models.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands to the root."""
    app.add_typer(readmodel_app, name="readmodel")


@readmodel_app.command("list")
def list_(context: typer.Context) -> int:
    """Show read models and looked-up columns: whether each is kept as declared. Exit 6 when one is not or is stale."""
    invocation: Invocation = context.obj
    settings = load_settings(invocation.config)
    plan = read_plan(settings).plan
    found: list[ComputedState] = []
    declared: tuple[Computed, ...] = (*plan.lookups, *plan.read_models)
    for one in declared:
        with closing(connect_store(settings.stores[one.store].dsn, application="crossfade readmodel")) as connection:
            found.append(state_of(connection, one))
    if invocation.json:
        invocation.emit("crossfade.readmodels/1", {"read_models": [item.document() for item in found]})
    else:
        for item in found:
            more = f" since {item.since}: {item.error}" if item.since else ""
            invocation.say(f"{item.store}  {item.name}  {item.state}{more}")
            if item.next:
                invocation.say(f"  next: {item.next}")
        if not found:
            invocation.say("no read models and no lookups are declared")
    return ExitCode.CLEAN if all(item.state is Kept.CURRENT for item in found) else ExitCode.INCOMPLETE


@readmodel_app.command("rebuild")
def rebuild(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the read model, or TABLE.COLUMN of a lookup.")],
    store: Annotated[str | None, typer.Option("--store", help="Its store, when several have one of that name.")] = None,
) -> None:
    """Make a read model or a looked-up column anew from its tables, in one transaction; writers of these wait."""
    invocation: Invocation = context.obj
    settings = load_settings(invocation.config)
    model = _named(settings, name, store)
    with closing(connect_store(settings.stores[model.store].dsn, application="crossfade readmodel")) as connection:
        with translated(f"store {model.store}"):
            prepare_store(connection)
        if isinstance(model, Lookup):
            rows = lookups.rebuild(connection, model)
        else:
            rows = read_models.rebuild(connection, model)
    if invocation.json:
        invocation.emit("crossfade.readmodel-rebuild/1", {"name": model.name, "store": model.store, "rows": rows})
    else:
        invocation.say(f"{model}: {rows:,} rows{' mended' if isinstance(model, Lookup) else ''}")


def _named(settings: Settings, name: str, store: str | None) -> ReadModel | Lookup:
    plan = read_plan(settings).plan
    models: tuple[ReadModel | Lookup, ...] = (*plan.read_models, *plan.lookups)
    found = [model for model in models if model.name == name and store in (None, model.store)]
    if len(found) != 1:
        known = ", ".join(sorted({model.name for model in models})) or "none"
        what = "there is no read model" if not found else "several stores have a read model"
        raise UsageError(f"{what} {name}", hint=f"Declared: {known}." if not found else "Choose one with --store.")
    return found[0]

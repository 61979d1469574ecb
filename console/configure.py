"""`init` and `config validate|schema|explain`: making, checking and understanding the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from config.load import load_settings
from config.redaction import redacted
from config.schema import json_schema
from console.output import Invocation
from daemon.planning import read_plan
from model.errors import UsageError
from sync.starter import write_starter
from transforms.describe import describe, explained
from transforms.reverse import reverse_plans

config_app = typer.Typer(help="Check and understand the configuration.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands to the root."""
    app.command("init")(init)
    app.add_typer(config_app, name="config")


def init(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="mysql://USER:PASSWORD@HOST:PORT/DATABASE (or mariadb://…);"
            " without :PASSWORD it is taken from CROSSFADE_SOURCE_PASSWORD.",
        ),
    ],
    store: Annotated[
        list[str], typer.Option(metavar="[NAME=]DSN", help="postgresql://… of a store; repeat for several stores.")
    ],
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="File to write; default: the --config file.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the migration.")] = None,
    force: Annotated[bool, typer.Option(help="Overwrite an existing file.")] = False,
) -> None:
    """Look at the source and write a commented configuration that works as it is."""
    invocation: Invocation = context.obj
    target = out or invocation.config
    written = write_starter(source, tuple(store), target, name=name, overwrite=force)
    if invocation.json:
        invocation.emit("crossfade.init/1", {"files": [str(path) for path in written], "next_steps": [_next(target)]})
        return
    for path in written:
        invocation.say(f"wrote {path}")
    invocation.say(f"next: {_next(target)}")


def _next(target: Path) -> str:
    chosen = "" if target == Path("crossfade.yaml") else f"-c {target} "
    return f"crossfade {chosen}assess"


@config_app.command("validate")
def validate(
    context: typer.Context,
    connect: Annotated[bool, typer.Option("--connect", help="Also read the source and compile the plan.")] = False,
) -> None:
    """Check the file; with --connect also check it against the source."""
    invocation: Invocation = context.obj
    settings = load_settings(invocation.config)
    planned = read_plan(settings) if connect else None
    if invocation.json:
        invocation.emit(
            "crossfade.config/1",
            {
                "valid": True,
                "config": redacted(settings),
                "plans": [plan.id for plan in planned.plan.plans] if planned else None,
                "skipped": {str(table): reason for table, reason in planned.plan.skipped.items()} if planned else None,
            },
        )
        return
    invocation.say(f"{invocation.config}: valid")
    if planned:
        invocation.say(f"{len(planned.plan.plans)} tables to migrate, {len(planned.plan.skipped)} skipped")


@config_app.command("schema")
def schema(context: typer.Context) -> None:
    """Print the JSON Schema of the file, for editors."""
    invocation: Invocation = context.obj
    invocation.emit("crossfade.config-schema/1", json_schema())


@config_app.command("explain")
def explain(
    context: typer.Context,
    table: Annotated[str, typer.Argument(help="Source table: TABLE or DATABASE.TABLE.")],
) -> None:
    """Show what becomes of one source table: columns, types, transforms, keys, notes."""
    invocation: Invocation = context.obj
    planned = read_plan(load_settings(invocation.config))
    plans = [plan for plan in planned.plan.plans if table in (plan.source.id.name, str(plan.source.id))]
    reasons = [
        f"{name}: skipped, {reason}" for name, reason in planned.plan.skipped.items() if table in (name.name, str(name))
    ]
    if not plans and not reasons:
        known = ", ".join(sorted({str(plan.source.id) for plan in planned.plan.plans}))
        raise UsageError(f"the source has no table {table}", hint=f"Tables: {known}")
    backs = {back.id: back for back in reverse_plans(planned.plan.plans)}
    if invocation.json:
        invocation.emit(
            "crossfade.explain/1",
            {"plans": [explained(plan, backs[plan.id]) for plan in plans], "skipped": reasons},
        )
        return
    invocation.say(*[describe(plan, backs[plan.id]) for plan in plans], *reasons)

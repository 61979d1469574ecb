"""`transform preview`: what becomes of rows of the source, step by step, and what would come back of them."""

from __future__ import annotations

import dataclasses
from contextlib import closing
from typing import Annotated, Any

import typer

from config.load import load_settings
from config.settings import Settings
from console.output import Invocation
from console.preview_text import as_json, as_text
from daemon.planning import read_plan
from model.errors import CrossfadeError, ExitCode, UsageError
from model.rows import Field
from stores.postgres import connect_store
from sync.mysql.sample import sample
from sync.mysql.snapshot import connect_reader
from sync.postgres import lookups
from sync.postgres.printed_values import printed
from transforms.preview import PreviewedColumn, PreviewedRow, Returned, Step, preview, returned
from transforms.reverse import ReversePlan, reverse_plans
from transforms.rules import nearest

transform_app = typer.Typer(help="See what the configured transforms do.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands to the root."""
    app.add_typer(transform_app, name="transform")


@transform_app.command("preview")
def preview_(
    context: typer.Context,
    table: Annotated[str, typer.Argument(help="Source table: TABLE or DATABASE.TABLE.")],
    rows: Annotated[int, typer.Option("--rows", min=1, max=1000, help="The first rows by key.")] = 3,
    key: Annotated[
        str | None, typer.Option("--key", help="The row with this key; values of several columns with commas.")
    ] = None,
) -> int:
    """Show source rows, each step, the resulting rows, and what would come back. Changes nothing."""
    invocation: Invocation = context.obj
    settings = load_settings(invocation.config)
    planned = read_plan(settings)
    backs = [back for back in reverse_plans(planned.plan.plans) if table in (back.source.id.name, str(back.source.id))]
    sources = {back.source.id: back.source for back in backs}
    if len(sources) != 1:
        known = sorted({plan.source.id.name for plan in planned.plan.plans})
        if sources:
            raise UsageError(f"several databases have a table {table}", hint=f"Write {' or '.join(map(str, sources))}.")
        raise UsageError(
            f"there is no table {table} to migrate", hint=nearest(table, known) or f"Tables: {', '.join(known)}"
        )
    (source,) = sources.values()
    wanted = None if key is None else key.split(",") if len(source.key) > 1 else [key]
    with closing(connect_reader(settings.source, planned.info)) as connection:
        found = sample(connection, planned.info, source, rows, wanted)
    if not found:
        raise UsageError(f"{source.id} has no such row", hint="Choose another --key, or --rows N.")
    shown: list[dict[str, Any]] = []
    for row in found:
        steps = [(back, preview(back.plan, row)) for back in backs]
        ends = [_returned(settings, back, seen, row) for back, seen in steps]
        steps = [(back, _looked_up(settings, seen)) for back, seen in steps]
        if invocation.json:
            shown.append(as_json(source, row, [(seen, *end) for (_, seen), end in zip(steps, ends, strict=True)]))
        else:
            invocation.say(*as_text(source, row, [(seen, *end) for (_, seen), end in zip(steps, ends, strict=True)]))
    if invocation.json:
        invocation.emit("crossfade.transform-preview/1", {"table": str(source.id), "rows": shown})
    return ExitCode.CLEAN


def _looked_up(settings: Settings, seen: PreviewedRow) -> PreviewedRow:
    """The row with the columns that its store would look up now."""
    target = seen.plan.target
    found = list(seen.columns)
    for one in target.columns:
        if one.lookup is None:
            continue
        given = {column.target: column.value for column in seen.columns}
        by = tuple((name, given[name]) for name in one.lookup.by)
        value, problem = None, ""
        try:
            with closing(connect_store(settings.stores[target.store].dsn, application="crossfade preview")) as store:
                value = lookups.value_for(store, one.lookup, [field for _, field in by])
        except CrossfadeError as error:
            problem = f" ({error.message})"
        steps = (Step(f"looked up in {one.lookup.other}.{one.lookup.value}{problem}", value),)
        found.append(PreviewedColumn(one.name, by, steps, value))
    return dataclasses.replace(seen, columns=tuple(found))


def _returned(
    settings: Settings, back: ReversePlan, seen: PreviewedRow, row: tuple[Field, ...]
) -> tuple[tuple[Returned, ...], str]:
    """What would come back, and why that is not known."""
    if not seen.taken:
        return (), ""
    target = back.plan.target
    columns = [column.target for column in back.plan.columns]
    values = [column.value for column in seen.columns]
    try:
        with closing(connect_store(settings.stores[target.store].dsn, application="crossfade preview")) as connection:
            texts = printed(connection, [column.type for column in columns], values, target.store)
    except CrossfadeError as error:
        return (), f"the store does not print the row: {error.message}"
    return returned(back, row, dict(zip((column.name for column in columns), texts, strict=True))), ""

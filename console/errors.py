"""`errors list|show|retry|discard|release`: changes that a store refused, and what waits behind them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Annotated, Any

import typer

from config.load import load_settings
from config.settings import Settings
from console.output import Invocation
from daemon.client import ask
from model.errors import ExitCode, Refused, UsageError
from stores.control import quarantine
from stores.control.quarantine import Parked
from stores.errors import translated
from stores.postgres import PostgresConnection, connect_store

errors_app = typer.Typer(help="Changes in quarantine: refused by a store, or waiting behind one.", no_args_is_help=True)

StoreOption = Annotated[str | None, typer.Option("--store", "-s", metavar="STORE", help="Only this store.")]
TableOption = Annotated[str | None, typer.Option("--table", "-t", metavar="TABLE", help="Only this source table.")]


class NotConfirmed(Refused):
    """The number has to be typed again."""

    exit_code = ExitCode.CONFIRM


def register(app: typer.Typer) -> None:
    """Add these commands to the root."""
    app.add_typer(errors_app, name="errors")


@errors_app.command("list")
def list_errors(
    context: typer.Context,
    store: StoreOption = None,
    table: TableOption = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many per store.")] = 100,
) -> int:
    """List what is in quarantine, oldest first. Exit 0 when nothing is, else 5."""
    invocation: Invocation = context.obj
    settings = load_settings(invocation.config)
    found: list[dict[str, Any]] = []
    counts: dict[str, dict[str, int]] = {}
    for name in _stores(settings, store):
        with _opened(settings, name) as connection:
            if not _prepared(connection):
                continue
            counted = quarantine.count_parked(connection, settings.name)
            counts[name] = {plan: number for plan, number in counted.items() if _names(plan, table)}
            rows = quarantine.waiting(connection, settings.name, list(counts[name]))
        found.extend(_row(name, row) for row in rows[:limit])
    total = sum(sum(of_plan.values()) for of_plan in counts.values())
    if invocation.json:
        invocation.emit("crossfade.errors/1", {"total": total, "counts": counts, "rows": found})
    else:
        for row in found:
            key = ",".join("NULL" if part is None else part for part in row["key"])
            invocation.say(f"{row['store']}:{row['id']}  {row['plan']}  key {key}  {row['op']}  {row['error']}")
        if total > len(found):
            invocation.say(f"{total - len(found):,} more are beyond --limit")
        invocation.say("next: crossfade errors show ID --store STORE" if found else "nothing is in quarantine")
    return ExitCode.DIFFERENCES if total else ExitCode.CLEAN


@errors_app.command("show")
def show(context: typer.Context, identifier: Annotated[int, typer.Argument()], store: StoreOption = None) -> None:
    """Show one change in quarantine with the row as the source had it."""
    invocation: Invocation = context.obj
    settings = load_settings(invocation.config)
    name, row = _one(settings, store, identifier)
    document = {**_row(name, row), "state": str(row.state), "since": row.since_s, "row": json.loads(row.payload)}
    if invocation.json:
        invocation.emit("crossfade.error-row/1", document)
        return
    for label in ("store", "id", "plan", "key", "seq", "op", "state", "error"):
        invocation.say(f"{label:<6} {document[label]}")
    invocation.say(json.dumps(document["row"], ensure_ascii=False, indent=2))


@errors_app.command("retry")
def retry(
    context: typer.Context,
    identifier: Annotated[int | None, typer.Argument(help="Number of one change.")] = None,
    store: StoreOption = None,
    table: TableOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Everything that is in quarantine.")] = False,
) -> int:
    """Apply changes again, each with all that waits behind it, in order. Exit 0 when all got in, else 6."""
    invocation: Invocation = context.obj
    settings = load_settings(invocation.config)
    if identifier is None and table is None and not everything:
        raise UsageError("nothing was chosen", hint="Give a number, --table TABLE, or --all.")
    name = _one(settings, store, identifier)[0] if identifier is not None else store
    result = ask(settings, "errors_retry", {"store": name, "id": identifier, "table": table})
    families = result["families"]
    refused = [one for one in families if one["error"] is not None]
    if invocation.json:
        invocation.emit("crossfade.errors-retry/1", {"families": families})
    else:
        for one in families:
            key = ",".join("NULL" if part is None else part for part in one["key"])
            invocation.say(f"{one['plan']} key {key}: {one['error'] or str(len(one['ids'])) + ' applied'}")
        invocation.say(
            "nothing to retry" if not families else f"{len(families) - len(refused)} of {len(families)} keys"
        )
    return ExitCode.INCOMPLETE if refused else ExitCode.CLEAN


@errors_app.command("discard")
def discard(
    context: typer.Context,
    identifier: Annotated[int, typer.Argument()],
    store: StoreOption = None,
    confirm: Annotated[int | None, typer.Option("--confirm", metavar="ID", help="The number again.")] = None,
) -> None:
    """Give up one change for ever; its record stays. What waits behind it still has to be retried."""
    invocation: Invocation = context.obj
    settings = load_settings(invocation.config)
    name, row = _one(settings, store, identifier)
    if confirm is None and not invocation.no_input and invocation.stderr.is_terminal:
        confirm = typer.prompt(f"{row.op} of {row.plan_id} will never be applied; type its number", type=int, err=True)
    if confirm != identifier:
        again = f"crossfade errors discard {identifier} --store {name} --confirm {identifier}"
        raise NotConfirmed(
            f"the {row.op} of {row.plan_id} with this number would never be applied", hint=f"If you mean it: {again}"
        )
    result = ask(settings, "errors_discard", {"store": name, "id": identifier})
    if invocation.json:
        invocation.emit("crossfade.errors-discard/1", result)
    else:
        invocation.say(f"discarded {name}:{identifier}", f"next: crossfade errors retry --store {name} --all")


@errors_app.command("release")
def release(context: typer.Context, table: Annotated[str, typer.Argument()]) -> None:
    """Let a held table replay what it missed and go on."""
    invocation: Invocation = context.obj
    result = ask(load_settings(invocation.config), "release", {"table": table})
    if invocation.json:
        invocation.emit("crossfade.release/1", result)
    else:
        invocation.say(*[f"released {plan}" for plan in result["released"]])


def _stores(settings: Settings, store: str | None) -> list[str]:
    if store is not None and store not in settings.stores:
        raise UsageError(f"there is no store {store}", hint=f"Stores: {', '.join(settings.stores)}")
    return [name for name in settings.stores if store in (None, name)]


@contextmanager
def _opened(settings: Settings, name: str) -> Iterator[PostgresConnection]:
    with (
        closing(connect_store(settings.stores[name].dsn, application="crossfade errors")) as connection,
        translated(f"store {name}"),
    ):
        yield connection


def _prepared(connection: PostgresConnection) -> bool:
    row = connection.execute("SELECT to_regclass('crossfade.quarantine') IS NOT NULL").fetchone()
    return bool(row and row[0])


def _one(settings: Settings, store: str | None, identifier: int) -> tuple[str, Parked]:
    """The change of a number. Numbers are a store's own: with several stores it has to be unique, or --store given."""
    found = []
    for name in _stores(settings, store):
        with _opened(settings, name) as connection:
            row = quarantine.find(connection, settings.name, identifier) if _prepared(connection) else None
        if row is not None:
            found.append((name, row))
    if not found:
        raise UsageError(f"no change in quarantine has the number {identifier}", hint="See: crossfade errors list")
    if len(found) > 1:
        names = ", ".join(name for name, _ in found)
        raise UsageError(f"the number {identifier} is in several stores: {names}", hint="Add --store STORE.")
    return found[0]


def _names(plan_id: str, table: str | None) -> bool:
    source = plan_id.partition(">")[0]
    return table in (None, plan_id, source, source.rpartition(".")[2])


def _row(store: str, row: Parked) -> dict[str, Any]:
    return {
        "store": store, "id": row.id, "plan": row.plan_id, "key": list(row.key), "seq": row.seq, "op": row.op,
        "error": row.error,
    }  # fmt: skip

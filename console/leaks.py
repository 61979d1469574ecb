"""`cutover leaks`: foreign writes to the source's tables of a domain that the stores serve."""

from __future__ import annotations

import dataclasses
from contextlib import closing
from datetime import UTC, datetime
from typing import Annotated

import typer

from config.load import load_settings
from console.domain_orders import known_domain
from console.output import Invocation
from model.errors import ExitCode
from stores.control import leaks
from stores.control.leaks import Leak
from stores.errors import translated
from stores.postgres import connect_store

SHOWN_ROWS = 3


def show_leaks(
    context: typer.Context,
    domain: Annotated[str, typer.Argument(metavar="DOMAIN", help="A domain of the configuration.")],
    seen: Annotated[
        bool, typer.Option("--seen", help="They were looked at: end the alarm. They stay on record.")
    ] = False,
) -> int:
    """Writes of others to the source since the cutover: table, position, rows, and who, if known. Exit 5 while open."""
    invocation: Invocation = context.obj
    settings = load_settings(invocation.config)
    known_domain(settings, domain)
    found: list[tuple[str, Leak]] = []
    for store in settings.stores:
        dsn = settings.stores[store].dsn
        with closing(connect_store(dsn, application="crossfade cli")) as connection, translated(f"store {store}"):
            row = connection.execute("SELECT to_regclass('crossfade.source_leak') IS NOT NULL").fetchone()
            if not (row and row[0]):
                continue
            if seen:
                leaks.see(connection, settings.name, domain)
            found += [(store, leak) for leak in leaks.load(connection, settings.name, domain)]
    still_open = sum(leak.state == "open" for _, leak in found)
    if invocation.json:
        invocation.emit(
            "crossfade.leaks/1", {"domain": domain, "leaks": [{"store": s, **dataclasses.asdict(o)} for s, o in found]}
        )
    else:
        _say(invocation, domain, found, still_open)
    return ExitCode.DIFFERENCES if still_open else ExitCode.CLEAN


def _say(invocation: Invocation, domain: str, found: list[tuple[str, Leak]], still_open: int) -> None:
    if not found:
        invocation.say(f"{domain}: nobody wrote to the source behind the cutover")
        return
    for _, leak in found:
        when = datetime.fromtimestamp(leak.at_s, UTC).strftime("%Y-%m-%d %H:%M:%S")
        who = f" by {leak.who}" if leak.who else f" by thread {leak.thread_id}" if leak.thread_id else ""
        invocation.say(f"{leak.state:<5} {when} UTC  {leak.table}  {leak.row_count} rows at {leak.position}{who}")
        if leak.statement:
            invocation.say(f"      {leak.statement[:200]}")
        for row in leak.rows[:SHOWN_ROWS]:
            invocation.say(f"      {row['op']} {row['new'] or row['old']}")
    if still_open:
        invocation.say(
            "These writes are in the source only; the store that serves has not got them. Write what matters to the "
            f"stores, find the writer, then: crossfade cutover leaks {domain} --seen"
        )

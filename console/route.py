"""`route`: where readers and writers of a domain are sent, as the daemon tells applications."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated, Any

import typer

from config.load import load_settings
from console.domain_orders import known_domain
from console.output import Invocation
from cutover.phases import Phase, Side
from daemon.client import ask
from stores.control import routes
from stores.control.routes import Route
from stores.errors import translated
from stores.postgres import connect_store
from web.route_pages import route_document

group = typer.Typer(name="route", help="Where applications are sent.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands to the root."""
    app.add_typer(group)


@group.command("show")
def show(context: typer.Context, domain: Annotated[str | None, typer.Argument(metavar="[DOMAIN]")] = None) -> None:
    """Print side, epoch, readers and revision of every domain, or of one."""
    invocation: Invocation = context.obj
    settings = load_settings(invocation.config)
    if domain is not None:
        known_domain(settings, domain)
    with (
        closing(connect_store(settings.control_dsn, application="crossfade cli")) as connection,
        translated("control store"),
    ):
        row = connection.execute("SELECT to_regclass('crossfade.route') IS NOT NULL").fetchone()
        found = routes.every(connection, settings.name) if row and row[0] else {}
    chosen = [domain] if domain else list(settings.domains)
    untouched = Route("", str(Phase.FOLLOWING), str(Side.SOURCE), 0, str(Side.SOURCE), 0, 0)
    documents = [
        {**route_document(found.get(name, untouched), settings.cutover.max_read_lag_s), "domain": name}
        for name in chosen
    ]
    if invocation.json:
        invocation.emit("crossfade.routes/1", {"routes": documents})
        return
    for document in documents:
        invocation.say(route_line(document))


@group.command("set")
def set_(
    context: typer.Context,
    domain: Annotated[str, typer.Argument(metavar="DOMAIN")],
    reads: Annotated[Side | None, typer.Option(help="Where readers go.")] = None,
    canary: Annotated[
        int | None, typer.Option(metavar="PERCENT", min=0, max=100, help="Only so many of the readers.")
    ] = None,
) -> None:
    """Send readers to the stores before the cutover, all or a share, or back. Writers follow the cutover alone.

    Exit 3 when the stores are not close enough, or the domain is moving.
    """
    invocation: Invocation = context.obj
    settings = load_settings(invocation.config)
    known_domain(settings, domain)
    args: dict[str, Any] = {"domain": domain}
    if reads is not None:
        args["reads"] = str(reads)
    if canary is not None:
        args["canary_percent"] = canary
    route = Route(**ask(settings, "route", args))
    document = route_document(route, settings.cutover.max_read_lag_s)
    if invocation.json:
        invocation.emit("crossfade.route/1", document)
    else:
        invocation.say(route_line(document))


def route_line(document: dict[str, Any]) -> str:
    """One route for people."""
    share = document["canary_percent"]
    readers = f"{share} % of the readers to the {document['reads']}" if share else f"readers to the {document['side']}"
    facts = [f"writers to the {document['side']}", readers, f"epoch {document['epoch']}", document["phase"]]
    if document["held"]:
        facts.append("a write stop is under way")
    if document["reason"]:
        facts.append(document["reason"])
    return f"{document['domain']}: " + " · ".join(facts)

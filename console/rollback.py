"""`rollback`: move a domain back to the source, with everything that was written to the stores meanwhile."""

from __future__ import annotations

from typing import Annotated

import typer

from console.cutover import Confirm, Domain, Identity, Override, consents
from console.domain_orders import confirmed, order, show_status

group = typer.Typer(name="rollback", help="Move a domain back to the source.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands to the root."""
    app.add_typer(group)


@group.command("check")
def check(context: typer.Context, domain: Domain) -> int:
    """Measure every gate of a rollback. Exit 3 when one refuses. Changes nothing."""
    return order(context.obj, domain, "check")


@group.command("run")
def run(
    context: typer.Context,
    domain: Domain,
    confirm: Confirm = None,
    override: Override = None,
    accept_identity: Identity = False,
    accept_divergence: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The domain's name: give up what the source has not got; it is written to a file first.",
        ),
    ] = None,
) -> int:
    """Roll back. Exit 3: refused, nothing changed; 9: aborted and undone; 10: in doubt, the daemon goes on."""
    typed = confirmed(context.obj, domain, confirm, f"{domain} moves back to the source")
    accepted = consents(None, override, accept_identity)
    if accept_divergence is not None:
        accepted["accept_divergence"] = accept_divergence
    return order(context.obj, domain, "back", confirm=typed, **accepted)


@group.command("status")
def status(context: typer.Context, domain: Annotated[str | None, typer.Argument(metavar="[DOMAIN]")] = None) -> int:
    """Where the domains are; with a name, its journal too."""
    return show_status(context.obj, domain)

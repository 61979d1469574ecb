"""`cutover` and `finalize`: move a domain from the source to its stores, seconds of write stop, always a way back."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from config.load import load_settings
from console.domain_orders import confirmed, known_domain, order, show_status
from console.leaks import show_leaks
from console.output import Invocation
from console.plan_text import plan_document
from daemon.planning import read_followed

Domain = Annotated[str, typer.Argument(metavar="DOMAIN", help="A domain of the configuration.")]
Lossy = Annotated[
    list[str] | None,
    typer.Option("--accept-lossy", metavar="TABLE.COLUMN", help="Its way back is not exact: accepted."),
]
Override = Annotated[
    list[str] | None, typer.Option("--override", metavar="GATE=REASON", help="Let this gate pass; it is written down.")
]
Identity = Annotated[
    bool, typer.Option("--accept-identity", help="The servers are the right ones though they are others than before.")
]
Confirm = Annotated[str | None, typer.Option("--confirm", metavar="NAME", help="The domain's name, typed.")]

group = typer.Typer(name="cutover", help="Move a domain to its stores.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands to the root."""
    group.command("leaks")(show_leaks)
    app.add_typer(group)
    app.command("finalize")(finalize)


def consents(accept_lossy: list[str] | None, override: list[str] | None, accept_identity: bool) -> dict[str, Any]:
    """What was accepted by name, as arguments of an order."""
    return {
        "accept_lossy": accept_lossy or [], "override": override or [], "accept_identity": accept_identity,
    }  # fmt: skip


@group.command("check")
def check(
    context: typer.Context,
    domain: Domain,
    accept_lossy: Lossy = None,
    override: Override = None,
    accept_identity: Identity = False,
) -> int:
    """Measure every gate: value, limit, what to do. Exit 3 when one refuses. Changes nothing."""
    return order(context.obj, domain, "check", **consents(accept_lossy, override, accept_identity))


@group.command("plan")
def plan(context: typer.Context, domain: Domain) -> None:
    """Print every step and every statement that would be run. Asks no daemon, changes nothing."""
    invocation: Invocation = context.obj
    settings = load_settings(invocation.config)
    known_domain(settings, domain)
    planned = read_followed(settings)
    document = plan_document(settings, domain, planned.plan, planned.tables)
    if invocation.json:
        invocation.emit("crossfade.cutover-plan/1", document)
        return
    for title in ("problems", "lossy", "prepare_source", "prepare_stores", "limits", "cutover", "rollback"):
        invocation.say(f"{title}:", *(f"  {line}" for line in document[title] or ["(none)"]))


@group.command("rehearse")
def rehearse(
    context: typer.Context,
    domain: Domain,
    accept_lossy: Lossy = None,
    override: Override = None,
    accept_identity: Identity = False,
) -> int:
    """Do everything before the fence against live traffic, without refusing anybody; predicts the write stop."""
    return order(context.obj, domain, "rehearse", **consents(accept_lossy, override, accept_identity))


@group.command("run")
def run(
    context: typer.Context,
    domain: Domain,
    confirm: Confirm = None,
    accept_lossy: Lossy = None,
    override: Override = None,
    accept_identity: Identity = False,
) -> int:
    """Cut over. Exit 3: refused, nothing changed; 9: aborted and undone; 10: in doubt, the daemon goes on."""
    typed = confirmed(context.obj, domain, confirm, f"{domain} moves to its stores")
    return order(context.obj, domain, "run", confirm=typed, **consents(accept_lossy, override, accept_identity))


@group.command("status")
def status(context: typer.Context, domain: Annotated[str | None, typer.Argument(metavar="[DOMAIN]")] = None) -> int:
    """Where the domains are; with a name, its journal too."""
    return show_status(context.obj, domain)


@group.command("cancel")
def cancel(
    context: typer.Context,
    domain: Domain,
    remove: Annotated[bool, typer.Option("--remove", help="Also take gates and slots away again.")] = False,
) -> int:
    """Undo a cutover that has not passed its point of no return."""
    code = order(context.obj, domain, "cancel")
    return order(context.obj, domain, "unprepare") if remove else code


def finalize(
    context: typer.Context,
    domain: Domain,
    confirm: Confirm = None,
    before_soak: Annotated[bool, typer.Option("--before-soak", help="Do not wait for cutover.soak_s.")] = False,
) -> int:
    """Give up the way back: the reverse stream ends, the source's gate stays closed."""
    typed = confirmed(context.obj, domain, confirm, f"{domain} loses its way back")
    return order(context.obj, domain, "finalize", confirm=typed, before_soak=before_soak)

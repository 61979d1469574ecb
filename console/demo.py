"""`demo`: the whole story on this machine, with servers, data and customers of its own."""

from __future__ import annotations

from typing import Annotated

import typer

from console.output import Invocation
from model.errors import ExitCode, Unreachable


def register(app: typer.Typer) -> None:
    """Add this command to the root."""
    app.command("demo")(demo)


def demo(
    context: typer.Context,
    source: Annotated[str, typer.Option(help="mariadb-10.11, mysql-9.7 or mysql-5.6.")] = "mariadb-10.11",
    store: Annotated[str, typer.Option(help="postgres-15, -16, -17 or -18.")] = "postgres-15",
    rows: Annotated[int, typer.Option(min=2000, help="Rows of the legacy shop.")] = 500_000,
    rate: Annotated[float, typer.Option(min=1, help="Customers' operations per second.")] = 200.0,
    seconds: Annotated[float, typer.Option(min=1, help="How long to stream under traffic.")] = 15.0,
    cutover: Annotated[bool, typer.Option(help="Also move the domains to their stores.")] = True,
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running, and say how to connect.")] = False,
) -> int:
    """A legacy shop under traffic is copied, streamed and verified into three stores. Exit 0 only when all is clean."""
    from demo.story import DemoOptions, play
    from servers import ServerUnavailable

    invocation: Invocation = context.obj
    options = DemoOptions(source=source, store=store, rows=rows, rate=rate, seconds=seconds, cutover=cutover, keep=keep)
    try:
        well = play(options, invocation.stdout, lambda text: invocation.stderr.print(text, style="red", markup=False))
    except ServerUnavailable as error:
        raise Unreachable(str(error), hint="Install the server named above, then run the demo again.") from error
    return ExitCode.CLEAN if well else ExitCode.DIFFERENCES

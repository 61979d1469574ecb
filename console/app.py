"""The root of the command tree and the options that hold for every command."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

from console import commands
from console.output import Invocation, Output


def app_for(words: Sequence[str]) -> typer.Typer:
    """The command tree as far as this command line needs it."""
    app = typer.Typer(
        name="crossfade",
        help="Move a live MySQL or MariaDB database to PostgreSQL stores: copy, stream, verify, cut over, roll back.",
        no_args_is_help=True,
        add_completion=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(root)
    commands.register(app, words)
    return app


def program_version() -> str:
    """The installed version, or `checkout` when run from a bare clone."""
    try:
        return version("crossfade")
    except PackageNotFoundError:
        return "checkout"


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"crossfade {program_version()}")
        raise typer.Exit


def root(
    context: typer.Context,
    config: Annotated[
        Path, typer.Option("--config", "-c", envvar="CROSSFADE_CONFIG", metavar="FILE", help="The configuration file.")
    ] = Path("crossfade.yaml"),
    output: Annotated[Output, typer.Option("--output", "-o", help="Form of the result.")] = Output.TEXT,
    no_input: Annotated[bool, typer.Option("--no-input", help="Never ask; fail where an answer is needed.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No remarks on stderr.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Print tracebacks.")] = False,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options that hold for every command."""
    invocation = context.ensure_object(Invocation)
    invocation.config, invocation.output = config, output
    invocation.no_input, invocation.quiet, invocation.debug = no_input, quiet, debug

"""The entry point: runs the command line and turns every error into a message, the next step and an exit code."""

from __future__ import annotations

import sys
import traceback

import typer
from typer.exceptions import TyperException

from config.logging import configure_logging
from config.settings import LogSettings
from console.app import app_for
from console.output import Invocation
from model.errors import CrossfadeError, ExitCode


def run() -> None:
    """Run the command line and exit with a code of `model.errors.ExitCode`."""
    sys.exit(main(sys.argv[1:]))


def main(arguments: list[str]) -> int:
    """Run one command; returns the exit code. No traceback unless --debug."""
    invocation = Invocation()
    # Until a command says otherwise: nothing but warnings, and never on stdout, which belongs to the result.
    configure_logging(LogSettings(format="console", level="warning"))
    try:
        result = app_for(arguments)(args=arguments, standalone_mode=False, prog_name="crossfade", obj=invocation)
        return int(result) if isinstance(result, int) else ExitCode.CLEAN
    except CrossfadeError as error:
        if invocation.debug:
            traceback.print_exc()
        invocation.fail(error)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        invocation.stderr.print("interrupted")
        return ExitCode.INTERRUPTED
    except TyperException as error:
        # typer exports the base alone; what it raises is shown with the usage before it.
        show = getattr(error, "show", None)
        show() if show is not None else invocation.stderr.print(error.format_message())
        return error.exit_code
    except BrokenPipeError:
        return ExitCode.CLEAN
    except Exception as error:
        if invocation.debug:
            traceback.print_exc()
        invocation.fail(CrossfadeError(f"this is a bug in crossfade: {type(error).__name__}: {error}"))
        return ExitCode.BUG


if __name__ == "__main__":
    run()

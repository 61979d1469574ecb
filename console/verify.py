"""`verify`: do the stores hold what the source holds, with keys and values of what differs. Exit 0, 5 or 6.

Without a verb it runs; `verify_history.py` has the verbs about runs, findings and coverage.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from config.load import load_settings
from config.settings import Settings
from console.output import Invocation
from console.verify_progress import shown_progress
from console.verify_text import verdict_text
from daemon.planning import Planned, read_followed
from model.errors import CrossfadeError, UsageError
from stores.control.verify_runs import StoredRun
from validators.findings import Mode, Outcome, Verdict
from validators.journal import conclude
from validators.run import Scope, Verification
from validators.stored_ledger import StoredLedger
from validators.verdict_documents import document, next_steps

group = typer.Typer(name="verify", invoke_without_command=True)


def register(app: typer.Typer) -> None:
    """Add this command and its verbs to the root."""
    from console import verify_history

    verify_history.register(group)
    app.add_typer(group)


@dataclass(frozen=True, slots=True)
class Order:
    """What a run is asked to do; kept with the run, so that another process can go on with it."""

    mode: Mode
    tables: tuple[str, ...] = ()
    store: str | None = None
    deadline_s: float | None = None

    def document(self) -> dict[str, Any]:
        """JSON form."""
        return {**dataclasses.asdict(self), "mode": str(self.mode), "tables": list(self.tables)}

    @staticmethod
    def of(options: Mapping[str, Any]) -> Order:
        """The order that `document` made."""
        return Order(Mode(options["mode"]), tuple(options["tables"]), options["store"], options["deadline_s"])


@group.callback()
def verify(
    context: typer.Context,
    mode: Annotated[
        Mode, typer.Option(help="auto takes checksum where the source can compute it, else rows.")
    ] = Mode.AUTO,
    table: Annotated[
        list[str] | None, typer.Option("--table", "-t", metavar="TABLE", help="Only this table; repeat for several.")
    ] = None,
    store: Annotated[str | None, typer.Option(help="Only this store.")] = None,
    deadline: Annotated[
        float | None,
        typer.Option(min=0, metavar="SECONDS", help="How long differing rows are followed; default verify.settle_s."),
    ] = None,
) -> int:
    """Compare source and stores while both are in use. Exit 5 when rows differ, 6 when it could not be decided."""
    if context.invoked_subcommand is not None:
        return 0
    invocation: Invocation = context.obj
    settings = load_settings(invocation.config)
    order = Order(mode, tuple(table or ()), store, deadline)
    planned = read_followed(settings)
    scope = _scope(planned, order)
    # Refuses what cannot be run, before it is entered.
    compared = Verification(settings, scope, mode, threading.Event()).fingerprints()
    options = {**order.document(), "compared": compared}
    try:
        ledger = StoredLedger.new(settings.control_dsn, settings.name, str(mode), options)
    except CrossfadeError as error:
        invocation.note(f"the run cannot be stored, nor resumed: {error}")
        return carry_out(invocation, settings, scope, order, None)
    with closing(ledger):
        return carry_out(invocation, settings, scope, order, ledger)


def resume(invocation: Invocation, settings: Settings, run: StoredRun) -> int:
    """Go on with a run that was stopped or killed, or help one that is at work; gives the exit code.

    Raises UsageError when it is finished, or the mapping is another one by now.
    """
    order = Order.of(run.options)
    scope = _scope(read_followed(settings), order)
    now = Verification(settings, scope, order.mode, threading.Event()).fingerprints()
    if now != run.options["compared"]:
        changed = sorted(set(now.items()) ^ set(run.options["compared"].items()))
        raise UsageError(
            f"the mapping or definition of {changed[0][0]} has changed since run {run.id} began",
            hint="What it compared proves nothing for the new one; begin another run: crossfade verify",
        )
    with closing(StoredLedger.again(settings.control_dsn, settings.name, run)) as ledger:
        return carry_out(invocation, settings, scope, order, ledger)


def _scope(planned: Planned, order: Order) -> Scope:
    return Scope(planned.info, planned.tables, planned.plan, order.tables, order.store)


def carry_out(
    invocation: Invocation, settings: Settings, scope: Scope, order: Order, ledger: StoredLedger | None
) -> int:
    """Run, keep the verdict, show it; gives the exit code. An interrupted run is kept as stopped."""
    stop = threading.Event()
    with shown_progress(invocation) as progress:
        run = Verification(
            settings, scope, order.mode, stop,
            deadline_s=order.deadline_s, ledger=ledger, progress=progress, tool_version=_version(),
        )  # fmt: skip
        try:
            verdict = run.run()
        except KeyboardInterrupt:
            if ledger is not None:
                _keep(invocation, settings, ledger, run.verdict(), finished=False)
                invocation.note(f"stopped; go on with: crossfade verify resume {ledger.run.id}")
            raise
        finally:
            stop.set()
    finished = run.finished()
    if ledger is not None:
        _keep(invocation, settings, ledger, verdict, finished=finished)
    show_verdict(invocation, verdict, ledger.run.id if ledger else None, finished=finished)
    return verdict.exit_code


def _keep(
    invocation: Invocation, settings: Settings, ledger: StoredLedger, verdict: Verdict, *, finished: bool
) -> None:
    told = document(verdict)
    told["tables"] = [{name: value for name, value in table.items() if name != "findings"} for table in told["tables"]]
    try:
        conclude(settings.control_dsn, ledger.run.id, verdict, told, finished=finished)
    except CrossfadeError as error:
        invocation.note(f"the verdict could not be stored: {error}")


def show_verdict(invocation: Invocation, verdict: Verdict, run_id: int | None, *, finished: bool = True) -> None:
    """Print a verdict with what to do next."""
    told, steps = document(verdict), next_steps(verdict)
    if run_id is not None and not finished:
        steps = [f"crossfade verify resume {run_id}", *steps]
    elif run_id is not None and verdict.outcome is Outcome.FAIL and verdict.mode in REPAIRABLE:
        steps = [f"crossfade repair --verify {run_id} --dry-run", *steps]
    told["next_steps"] = steps
    if invocation.json:
        invocation.emit("crossfade.verify/1", {"run": run_id, "finished": finished, **told})
    else:
        invocation.say(*verdict_text(verdict, run_id, steps))


REPAIRABLE = frozenset({Mode.AUTO, Mode.CHECKSUM, Mode.ROWS, Mode.SAMPLE})
"""Modes whose findings are rows with keys."""


def _version() -> str:
    from console.app import program_version

    return program_version()

"""`repair`: mend the rows that a verification found to differ, one transaction at a known position at a time."""

from __future__ import annotations

import dataclasses
import getpass
import threading
from contextlib import closing
from typing import Annotated

import typer

from config.load import load_settings
from console.output import Invocation
from cutover.served import served_by_stores
from daemon.planning import Planned, read_followed
from model.errors import ExitCode, UsageError
from stores.control import domains, verify_runs
from stores.control.migrations import prepare_control
from stores.control.verify_runs import StoredFinding
from stores.errors import translated
from stores.postgres import PostgresConnection, connect_store
from transforms.plan import TablePlan
from validators.cutting import leading_column
from validators.journal import enter_findings
from validators.repair import Action, Repair, Repaired
from validators.run import names_of
from validators.spans import Span


def register(app: typer.Typer) -> None:
    """Add this command to the root."""
    app.command("repair")(repair)


def repair(
    context: typer.Context,
    verify: Annotated[
        int | None, typer.Option("--verify", metavar="RUN", help="Only what this run found; default: all that is open.")
    ] = None,
    table: Annotated[list[str] | None, typer.Option("--table", "-t", metavar="TABLE", help="Only this table.")] = None,
    key: Annotated[
        list[str] | None,
        typer.Option("--key", metavar="COLUMN=VALUE,…", help="The row of --table with this key; repeat for several."),
    ] = None,
    between: Annotated[
        str | None,
        typer.Option("--range", metavar="LOW:HIGH", help="Compare this range of --table now, mend what differs."),
    ] = None,
    whole: Annotated[bool, typer.Option("--whole", help="Compare all of --table now, mend what differs.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the statements, change nothing.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Mend at most this many rows.")] = 1_000,
    deadline: Annotated[float | None, typer.Option(min=0, metavar="SECONDS", help="Per table.")] = None,
) -> int:
    """Read differing rows from the source anew and write them. Exit 0 when all are mended and proven, else 6."""
    invocation: Invocation = context.obj
    if (key or between or whole) and (len(table or ()) != 1 or verify is not None):
        raise UsageError("--key, --range and --whole are about one table", hint="Name it: --table TABLE")
    settings = load_settings(invocation.config)
    planned = read_followed(settings)
    with closing(connect_store(settings.control_dsn, application="crossfade repair")) as connection:
        prepare_control(connection)
        with translated("control store"):
            if verify is not None and verify_runs.run_of(connection, settings.name, verify) is None:
                last = verify_runs.run_of(connection, settings.name)
                hint = f"The last one is {last.id}." if last else "Run: crossfade verify"
                raise UsageError(f"there is no verification run {verify}", hint=hint)
            findings = verify_runs.findings_of(connection, settings.name, verify)
            served = served_by_stores(settings, planned.plan, domains.every(connection, settings.name))
        plans = _chosen(planned, table or [])
        if table:
            findings = tuple(finding for finding in findings if finding.plan_id in plans)
        journal = _Journal(connection, settings.name)
        run = Repair(
            settings,
            planned.info,
            planned.tables,
            planned.plan,
            threading.Event(),
            deadline_s=settings.verify.settle_s if deadline is None else deadline,
            dry_run=dry_run,
            journal=journal.note,
        )
        if key:
            findings = tuple(_by_key(plan, text) for plan in plans.values() for text in key)
        elif between or whole:
            findings = ()
            for plan in plans.values():
                verdict = run.compare(plan, _span(plan, between))
                with translated("control store"):
                    number = verify_runs.continuous_run(connection, settings.name)
                    enter_findings(connection, settings.name, number, verdict)
                    seen = {verify_runs.digest(dict(found.key)) for found in verdict.findings}
                    known = verify_runs.findings_of(connection, settings.name)
                findings += tuple(
                    one for one in known if one.plan_id == plan.id and verify_runs.digest(one.key) in seen
                )
        done = [
            Repaired(item, Action.LEFT, why=f"the stores serve domain {served[item.plan_id]}: the source follows them")
            for item in findings
            if item.plan_id in served
        ]
        mendable = tuple(item for item in findings if item.plan_id not in served)
        done += run.run(mendable[:limit])
        for item in done:
            if item.proven:
                verify_runs.set_state(connection, item.finding.id, "confirmed")
    _show(invocation, done, len(findings) - len(done), dry_run)
    unmended = any(item.action is Action.LEFT or not (item.proven or dry_run) for item in done)
    return ExitCode.INCOMPLETE if unmended or len(done) < len(findings) else ExitCode.CLEAN


def _chosen(planned: Planned, tables: list[str]) -> dict[str, TablePlan]:
    """Plan id → plan of the named tables. Raises UsageError for a name that no plan has."""
    wanted = {name.lower() for name in tables}
    found = {plan.id: plan for plan in planned.plan.plans if wanted & names_of(plan)}
    known = {name for plan in found.values() for name in names_of(plan)}
    if unknown := sorted(wanted - known):
        raise UsageError(f"there is no table {unknown[0]!r} in the plan", hint="See: crossfade status --tables")
    return found


def _by_key(plan: TablePlan, text: str) -> StoredFinding:
    """The row with a key, as a finding that nobody has made yet. Raises UsageError."""
    names = [plan.columns[index].target.name for index in plan.key]
    values = dict(part.partition("=")[::2] for part in text.split(",")) if len(names) > 1 else {}
    if len(names) == 1:
        column, _, value = text.partition("=")
        values = {column: value}
    if set(values) != set(names):
        raise UsageError(
            f"{text!r} is no key of {plan.target.name}",
            hint=f"Its key: {', '.join(f'{name}=…' for name in names)}" if names else "The table has no key.",
        )
    return StoredFinding(plan.id, {name: values[name] for name in names}, "asked for", ())


def _span(plan: TablePlan, between: str | None) -> Span:
    """The span that LOW:HIGH means. Raises UsageError."""
    if between is None:
        return Span()
    position = leading_column(plan)
    low, _, high = between.partition(":")
    if position is None:
        raise UsageError(
            f"{plan.target.name} has no whole-number key column that a range could be of", hint="Use --whole or --key."
        )
    try:
        return Span(
            plan.columns[position].target.name, int(low) if low.strip() else None, int(high) if high.strip() else None
        )
    except ValueError:
        raise UsageError(f"{between!r} is no range", hint="Give whole numbers: --range 1000:1999") from None


class _Journal:
    """Notes repairs in the control store, as they are committed."""

    def __init__(self, connection: PostgresConnection, name: str) -> None:
        self._connection = connection
        self._name = name
        self._actor = getpass.getuser()

    def note(self, item: Repaired) -> None:
        if item.action is Action.LEFT:
            return
        finding: StoredFinding = item.finding
        with self._connection.transaction():
            if item.action is not Action.NONE:
                verify_runs.log_repair(
                    self._connection, self._name, finding, str(item.action), item.before, item.after, item.seq,
                    self._actor,
                )  # fmt: skip
            verify_runs.set_state(self._connection, finding.id, "repaired")


def _show(invocation: Invocation, done: list[Repaired], beyond: int, dry_run: bool) -> None:
    if invocation.json:
        shown = [field.name for field in dataclasses.fields(Repaired) if field.name != "finding"]
        rows = [
            {
                **{name: getattr(item, name) for name in shown},
                "plan": item.finding.plan_id,
                "key": item.finding.key,
                "kind": item.finding.kind,
            }
            for item in done
        ]
        invocation.emit("crossfade.repair/1", {"dry_run": dry_run, "rows": rows, "beyond_limit": beyond})
        return
    for item in done:
        key = " ".join(f"{name}={value}" for name, value in item.finding.key.items())
        place = item.finding.plan_id.partition(">")[2]
        if item.action is Action.LEFT:
            invocation.say(f"left     {place} {key}: {item.why}")
        elif dry_run:
            invocation.say(f"{item.statement};" if item.statement else f"-- right already: {place} {key}")
        else:
            invocation.say(f"{item.action:<8} {place} {key}" + ("" if item.proven else f"  NOT PROVEN {item.why}"))
    if not done:
        invocation.say("nothing to repair")
    if beyond > 0:
        invocation.say(f"{beyond:,} more rows are beyond --limit")
    if done:
        invocation.say("next: crossfade repair" if dry_run else "next: crossfade verify")

"""The status as the stores and the control store remember it: for the CLI, with or without a running daemon."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from typing import Any

from config.settings import Settings
from daemon.client import look
from daemon.status import FAILURES, Health, Reason, State, StatusReport, StoreStatus, TableStatus
from model.errors import ExitCode, Refused
from stores.control import checkpoints, table_states, verify_proof
from stores.errors import translated
from stores.postgres import connect_store


class NeverStarted(Refused):
    """This migration was never started."""

    exit_code = ExitCode.REFUSED
    default_hint = "Start it: crossfade start"


def current_status(settings: Settings) -> dict[str, Any]:
    """The living daemon's own report, else STOPPED with what the checkpoints say. Raises NeverStarted."""
    seen = look(settings)
    if seen.alive and seen.daemon is not None and seen.daemon.status:
        return dict(seen.daemon.status)
    stores: list[StoreStatus] = []
    tables: list[TableStatus] = []
    for name, store in settings.stores.items():
        with closing(connect_store(store.dsn, application="crossfade cli")) as connection, translated(f"store {name}"):
            row = connection.execute("SELECT to_regclass('crossfade.checkpoint') IS NOT NULL").fetchone()
            checkpoint = checkpoints.read(connection, settings.name) if row and row[0] else None
            if checkpoint is None:
                continue
            stores.append(
                StoreStatus(
                    name,
                    "stopped",
                    checkpoint.seq,
                    str(checkpoint.position.coordinate),
                    None,
                    0,
                    checkpoint.applied_rows,
                    0.0,
                )
            )
            tables.extend(
                TableStatus(state.plan_id, name, state.phase, state.rows_copied, state.reason)
                for state in table_states.load(connection, settings.name).values()
            )
    if not stores:
        raise NeverStarted(f"{settings.name} was never started")
    since = datetime.fromtimestamp(seen.daemon.started_s, UTC) if seen.daemon else datetime.now(UTC)
    last: dict[str, Any] = dict(seen.daemon.status) if seen.daemon else {}
    if seen.daemon is not None:
        since = datetime.now(UTC) if not last.get("at") else datetime.fromisoformat(last["at"])
    clean = last.get("state") == "STOPPED"
    reason = Reason(
        "DAEMON_STOPPED" if clean else "DAEMON_LOST",
        "daemon",
        "the daemon was stopped" if clean else "the daemon is gone without a farewell (killed, or its host died)",
        "crossfade start",
    )
    # What ended it stands in its last words; pauses and retries ended with it.
    failures = tuple(Reason(**item) for item in last.get("reasons", ()) if clean and item["code"] in FAILURES)
    report = StatusReport(
        migration=settings.name,
        state=State.STOPPED,
        health=Health.FAILED if failures else Health.DEGRADED,
        since=since,
        reasons=(*failures, reason),
        next_steps=tuple(dict.fromkeys(item.next for item in (*failures, reason) if item.next)),
        source=None,
        stores=tuple(stores),
        tables=tuple(tables),
        copy=None,
    )
    return {**report.document(), "verification": _proofs(settings)}


def _proofs(settings: Settings) -> dict[str, Any]:
    """What is proven, as the control store remembers it."""
    with (
        closing(connect_store(settings.control_dsn, application="crossfade cli")) as connection,
        translated("control store"),
    ):
        proofs = verify_proof.coverage(connection, settings.name)
    return {
        "period_s": settings.verify.period_s,
        "reason": "no daemon runs",
        "tables": [proofs[plan_id].document() for plan_id in sorted(proofs)],
    }

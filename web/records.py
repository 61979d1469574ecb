"""What the control store remembers, read for requests: domains and journals, verifications, history."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any, TypeVar

from pydantic import SecretStr

from stores.control import domains, events, journal, verify_runs
from stores.errors import translated
from stores.postgres import PostgresConnection, connect_store
from web.answers import stamp

Found = TypeVar("Found")


class Records:
    """Reads for one migration; every call may take milliseconds and blocks."""

    def __init__(self, dsn: SecretStr, name: str) -> None:
        self._dsn = dsn
        self._name = name

    def _read(self, act: Callable[[PostgresConnection], Found]) -> Found:
        with closing(connect_store(self._dsn, application="crossfade http")) as store, translated("control store"):
            return act(store)

    def history(self, limit: int, after: int) -> list[dict[str, Any]]:
        """The last events above number `after`, oldest first."""
        found = self._read(lambda store: events.latest(store, self._name, limit, after))
        return [
            {"id": one.id, "at": stamp(one.at_s), "kind": one.kind, "message": one.message, "facts": dict(one.facts)}
            for one in found
        ]

    def domains(self) -> dict[str, dict[str, Any]]:
        """Domain → phase, epoch, problem, the last outcome and the last steps."""

        def act(store: PostgresConnection) -> dict[str, dict[str, Any]]:
            return {
                state.domain: {
                    "phase": state.phase,
                    "epoch": state.epoch,
                    "side": state.side,
                    "problem": state.problem,
                    "since": stamp(state.since_s),
                    "result": dict(state.result),
                    "steps": [
                        {
                            "epoch": entry.epoch,
                            "step": entry.step,
                            "kind": str(entry.kind),
                            "at": stamp(entry.at_us / 1e6),
                            "facts": dict(entry.values),
                        }
                        for entry in journal.entries(store, self._name, state.domain)[-40:]
                    ],
                }
                for state in domains.every(store, self._name)
            }

        return self._read(act)

    def verify_run(self, number: int | None) -> dict[str, Any] | None:
        """One verification, the last without a number; None when there is none."""
        run = self._read(lambda store: verify_runs.run_of(store, self._name, number))
        if run is None:
            return None
        return {
            "id": run.id,
            "mode": run.mode,
            "outcome": run.outcome,
            "started_at": run.started_at,
            "finished_at": run.finished_at,
            "verdict": dict(run.verdict),
        }

    def open_findings(self) -> dict[str, int]:
        """Table plan → findings that are open."""
        counts: dict[str, int] = {}
        for finding in self._read(lambda store: verify_runs.findings_of(store, self._name)):
            counts[finding.plan_id] = counts.get(finding.plan_id, 0) + 1
        return counts

    def verify_counts(self) -> dict[tuple[str, str], int]:
        """(mode, outcome) → verifications."""
        return self._read(lambda store: verify_runs.counts(store, self._name))

    def last_passed(self) -> dict[str, float]:
        """Table plan → epoch seconds of the last verification that it passed."""
        return self._read(lambda store: verify_runs.last_passed(store, self._name))

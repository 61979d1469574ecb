"""What the control store remembers, read for requests: domains and journals, verifications, history."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import datetime
from typing import Any, Final, TypeVar

from pydantic import SecretStr

from reports.proofs import last_verdicts, proof_document, strip
from stores.control import domains, events, journal, quarantine, reports, samples, verify_proof, verify_runs
from stores.control.verify_proof import ChunkProof
from stores.errors import translated
from stores.postgres import PostgresConnection, connect_store
from web.answers import stamp

Found = TypeVar("Found")


PARKED: Final = 200
"""So many changes in quarantine are listed per store."""


class Records:
    """Reads for one migration; every call may take milliseconds and blocks. `stores`: name → DSN."""

    def __init__(self, dsn: SecretStr, name: str, stores: Mapping[str, SecretStr]) -> None:
        self._dsn = dsn
        self._name = name
        self._stores = stores

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
        return self._read(lambda store: verify_runs.open_counts(store, self._name))

    def last_verdicts(self) -> dict[str, tuple[str, datetime]]:
        """Table plan → outcome of its last verification, and when."""
        found = self._read(lambda store: last_verdicts(store, self._name))
        return {plan: (str(verdict.get("outcome")), at) for plan, (verdict, at, _) in found.items()}

    def verify_counts(self) -> dict[tuple[str, str], int]:
        """(mode, outcome) → verifications."""
        return self._read(lambda store: verify_runs.counts(store, self._name))

    def last_passed(self) -> dict[str, float]:
        """Table plan → epoch seconds of the last verification that it passed."""
        return self._read(lambda store: verify_runs.last_passed(store, self._name))

    def proofs(self) -> dict[str, dict[str, Any]]:
        """Table plan → `proof` (how much is proven, since when) and `strip` (its chunks in key order)."""

        def act(store: PostgresConnection) -> dict[str, dict[str, Any]]:
            chunks: dict[str, list[ChunkProof]] = {}
            differing = verify_runs.open_counts(store, self._name)
            for chunk in verify_proof.chunks_of(store, self._name):
                chunks.setdefault(chunk.plan_id, []).append(chunk)
            return {
                plan: {
                    "proof": proof_document(verify_proof.summed(plan, found), differing.get(plan, 0)),
                    "strip": strip(found),
                }
                for plan, found in chunks.items()
            }

        return self._read(act)

    def series(self, since_s: float) -> dict[str, list[list[float | None]]]:
        """Store → [epoch seconds, lag, highest lag, changes per second], oldest first."""
        found: dict[str, list[list[float | None]]] = {}
        for one in self._read(lambda store: samples.since(store, self._name, since_s)):
            rate = round(one.rows / one.seconds, 2) if one.seconds else 0.0
            found.setdefault(one.store, []).append([one.at.timestamp(), one.lag_s, one.lag_max_s, rate])
        return found

    def parked(self) -> tuple[list[dict[str, Any]], int]:
        """Changes in quarantine of all stores, oldest first (so many per store), and how many there are."""
        found: list[dict[str, Any]] = []
        count = 0
        for name, dsn in self._stores.items():
            with closing(connect_store(dsn, application="crossfade http")) as store, translated(f"store {name}"):
                count += sum(quarantine.count_parked(store, self._name).values())
                found += [
                    {
                        "store": name,
                        "id": one.id,
                        "plan": one.plan_id,
                        "key": list(one.key),
                        "op": one.op,
                        "error": one.error,
                        "since": stamp(one.since_s),
                    }
                    for one in quarantine.parked(store, self._name, PARKED)
                ]
        return sorted(found, key=lambda one: one["since"]), count

    def reports(self) -> list[dict[str, Any]]:
        """Every report, newest first."""
        return [
            {
                "number": one.number,
                "made_at": one.made_at,
                "outcome": one.outcome,
                "made_by": one.actor,
                "digests": dict(one.digests),
                "link": one.link,
                "delivery": dict(one.delivery or {}),
            }
            for one in reversed(self._read(lambda store: reports.every(store, self._name)))
        ]

    def report(self, number: int) -> Mapping[str, Any] | None:
        """The content of a report; None when it is not there (any more)."""
        return self._read(lambda store: reports.document_of(store, self._name, number))

"""Rounds of cutover and rollback under writes: every acknowledged write is there exactly once, on both sides."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from model.errors import ExitCode
from stores.control import journal
from stores.control.journal import Kind
from tests.support.clients import Clients
from tests.support.ledger import ACTS, DOMAIN, PATIENCE, Ledger, migrated_ledger
from tests.support.servers import SourceDatabase, StoreDatabase

SMALL = 3
FULL = 50
SMALL_RATE = 100.0
FULL_RATE = 500.0
P50_S = 0.5
P99_S = 1.0
SLOW_MS = 250.0
"""A step that once took longer is named."""
OPERATOR_WAITS_S = 600.0
BETWEEN_S = 1.0
"""How long each side serves before the next move."""


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("rounds", "rate"),
    [
        pytest.param(SMALL, SMALL_RATE, marks=pytest.mark.slow, id="small"),
        pytest.param(FULL, FULL_RATE, marks=pytest.mark.soak, id="full"),
    ],
)
def test_rounds_under_writes(
    rounds: int,
    rate: float,
    source_db: SourceDatabase,
    new_store_db: Callable[[], StoreDatabase],
    tmp_path: Path,
) -> None:
    extra = "" if rounds == FULL else PATIENCE
    with migrated_ledger(source_db, [new_store_db()], tmp_path, extra=extra) as ledger:
        migration = ledger.migration
        clients = Clients(ledger, rate=rate)
        stops: dict[str, list[float]] = {"cutover": [], "rollback": []}
        with clients.writing():
            time.sleep(BETWEEN_S)
            migration.ok("verify")
            for _ in range(rounds):
                for what, side in (("cutover", "stores"), ("rollback", "source")):
                    began, result = _moved(ledger, ACTS[what])
                    assert result["outcome"] == "done", result
                    time.sleep(BETWEEN_S)
                    clients.check()
                    stop_s = clients.timeline.write_stop_s(began, side)
                    assert stop_s is not None, f"no client met the {what}"
                    stops[what].append(stop_s)
            held = clients.assert_both_hold()
        _assert_rows_were_compared(ledger)
        acknowledged = clients.timeline.acknowledged
        seconds = acknowledged[-1][1] - acknowledged[0][0]
        print(f"\n{rounds} rounds, {len(acknowledged)} writes in {seconds:.0f} s, {held} rows on both sides")
        for what, found in stops.items():
            print(f"{what}: {_figures(found)}")
        print(_steps(ledger))
        if rounds == FULL:
            both = sorted(stops["cutover"] + stops["rollback"])
            assert statistics.median(both) <= P50_S, _figures(both)
            assert both[int(len(both) * 0.99) - 1] <= P99_S, _figures(both)


def _moved(ledger: Ledger, act: str) -> tuple[float, Mapping[str, Any]]:
    """Order a move as an operator does: one that is refused, because a side lags, is ordered again when it does not.

    Gives the time of the order that was not refused, and its outcome.
    """
    deadline = time.monotonic() + OPERATOR_WAITS_S
    while True:
        ledger.wait_ready(OPERATOR_WAITS_S)
        began = time.monotonic()
        result = ledger.order(act)
        if result["exit_code"] != ExitCode.REFUSED or time.monotonic() > deadline:
            return began, result


def _assert_rows_were_compared(ledger: Ledger) -> None:
    """The journal of some cutover has a checksum of rows that changed while it ran."""
    with ledger.control.connect() as connection:
        checks = [
            entry.values for entry in journal.entries(connection, "ledger", DOMAIN) if entry.step == "final_check"
        ]
    tables = [facts for check in checks for facts in check.get("tables", {}).values()]
    assert any(facts["changed"] and int(facts["checksum"], 16) for facts in tables)


def _steps(ledger: Ledger) -> str:
    """Where the time goes: median milliseconds between journal entries, of these in the step, and the worst."""
    with ledger.control.connect() as connection:
        entries = [entry for entry in journal.entries(connection, "ledger", DOMAIN) if entry.kind is not Kind.INTENT]
    first = {entry.epoch: entry.step for entry in reversed(entries) if entry.kind is Kind.PHASE}
    spent: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for before, entry in itertools.pairwise(entries):
        if before.epoch == entry.epoch:
            inside = float(entry.values.get("took_s", 0)) * 1000
            spent.setdefault((first[entry.epoch], entry.step), []).append(((entry.at_us - before.at_us) / 1000, inside))
    slowest = [
        f"{run:14}{step:16}{max(whole for whole, _ in found):8.1f} ms once"
        for (run, step), found in spent.items()
        if max(whole for whole, _ in found) > SLOW_MS and step not in (run, "live", "prepared")
    ]
    return "\n".join(
        [
            f"{run:14}{step:16}{statistics.median(whole for whole, _ in found):8.1f} ms, of these in the step"
            f"{statistics.median(inside for _, inside in found):8.1f} ms"
            for (run, step), found in spent.items()
        ]
        + slowest
    )


def _figures(stops: list[float]) -> str:
    ordered = sorted(stops)
    p99 = ordered[max(0, -(-len(ordered) * 99 // 100) - 1)]
    return f"write stop p50 {statistics.median(ordered):.3f} s, p99 {p99:.3f} s, longest {ordered[-1]:.3f} s"

"""Runs and findings in the control store: one row per differing key, and the states it goes through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from stores.control import verify_proof, verify_runs
from stores.control.migrations import prepare_control
from stores.control.verify_runs import StoredFinding
from stores.postgres import connect_store
from tests.support.servers import StoreDatabase
from validators.findings import ColumnDifference, Finding, FindingKind, Mode, Outcome, TableVerdict, Verdict
from validators.journal import conclude, enter_findings

PLAN = "db.t>main:public.t"


def verdict(*keys: str, outcome: Outcome | None = None, leaves: int = 3) -> Verdict:
    """A run over one table that found these keys to differ."""
    findings = tuple(Finding(FindingKind.DIFFERS, (("id", key),), (ColumnDifference("v", None, "x"),)) for key in keys)
    judged = outcome or (Outcome.FAIL if keys else Outcome.PASS)
    table = TableVerdict(PLAN, "db.t", "main", "public.t", Mode.CHECKSUM, judged, findings=findings, leaves=leaves)
    return Verdict("m", Mode.CHECKSUM, datetime.now(UTC), 0.1, (table,))


def remember(dsn: SecretStr, found: Verdict, document: dict[str, str]) -> int:
    """Enter a whole run; gives its number."""
    with connect_store(dsn) as connection:
        run, _ = verify_runs.begin_run(connection, found.migration, str(found.mode), {})
    conclude(dsn, run, found, document)
    return run


@pytest.fixture
def states(store_db: StoreDatabase) -> Callable[[], dict[str, str]]:
    """States of the findings by key, as they are now."""
    with store_db.connect() as connection:
        prepare_control(connection)

    def now() -> dict[str, str]:
        return {key["id"]: state for key, state in store_db.rows("SELECT key, state FROM crossfade.verify_finding")}

    return now


def test_a_finding_goes_through_its_states(store_db: StoreDatabase, states: Callable[[], dict[str, str]]) -> None:
    dsn = SecretStr(store_db.dsn)
    first = remember(dsn, verdict("1", "2", "3"), {"note": "first"})
    again = remember(dsn, verdict("1", "2", "3"), {})
    assert again > first and states() == {"1": "open", "2": "open", "3": "open"}
    with store_db.connect() as connection:
        by_key = {finding.key["id"]: finding for finding in verify_runs.findings_of(connection, "m", again)}
        verify_runs.set_state(connection, by_key["1"].id, "repaired")
        verify_runs.set_state(connection, by_key["3"].id, "accepted", "known")
        # A run that did not cover everything closes nothing.
        remember(dsn, verdict(outcome=Outcome.INCONCLUSIVE), {})
        remember(dsn, verdict(leaves=0), {})
        assert states() == {"1": "repaired", "2": "open", "3": "accepted"}
        remember(dsn, verdict("3"), {})
        assert states() == {"1": "confirmed", "2": "gone", "3": "accepted"}
        remember(dsn, verdict("1"), {})
        assert states() == {"1": "open", "2": "gone", "3": "accepted"}
        (open_finding,) = verify_runs.findings_of(connection, "m")
        assert open_finding == StoredFinding(
            PLAN, {"id": "1"}, "differs", [{"column": "v", "source": None, "target": "x"}], "", "open", by_key["1"].id
        )
        run = verify_runs.run_of(connection, "m", first)
        assert run is not None and (run.outcome, run.verdict) == ("fail", {"note": "first"})
        last = verify_runs.run_of(connection, "m")
        assert last is not None and last.id > again
        assert verify_runs.run_of(connection, "other") is None
        # The last one is the last that finished; by its number any is found.
        begun, _ = verify_runs.begin_run(connection, "m", "auto", {"mode": "auto"})
        assert verify_runs.run_of(connection, "m") == last
        running = verify_runs.run_of(connection, "m", begun)
        assert running is not None and (running.state, running.options) == ("running", {"mode": "auto"})


def test_a_run_proves_an_empty_table(store_db: StoreDatabase, states: Callable[[], dict[str, str]]) -> None:
    found = verdict(leaves=0)
    empty = replace(found, tables=(replace(found.tables[0], source_rows=0, target_rows=0),))
    remember(SecretStr(store_db.dsn), empty, {})
    with store_db.connect() as connection:
        assert verify_proof.coverage(connection, "m")[PLAN].complete
    assert states() == {}


def test_what_the_daemon_sees_again_stays_the_finding_of_the_run(
    store_db: StoreDatabase, states: Callable[[], dict[str, str]]
) -> None:
    """`repair --verify RUN` mends it, also when the daemon's own run was begun after that one."""
    run = remember(SecretStr(store_db.dsn), verdict("1"), {})
    with store_db.connect() as connection:
        enter_findings(connection, "m", verify_runs.continuous_run(connection, "m"), verdict("1", "2").tables[0])
        assert [finding.key["id"] for finding in verify_runs.findings_of(connection, "m", run)] == ["1"]
    assert states() == {"1": "open", "2": "open"}


def test_a_whole_run_proves_its_tables(store_db: StoreDatabase, states: Callable[[], dict[str, str]]) -> None:
    dsn = SecretStr(store_db.dsn)
    remember(dsn, verdict("1"), {})
    remember(dsn, verdict(outcome=Outcome.INCONCLUSIVE), {})
    with store_db.connect() as connection:
        assert verify_proof.coverage(connection, "m") == {}
        remember(dsn, verdict(), {})
        assert verify_proof.coverage(connection, "m")[PLAN].complete

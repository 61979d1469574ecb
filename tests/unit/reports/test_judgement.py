"""The verdict of a report, what changed since the last, and the limits of a pipeline."""

from __future__ import annotations

from typing import Any

import pytest

from model.errors import UsageError
from reports.compare import changes
from reports.judgement import judge
from reports.proofs import percent_proven, strip
from reports.thresholds import Thresholds
from stores.control.verify_proof import ChunkProof, ProofState
from tests.unit.reports.documents import document, table

WELL = document()


@pytest.mark.parametrize(
    ("change", "outcome", "word"),
    [
        ({}, "pass", ""),
        ({"tables": [table(outcome="fail")]}, "fail", "differs"),
        ({"tables": [table(outcome="inconclusive", why="too busy")]}, "inconclusive", "too busy"),
        ({"tables": [table(outcome=None)]}, "inconclusive", "never verified"),
        ({"tables": [table(phase="held", phase_reason="a column was dropped")]}, "inconclusive", "column was dropped"),
        ({"tables": [table(parked=2)]}, "inconclusive", "2 changes in quarantine"),
        ({"tables": []}, "inconclusive", "no table"),
        ({"findings": {**WELL["findings"], "states": {"open": 3, "gone": 9}}}, "fail", "3 rows"),
        ({"findings": {**WELL["findings"], "states": {"confirmed": 3, "accepted": 1}}}, "pass", ""),
        ({"stores": [{**WELL["stores"][0], "problem": "cannot be reached"}]}, "inconclusive", "cannot be reached"),
        ({"totals": {"outcome": "fail", "why": "", "items": []}}, "fail", "totals"),
        ({"schema_parity": {"outcome": "fail", "why": "", "items": []}}, "fail", "schema parity"),
    ],
)  # fmt: skip
def test_one_word_and_its_reason(change: dict[str, Any], outcome: str, word: str) -> None:
    verdict = judge(document(**change))
    assert verdict["outcome"] == outcome
    assert all(reason["next"].startswith("crossfade ") for reason in verdict["reasons"])
    assert (word in " ".join(reason["text"] for reason in verdict["reasons"])) if word else not verdict["reasons"]


def test_what_changed() -> None:
    assert changes(None, WELL) == {"since": None, "items": []}
    assert changes(WELL, document()) == {"since": WELL["made_at"], "items": []}
    now = document(
        tables=[table(phase="held", outcome="fail", transform="zz"), table("shop.new>main:x.new")],
        findings={**WELL["findings"], "states": {"open": 2}},
        coverage={**WELL["coverage"], "percent": 93.5},
        verdict={"outcome": "fail", "reasons": [{"text": "2 rows are known to differ"}]},
        domains=[{**WELL["domains"][0], "phase": "live"}],
        fingerprints={**WELL["fingerprints"], "config_sha256": "e" * 64},
        stores=[{**WELL["stores"][0], "transactions_applied": 107}],
    )
    plan = "shop.orders>main:sales.orders"
    assert changes(WELL, now)["items"] == [
        "verdict: pass → fail",
        "the configuration has changed",
        "new: 2 rows are known to differ",
        "rows proven: 100 % → 93.5 %",
        "findings open: 0 → 2",
        "store main: +100 source transactions",
        "shop.new>main:x.new: new table",
        f"{plan}: streaming → held",
        f"{plan}: pass → fail",
        f"{plan}: its mapping has changed",
        "domain sales: following → live",
    ]


@pytest.mark.parametrize(
    ("limits", "change", "broken"),
    [
        ("verdict", {}, 0),
        ("verdict", {"verdict": {"outcome": "inconclusive", "reasons": []}}, 1),
        ("findings", {"findings": {**WELL["findings"], "states": {"open": 1}}}, 1),
        ("lag>0.5s", {}, 0),
        ("lag>0.3", {}, 1),
        ("lag>30s", {"series": {"columns": [], "stores": {}, "figures": []}}, 1),
        ("coverage<100", {}, 0),
        ("coverage<99.9%", {"coverage": {**WELL["coverage"], "percent": 99.8}}, 1),
        ("coverage<1", {"coverage": {**WELL["coverage"], "percent": None}}, 1),
        ("age>1m, age>3m", {}, 0),
        ("age>1m", {}, 1),
        ("age>10d", {"coverage": {**WELL["coverage"], "oldest_age_s": None}}, 1),
        ("verdict,findings,lag>1s,coverage<99,age>24h", {}, 0),
        (None, {"verdict": {"outcome": "fail", "reasons": []}}, 0),
    ],
)  # fmt: skip
def test_limits(limits: str | None, change: dict[str, Any], broken: int) -> None:
    assert len(Thresholds.parse(limits).broken(document(**change))) == broken


@pytest.mark.parametrize("text", ["lag", "lag<3s", "coverage>99", "age>soon", "verdict;findings", "lag>1w"])
def test_limits_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="--fail-on"):
        Thresholds.parse(text)


def _chunk(number: int, state: ProofState, age_s: float | None) -> ChunkProof:
    return ChunkProof("p", number, {}, 10, state, "", age_s, age_s, False, 0, "", "", 1, 0.1)


def test_a_strip_hides_no_difference() -> None:
    chunks = [_chunk(number, ProofState.PROVEN, 60.0) for number in range(1000)]
    chunks[777] = _chunk(777, ProofState.DIFFERS, 5.0)
    cells = strip(chunks)
    assert len(cells) <= 96 and sum(cell[2] for cell in cells) == 10_000
    assert [cell[0] for cell in cells].count("differs") == 1
    assert strip([_chunk(0, ProofState.UNPROVEN, None)]) == [["unproven", None, 10]]
    assert strip([]) == []


def test_nothing_is_not_everything_and_almost_is_not_all() -> None:
    assert percent_proven(0, 0, complete=False) is None
    assert percent_proven(0, 0, complete=True) == 100.0  # an empty table that was looked at
    assert percent_proven(999_999_999, 1_000_000_000, complete=False) == 99.99
    assert percent_proven(5, 10, complete=False) == 50.0

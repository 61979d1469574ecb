"""The line of JSON that a benchmark prints."""

from __future__ import annotations

import json

from bench.result import Result, ratios_of


def test_a_line_has_ceiling_and_peers_apart() -> None:
    ceiling, peers = {"rows_per_s": 200_000.0}, {"pg_chameleon": {"rows_per_s": 7_000.0}}
    ratios = ratios_of(180_000.0, ceiling, peers)
    line = Result("stream", "insert", 1000, {"rows_per_s": 180_000.4, "peak_rss_mb": 81.25}, ceiling, peers, ratios)
    assert json.loads(line.to_json()) == {
        "bench": "stream",
        "case": "insert",
        "rows": 1000,
        "ours": {"rows_per_s": 180_000, "peak_rss_mb": 81.25},
        "ceiling": {"rows_per_s": 200_000},
        "peers": {"pg_chameleon": {"rows_per_s": 7_000}},
        "ratios": {"ceiling": 0.9, "pg_chameleon": 25.714},
        "correct": True,
    }


def test_without_a_ceiling_there_is_no_ratio_to_it() -> None:
    assert ratios_of(10.0, {}, {"other": {"rows_per_s": 5.0}}) == {"other": 2.0}


def test_text_says_that_a_result_is_wrong() -> None:
    assert "WRONG RESULT" in Result("stream", "insert", 1, {"rows_per_s": 1.0}, correct=False).to_text()

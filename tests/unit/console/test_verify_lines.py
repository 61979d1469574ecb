"""Lines about verification: what a terminal shows of a run, and what the status shows of the proofs."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from console.render import proof_line, tables_table
from console.verify_progress import progress_line
from sync.progress import ProgressMeter


def test_progress_has_a_range_for_the_end() -> None:
    meter = ProgressMeter({"a": 1000, "b": 1000})
    meter.tick(0.0)
    meter.add("a", 500, 0, 10.0)
    line = progress_line(meter.snapshot())
    assert line.startswith("verify 25.0 %  500 rows  0 of 2 tables  50 rows/s  ETA ") and "–" in line
    for name in ("a", "b"):
        meter.finish(name)
    assert progress_line(meter.snapshot()).startswith("verify 100.0 %") and "ETA" not in progress_line(meter.snapshot())


def test_proofs_never_show_as_whole_before_they_are() -> None:
    def table(rows: int, proven: int, *, complete: bool, differing: int = 0) -> dict[str, object]:
        return {
            "rows": rows, "rows_proven": proven, "complete": complete, "oldest_age_s": 90.0,
            "chunks_differing": differing,
        }  # fmt: skip

    assert proof_line({"tables": [], "reason": "the copy goes first"}) == "nothing proven yet  (the copy goes first)"
    whole = {"tables": [table(10, 10, complete=True)], "reason": None}
    assert proof_line(whole) == "proven 100.0 % of 10 rows  oldest proof 1m30s"
    part = {"tables": [table(10**6, 10**6 - 1, complete=False, differing=1)], "reason": None}
    assert proof_line(part) == (
        "proven 99.9 % of 1,000,000 rows  oldest proof 1m30s  1 of 1 tables not whole  "
        "1 chunks differ: crossfade verify findings"
    )


def test_what_a_store_computes_has_a_line_among_the_tables() -> None:
    proof = {"percent": 100.0, "oldest_age_s": 90.0, "why": ""}
    document = {
        "tables": [
            {
                "plan": "shop.people>main:public.people",
                "store": "main",
                "phase": "streaming",
                "rows_copied": 3,
                "reason": "",
            }
        ],
        "verification": {
            "tables": [
                {"plan": "shop.people>main:public.people", **proof},
                {"plan": "lookup>main:public.people.country", **proof, "percent": 0.0, "why": "2 rows differ"},
                {"plan": "shop.gone>main:public.gone", **proof},
            ]
        },
    }
    screen = Console(width=200, record=True, file=StringIO())
    screen.print(tables_table(document))
    lines = [line.split() for line in screen.export_text().splitlines()[1:]]
    assert lines == [
        ["shop.people>main:public.people", "main", "streaming", "3", "100.0", "%", "1m30s"],
        ["lookup>main:public.people.country", "main", "computed", "–", "0.0", "%", "1m30s", "2", "rows", "differ"],
    ]

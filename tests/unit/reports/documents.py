"""A report's content as `collect` gives it, small, with every kind of trouble on demand."""

from __future__ import annotations

from typing import Any

NASTY = "</script><b>|\n=1+1\"'&\\"
"""A text that would break any form that forgets to escape."""


def table(plan: str = "shop.orders>main:sales.orders", **changes: Any) -> dict[str, Any]:
    """One table that is well."""
    proof = {"percent": 100.0, "oldest_age_s": 120.0, "chunks": 2}
    return {
        "plan": plan, "store": "main", "phase": "streaming", "phase_reason": "", "parked": 0, "verified_by": 3,
        "verified_at": "2026-03-01T06:00:00Z", "mode": "checksum", "outcome": "pass", "why": "", "source_rows": 1200,
        "target_rows": 1200, "in_flight": 0, "window": None, "control": True, "excluded": [], "transform": "ab12",
        "proof": proof, "strip": [["proven", 120.0, 600], ["proven", 90_000.0, 600]], **changes,
    }  # fmt: skip


def document(**changes: Any) -> dict[str, Any]:
    """A report that passes."""
    base = {
        "schema": "crossfade.report/1", "migration": "shop", "number": 4, "made_at": "2026-03-01T07:00:00.000Z",
        "period": {"from": "2026-02-28T07:00:00.000Z", "to": "2026-03-01T07:00:00.000Z"}, "made_by": "ana@h",
        "tool_version": "0.1.0", "previous": "0" * 64, "signature_line": "shop #4 · PASS",
        "status": {"state": "SYNCING", "health": "healthy", "reasons": [], "source": {"position": "bin.1:4"}},
        "stores": [{"name": "main", "server": "PostgreSQL 15.1", "database": "d", "problem": "", "position": "bin.1:4",
                    "gtids": "", "lsn": "0/1", "seq": 7, "transactions_applied": 7, "parked_rows": []}],
        "tables": [table()],
        "coverage": {"rows": 1200, "rows_proven": 1200, "percent": 100.0, "percent_within_day": 100.0,
                     "oldest_age_s": 120.0, "history": [[1.0, 50.0], [61.0, 100.0]]},
        "findings": {"states": {}, "open": [], "not_listed": 0, "repaired": 0},
        "schema_parity": {"outcome": None, "why": "never checked", "items": []},
        "totals": {"outcome": None, "why": "never checked", "items": []},
        "series": {"columns": [], "stores": {"main": [[1.0, 0.1, 0.2, 5.0], [11.0, 0.1, 0.4, 6.0]]},
                   "figures": [{"store": "main", "p50_s": 0.1, "p95_s": 0.3, "p99_s": 0.4, "longest_s": 0.4,
                                "rows": 110, "rows_per_s": 5.5, "observed_s": 20.0}]},
        "domains": [{"domain": "sales", "phase": "following", "side": "source", "epoch": 0, "problem": "",
                     "reverse": [], "rollback": None, "result": {}}],
        "fingerprints": {"config_sha256": "c" * 64, "positions_sha256": "d" * 64, "transforms": ["ab12"],
                         "positions": {"source": {"position": "bin.1:4", "seq": 7}, "stores": {}}},
        "verdict": {"outcome": "pass", "reasons": []},
        "changes": {"since": None, "items": []},
    }  # fmt: skip
    return {**base, **changes}

"""The dashboard and the report in a real browser: what people see, in light, dark and on paper."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest

from config.settings import Settings
from reports.html_form import html_form
from servers import RunningServer
from stores.control import domains, events, samples, verify_runs
from stores.control.migrations import prepare_control, prepare_store
from stores.control.samples import Sample
from stores.postgres import PostgresConnection, connect_store
from tests.support.browser import Browser, find_browser
from tests.support.servers import store_database
from tests.unit.reports.documents import document, table
from web.board import Board
from web.service import WebService

PLAN = "shop.orders>main:sales.orders"
EVIL = "<img src=x onerror=\"document.title='owned'\">"
"""What must be shown as it is, and never run."""


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    return find_browser(tmp_path)


@pytest.fixture
def settings(postgres15: RunningServer) -> Iterator[Settings]:
    with store_database(postgres15) as store:
        yield Settings.model_validate(
            {
                "name": "shop",
                "source": {"engine": "mysql", "user": "u", "databases": ["shop"]},
                "stores": {"main": {"dsn": store.dsn}},
                "domains": {"orders": {"tables": ["orders"]}},
                "http": {"listen": "127.0.0.1:0", "token": "t"},
            }
        )


def status(**changes: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "migration": "shop", "state": "SYNCING", "health": "degraded", "since": (now - timedelta(hours=2)).isoformat(),
        "at": now.isoformat(), "reasons": [{"code": "TABLE_HELD", "subject": PLAN, "message": EVIL, "next": ""}],
        "next_steps": ["crossfade status --tables"], "copy": None, "phases": {}, "reverse": [],
        "source": {"connected": True, "position": "bin.000007:4", "seq": 9, "last_event_age_s": 0.4,
                   "transactions_per_s": 3.0, "relay_bytes": 5 << 20, "relay_budget_bytes": 10 << 30},
        "stores": [{"name": "main", "state": "running", "seq": 9, "position": "bin.000007:4", "lag_s": 0.05,
                    "waiting_transactions": 3, "rows_applied": 1234, "rows_per_s": 17.0}],
        "tables": [{"plan": PLAN, "store": "main", "phase": "held", "rows_copied": 5, "reason": EVIL, "parked": 2}],
        "computed": [{"plan": "read model>main:sales.facts", "name": "facts", "store": "main", "state": "stale",
                      "since": "2026-11-01 10:00:00Z", "error": EVIL, "next": "crossfade readmodel rebuild facts"},
                     {"plan": "lookup>main:sales.orders.city", "name": "orders.city", "store": "main",
                      "state": "current", "since": "", "error": "", "next": ""}],
        **changes,
    }  # fmt: skip


def _fill(control: PostgresConnection) -> None:
    now = datetime.now(UTC)
    samples.add(control, "shop", [Sample(now - timedelta(seconds=10 * n), "main", 0.1, 0.2 + n / 9, 50, 10.0)
                                  for n in range(30)])  # fmt: skip
    verify_runs.add_run(control, "shop", "auto", "fail", now, {"tables": [{"plan_id": PLAN, "outcome": "fail"}]})
    verify_runs.add_run(control, "shop", "auto", "pass", now, {"tables": [{"plan_id": "another", "outcome": "pass"}]})
    domains.ensure(control, "shop", "orders", "prepared")
    gates = [{"gate": "streaming", "passed": False, "value": EVIL, "limit": "all", "next": "crossfade status"},
             {"gate": "quarantined", "passed": True, "value": "0 rows", "limit": "0 rows", "next": ""}]  # fmt: skip
    domains.finish(control, "shop", "orders", {"act": "check", "gates": gates})
    events.record(control, "shop", "test", f"something happened {EVIL}")


@pytest.fixture
def address(settings: Settings) -> Iterator[str]:
    """A dashboard over real tables."""
    assert settings.http is not None
    with connect_store(settings.control_dsn) as control:
        prepare_store(control)
        prepare_control(control)
        _fill(control)
    board = Board()
    service = WebService(settings, settings.http, board)
    board.turned(status())
    board.beat()
    service.start()
    yield f"http://{board.listening}/"
    service.close()


def test_the_dashboard_shows_it_all_and_runs_nothing_of_it(browser: Browser, address: str) -> None:
    page = browser.page(address)
    seen = unescape(re.sub(r"<[^>]+>", " ", page.partition("<body>")[2]))
    for text in ("SYNCING · degraded", "since 2.0 h", "crossfade status --tables", "main", "50 ms", "✗ 2",
                 "✗ held", "✗ fail", "bin.000007:4", "✗ streaming", "✓ quarantined", "something happened", "Tables 3",
                 "facts read model main ✗ stale –", "orders.city lookup main ✓ current –"):  # fmt: skip
        assert text in " ".join(seen.split()), text
    assert EVIL in seen and "<img" not in page and "owned" not in page.partition("</title>")[0]
    assert len(re.findall(r'class="line s0" d="M', page)) == 2, "both charts have a line"


def test_what_a_store_computes_is_found_by_its_name(address: str) -> None:
    for name in ("facts", "sales.facts", "main:sales.facts"):
        found = httpx.get(f"{address}api/v1/tables/{name}").json()
        assert [one["state"] for one in found["computed"]] == ["stale"] and found["tables"] == [], name
    found = httpx.get(f"{address}api/v1/tables/orders").json()
    assert [one["plan"] for one in found["tables"]] == [PLAN] and found["computed"] == []
    assert httpx.get(f"{address}api/v1/tables/lookup").status_code == 404


def test_it_follows_light_and_dark(browser: Browser, address: str) -> None:
    light, dark = browser.picture(address), browser.picture(address, dark=True)
    assert light[:4] == dark[:4] == b"\x89PNG" and light != dark
    assert min(len(light), len(dark)) > 20_000


def test_the_report_in_light_and_dark_and_on_paper(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    rows = [table(f"shop.t{n}>main:sales.t{n}", why=EVIL) for n in range(60)]
    file.write_text(html_form(document(tables=rows)), encoding="utf-8")
    address = file.as_uri()
    light, dark = browser.picture(address), browser.picture(address, dark=True)
    assert light != dark and min(len(light), len(dark)) > 20_000
    paper = browser.paper(address)
    assert paper.startswith(b"%PDF") and len(re.findall(rb"/Type /Page\b", paper)) in (2, 3, 4)
    assert b"/MediaBox [0 0 594" in paper or b"/MediaBox [0 0 595" in paper, "A4"

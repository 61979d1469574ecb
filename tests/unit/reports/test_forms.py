"""Every form of a report: it can be read by its reader, and no value of a row breaks out of its place."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.csv_form import csv_form
from reports.html_form import html_form
from reports.junit_form import junit_form
from reports.markdown_form import markdown_form
from tests.unit.reports.documents import NASTY, document, table


class _Reader(HTMLParser):
    """Tags that are open, and everything that would be fetched."""

    VOID = frozenset({"meta", "line", "path", "rect", "br"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.stack: list[str] = []
        self.fetched: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [str(value) for name, value in attrs if name in ("src", "href", "srcset", "action", "data")]
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.VOID:
            return
        while self.stack and self.stack[-1] in ("li", "td", "tr", "p") and self.stack[-1] != tag:
            self.stack.pop()
        assert self.stack and self.stack.pop() == tag, tag


def _read(page: str) -> _Reader:
    reader = _Reader()
    reader.feed(page)
    assert reader.stack == []
    return reader


def _nasty() -> dict[str, Any]:
    return document(
        tables=[table(f"shop.{NASTY}>main:x.{NASTY}", outcome="fail", why=NASTY, phase_reason=NASTY, parked=2,
                      excluded=[{"column": NASTY, "reason": NASTY}], strip=[["differs", None, 4]])],
        findings={"states": {"open": 1}, "open": [{"plan": NASTY, "key": {NASTY: NASTY}, "kind": "differs",
                  "columns": [NASTY], "note": ""}], "not_listed": 3, "repaired": 0},
        changes={"since": "2026", "items": [NASTY]},
        signature_line=NASTY,
        made_by=NASTY,
    )  # fmt: skip


@pytest.mark.parametrize("content", [document(), _nasty(), document(tables=[], domains=[], series={
    "columns": [], "stores": {}, "figures": []})], ids=["well", "nasty", "empty"])  # fmt: skip
def test_the_page_needs_nothing_else_and_is_whole(content: dict[str, Any]) -> None:
    page = html_form(content)
    reader = _read(page)
    assert reader.fetched == []
    assert not {"script", "link", "img", "iframe"} & set(reader.tags)
    assert not re.search(r"url\(|@import|https?://", page)


def test_nothing_of_a_row_becomes_markup() -> None:
    page = html_form(_nasty())
    assert "<b>|" not in page and "</script>" not in page
    assert "&lt;/script&gt;" in page


def test_the_page_shows_what_it_is_for() -> None:
    page = html_form(document())
    for text in ("✓ PASS", "shop #4 · PASS", 'class="line s0"', 'class="strip"', "c" * 64, "1,200", "p99 lag of main",
                 "crossfade report verify FILE", "signature"):  # fmt: skip
        assert text in page, text
    assert 'class="h0"' in page and 'class="h3"' in page


def test_markdown_keeps_its_columns() -> None:
    lines = [line for line in markdown_form(_nasty()).splitlines() if line.startswith("| ")]
    rows = [line for line in lines if "quarantine" in line or "main" in line]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows if row.count("|") > 4} == {11}
    assert "<b>" not in markdown_form(_nasty())


def test_csv_is_read_back_and_starts_no_formula() -> None:
    rows = list(csv.DictReader(io.StringIO(csv_form(document(tables=[table("=1+1>main:x"), table()])))))
    assert [row["plan"] for row in rows] == ["'=1+1>main:x", "shop.orders>main:sales.orders"]
    assert (rows[1]["difference"], rows[1]["rows_proven_percent"], rows[1]["quarantined"]) == ("0", "100.0", "0")


def test_junit_fails_what_differs_and_errs_on_what_is_not_known() -> None:
    tables = [table(), table("b>m:b", outcome="fail", why="3 rows"), table("c>m:c", outcome=None),
              table("d>m:d", phase="held", phase_reason="DDL"), table("e>m:e", parked=4)]  # fmt: skip
    verdict = {"outcome": "fail", "reasons": [{"text": "b: differs"}]}
    suite = ElementTree.fromstring(junit_form(document(tables=tables, verdict=verdict)))
    found = {case.get("name"): [(one.tag, one.get("message")) for one in case] for case in suite}
    assert found["shop.orders>main:sales.orders"] == []
    assert found["b>m:b"] == [("failure", "3 rows")]
    assert found["c>m:c"] == [("error", "never verified")]
    assert found["d>m:d"] == [("error", "held DDL")]
    assert found["e>m:e"] == [("error", "4 changes in quarantine")]
    assert (suite.get("failures"), suite.get("errors"), suite.get("tests")) == ("2", "3", "7")


@given(st.text(max_size=20))
def test_any_text_can_be_in_any_form(text: str) -> None:
    text = text.encode("utf-8", "replace").decode()
    content = document(tables=[table(f"a.{text}>main:b.{text}", why=text, outcome="inconclusive")], made_by=text)
    _read(html_form(content))
    ElementTree.fromstring(junit_form(content))
    assert len(list(csv.reader(io.StringIO(csv_form(content), newline="")))) == 2
    markdown_form(content)


@pytest.mark.parametrize("form", [html_form, markdown_form])
def test_a_way_back_that_is_not_ready_says_why(form: Callable[[dict[str, Any]], str]) -> None:
    ready = {"light": "RED", "line": "rollback now: not known, 5 rows stranded, RED",
             "alarms": [{"light": "RED", "message": "the stream has halted", "code": "REVERSE_HALTED"}]}  # fmt: skip
    (domain,) = document()["domains"]
    page = form(document(domains=[{**domain, "phase": "live", "side": "stores", "rollback": ready}]))
    assert ready["line"] in page and "the stream has halted" in page
    assert "rollback now" not in form(document())

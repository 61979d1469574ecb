"""The report as JUnit XML, so that a pipeline can gate on it: one test case per table plan, store and domain."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from xml.etree import ElementTree

_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_form(document: Mapping[str, Any]) -> str:
    """The text. FAIL is a failure, INCONCLUSIVE an error."""
    cases = [_table(table) for table in document["tables"]]
    cases += [_case("crossfade.store", store["name"], "error" if store["problem"] else "", store["problem"])
              for store in document["stores"]]  # fmt: skip
    cases.append(_verdict(document))
    suite = ElementTree.Element(
        "testsuite",
        name=f"crossfade {document['migration']}",
        timestamp=document["made_at"],
        tests=str(len(cases)),
        failures=str(sum(case.find("failure") is not None for case in cases)),
        errors=str(sum(case.find("error") is not None for case in cases)),
    )
    suite.extend(cases)
    ElementTree.indent(suite)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suite, encoding="unicode") + "\n"


def _table(table: Mapping[str, Any]) -> ElementTree.Element:
    if table["outcome"] == "fail":
        return _case("crossfade.table", table["plan"], "failure", table["why"] or "rows differ")
    if table["outcome"] == "pass" and table["phase"] == "streaming" and not table["parked"]:
        return _case("crossfade.table", table["plan"])
    why = table["why"] or ("never verified" if table["outcome"] is None else "")
    if table["phase"] != "streaming":
        why = f"{table['phase']} {table['phase_reason']}".strip()
    if table["parked"]:
        why = f"{table['parked']} changes in quarantine"
    return _case("crossfade.table", table["plan"], "error", why)


def _verdict(document: Mapping[str, Any]) -> ElementTree.Element:
    verdict = document["verdict"]
    kind = {"fail": "failure", "inconclusive": "error"}.get(verdict["outcome"], "")
    return _case("crossfade.report", "verdict", kind, "; ".join(reason["text"] for reason in verdict["reasons"]))


def _case(kind: str, name: str, problem: str = "", message: str = "") -> ElementTree.Element:
    case = ElementTree.Element("testcase", classname=kind, name=_clean(name))
    if problem:
        ElementTree.SubElement(case, problem, message=_clean(message))
    return case


def _clean(text: str) -> str:
    return _NOT_XML.sub("�", text)

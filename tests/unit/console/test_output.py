"""Errors as a machine reads them, and text that must not be taken for markup."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import cli
from console.assess import _lines
from model.errors import ExitCode
from sync.assess import Finding, Level

BROKEN = """\
version: 1
name: shop
source: {engine: mysql, user: u, databases: [d], prt: 3}
stores: {main: {dsn: 'postgresql://h/d'}}
log: {format: xml}
"""


def test_every_problem_of_a_file_with_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "crossfade.yaml"
    file.write_text(BROKEN)
    assert cli.main(["-c", str(file), "-o", "json", "config", "validate"]) == ExitCode.USAGE
    printed = capsys.readouterr()
    assert printed.out == ""
    found = json.loads(printed.err)
    assert [(problem["line"], problem["column"], problem["key"]) for problem in found["problems"]] == [
        (3, 50, "source.prt"),
        (5, 15, "log.format"),
    ]


def test_an_assessment_says_what_blocks_first_and_a_line_per_good_check() -> None:
    findings = [
        Finding("reachable", Level.OK, "store a", "there"),
        Finding("gtid", Level.WARN, "source", "off", "below [mysqld]"),
        Finding("reachable", Level.OK, "store b", "there"),
        Finding("log_bin", Level.BLOCK, "source", "off", "log_bin = ON"),
        Finding("gtid", Level.OK, "source", "of no use here"),
    ]
    assert _lines(findings, show_all=False) == [
        ("BLOCK", "log_bin", "source", "off\n→ log_bin = ON"),
        ("WARN", "gtid", "source", "off\n→ below [mysqld]"),
        ("OK", "reachable", "store a, store b", "there"),
    ]
    assert len(_lines(findings, show_all=True)) == len(findings)

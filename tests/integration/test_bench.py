"""The benchmarks run and find the right rows on both sides; how fast, is no matter of tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.debezium import peer as debezium
from bench.debezium.fetch import jar_folder

ROOT = Path(__file__).resolve().parents[2]


def _line(*arguments: str, debezium_jars: str = "/nonexistent") -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "bench", *arguments, "--json"],
        cwd=ROOT,
        env={**os.environ, "CROSSFADE_DEBEZIUM": debezium_jars},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = done.stdout.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


@pytest.mark.slow
def test_catching_up_is_measured_against_the_ceiling() -> None:
    line = _line("stream", "--case", "insert", "--rows", "1200")
    assert (line["bench"], line["case"], line["rows"]) == ("stream", "insert", 1200)
    assert line["correct"] and line["ratios"]["ceiling"] > 0 and line["ours"]["peak_rss_mb"] > 0


@pytest.mark.slow
@pytest.mark.skipif(not debezium.installed(), reason="needs Java and the jars of `python -m bench.debezium.fetch`")
def test_debezium_catches_up_too() -> None:
    line = _line("stream", "--case", "mixed update/delete", "--rows", "6000", debezium_jars=str(jar_folder()))
    assert line["correct"] and line["peers"]["debezium"]["rows_per_s"] > 0 and line["ratios"]["debezium"] > 0


@pytest.mark.slow
def test_latency_is_measured_from_outside() -> None:
    line = _line("latency", "--rows", "500")
    assert line["correct"] and 0 < line["ours"]["p50_ms"] <= line["ours"]["p99_ms"]

"""The peak of memory that a benchmark reports is that of the measured process."""

from __future__ import annotations

import subprocess
import sys

MEASURE = "from bench.stage import peak_rss_mb; print(peak_rss_mb())"
PARENT = f"""
import subprocess, sys
held = bytearray(400_000_000)
print(subprocess.run([sys.executable, "-c", {MEASURE!r}], capture_output=True, text=True, check=True).stdout)
"""


def test_a_large_parent_does_not_make_its_child_look_large() -> None:
    done = subprocess.run([sys.executable, "-c", PARENT], capture_output=True, text=True, check=True)
    assert 10 < float(done.stdout) < 250

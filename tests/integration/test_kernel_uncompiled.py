"""The same sources without their compiled modules pass the same tests: one decoder, two ways to run it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import hatch_build
from sync.mysql.kernel import compiled

ROOT = Path(__file__).resolve().parents[2]
SAME = (
    "test_decode.py",
    "test_decode_lines.py",
    "test_jsonb.py",
    "test_charsets.py",
    "test_textform.py",
    "test_result_lines.py",
    "test_result_records.py",
    "test_runs.py",
)


def test_the_uncompiled_decoder_passes_the_same_tests(tmp_path: Path) -> None:
    if not compiled():
        pytest.skip("the decoder is not compiled here: the tests ran uncompiled already")
    for name in ("config", "model", "stores", "sync", "transforms", "validators"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.so", "*.pxd", "__pycache__"))
    for name in SAME:
        shutil.copy(ROOT / "tests" / "unit" / "sync" / name, tmp_path / name)
    support = tmp_path / "tests" / "support"
    support.mkdir(parents=True)
    for package in (tmp_path / "tests", support):
        (package / "__init__.py").touch()
    for name in ("row_images.py", "result_packets.py"):
        shutil.copy(ROOT / "tests" / "support" / name, support)
    # A `cython` module that is not Cython's stands for an install without it.
    (tmp_path / "cython.py").write_text("raise ImportError('not installed')\n")
    (tmp_path / "test_mode.py").write_text(
        "from sync.mysql import kernel\n\ndef test_mode():\n    assert not kernel.compiled()\n"
        "    assert kernel.cython.__name__ == 'sync.mysql.cython_shim'\n"
    )
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-c",
            os.devnull,
            "--rootdir",
            str(tmp_path),
            ".",
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert " passed" in done.stdout


def test_compiled_modules_are_those_of_these_sources() -> None:
    if compiled():
        assert not hatch_build.stale(), "run: python hatch_build.py --inplace"

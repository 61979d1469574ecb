"""Warm processes are what new ones would be: exit codes, outputs, folders, environments and signals of their own."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.warm import WarmProcess


def call(folder: Path, *arguments: str, **environment: str) -> tuple[WarmProcess, Path, Path]:
    out, err = folder / "out", folder / "err"
    return WarmProcess(arguments, {**os.environ, "NO_COLOR": "1", **environment}, folder, out, err), out, err


def test_outputs_and_exit_codes(tmp_path: Path) -> None:
    process, out, err = call(tmp_path, "--version")
    assert (process.wait(60), process.poll()) == (0, 0)
    assert out.read_text().startswith("crossfade ") and err.read_text() == ""
    process, out, err = call(tmp_path, "--nonsense")
    assert process.wait(60) == 2
    assert "--nonsense" in err.read_text()


def test_folder_and_environment_are_the_calls_own(tmp_path: Path) -> None:
    (tmp_path / "crossfade.yaml").write_text('version: 1\nname: "${env:WARM_NAME}"\n')
    for name in ("one", "two"):
        process, _, err = call(tmp_path, "-c", "crossfade.yaml", "config", "validate", WARM_NAME=name)
        assert process.wait(60) != 0  # neither source nor stores
        assert "WARM_NAME" not in err.read_text()
    process, _, err = call(tmp_path, "-c", "crossfade.yaml", "config", "validate")
    assert process.wait(60) != 0 and "WARM_NAME" in err.read_text()


def test_signals_end_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    process, _, _ = call(
        tmp_path, "-c", "fifo", "config", "validate"
    )  # waits for somebody who writes the configuration
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.2)
    process.kill()
    assert process.wait(60) == -signal.SIGKILL

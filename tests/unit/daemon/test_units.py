"""The systemd files that we ship: commands that exist, credentials that the example configuration names."""

from __future__ import annotations

import re
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest

from console.commands import MODULE_OF

ROOT = Path(__file__).resolve().parents[3]
UNITS = sorted((ROOT / "deploy" / "systemd").iterdir())


def _unit(path: Path) -> ConfigParser:
    parser = ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(path)
    return parser


def test_they_are_all_there() -> None:
    assert [path.name for path in UNITS] == ["crossfade-report.service", "crossfade-report.timer", "crossfade.service"]


@pytest.mark.parametrize("path", [path for path in UNITS if path.suffix == ".service"], ids=lambda path: path.name)
def test_a_service_runs_a_command_of_ours_with_the_credentials_it_needs(path: Path) -> None:
    words = _unit(path)["Service"]["ExecStart"].split()
    assert any(word in MODULE_OF for word in words)
    needed = set(re.findall(r"\$\{cred:(\w+)}", (ROOT / "config" / "examples" / "systemd.yaml").read_text()))
    assert set(re.findall(r"^LoadCredential=(\w+):", path.read_text(), re.MULTILINE)) == needed


def test_the_daemon_notifies_and_is_not_restarted_for_nothing() -> None:
    service = _unit(ROOT / "deploy" / "systemd" / "crossfade.service")["Service"]
    assert service["Type"] == "notify" and int(service["WatchdogSec"]) >= 30
    assert {"2", "3"} <= set(service["RestartPreventExitStatus"].split())


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_reads_them(path: Path, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not there: the unit was read by our own parser only")
    for unit in UNITS:
        text = unit.read_text().replace("/usr/bin/crossfade", "/bin/true").replace("User=crossfade", "User=root")
        (tmp_path / unit.name).write_text(text)
    done = subprocess.run(
        [analyze, "verify", "--man=no", str(tmp_path / path.name)], capture_output=True, text=True, check=False
    )
    complaints = [line for line in done.stderr.splitlines() if path.name in line]
    assert complaints == [], complaints

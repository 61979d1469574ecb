"""What an installation leaves behind: one name, `crossfade`, whatever is in the checkout's root."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import venv
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}


def test_every_root_package_is_in_the_wheel() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert set(wheel["only-include"]) == OURS
    assert set(wheel["sources"]) == OURS - {"crossfade"}


def test_no_distribution_that_we_use_owns_one_of_our_names() -> None:
    owners = metadata.packages_distributions()
    taken = {name: owners[name] for name in OURS | {"cli"} if set(owners.get(name, ())) - {"crossfade"}}
    assert taken == {}


@pytest.mark.slow
@pytest.mark.parametrize("editable", [False, True])
def test_an_installation_adds_one_name(tmp_path: Path, editable: bool) -> None:
    venv.create(tmp_path / "venv", with_pip=True, system_site_packages=False)
    python = tmp_path / "venv" / "bin" / "python"
    site = Path(
        subprocess.run(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
    )
    before = {path.name for path in site.iterdir()}
    command = [python, "-m", "pip", "install", "--quiet", "--no-deps", *(["--editable"] if editable else []), str(ROOT)]
    subprocess.run(command, check=True, timeout=300)
    added = {path.name for path in site.iterdir()} - before
    names = {name for name in added if not name.endswith((".dist-info", ".pth"))}
    # An editable venv also holds hatchling's copy of the entry module; it is never imported.
    assert names - {"__pycache__"} <= ({"crossfade", "cli.py"} if editable else {"crossfade"}), names
    # The program starts from anywhere, with the dependencies of this environment.
    here = next(path for path in sys.path if path.endswith("site-packages"))
    done = subprocess.run(
        [tmp_path / "venv" / "bin" / "crossfade", "--version"],
        cwd="/",
        env={"PYTHONPATH": here, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("crossfade ")

"""The model of the machine (tests/model/cutover.pml), searched whole by Spin; and what it must notice.

`apt-get install spin gcc` installs what it needs; without them it is skipped, by name.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

MODEL = Path(__file__).resolve().parents[1] / "model" / "cutover.pml"
DEPTH = 300_000
REPLICA = "#define REPLICA\n"

pytestmark = [
    pytest.mark.skipif(shutil.which(tool) is None, reason=f"{tool} is not installed (apt-get install spin gcc)")
    for tool in ("spin", "gcc")
]


def searched(
    folder: Path, text: str, *, rows: int = 1, faults: int = 1, moves: int = 2, liveness: bool = False
) -> tuple[int, int, str]:
    """(errors, states, Spin's words) of a whole search of a model within bounds."""
    (folder / "model.pml").write_text(text)
    defines = [f"-DROWS={rows}", f"-DFAULTS={faults}", f"-DMOVES={moves}", *(["-DLIVENESS"] if liveness else [])]
    _run(folder, "spin", "-a", *defines, "model.pml")
    _run(
        folder, "gcc", "-O2", "-w", "-DCOLLAPSE", "-DNFAIR=4", *([] if liveness else ["-DSAFETY"]), "-o", "pan", "pan.c"
    )
    # Weak fairness: a daemon, a stream or a server that can go on does so in the end.
    said = _run(folder, "./pan", f"-m{DEPTH}", "-w22", *(["-a", "-f"] if liveness else []))
    assert "max search depth too small" not in said, said
    errors, states = re.search(r"errors: (\d+)", said), re.search(r"(\d+) states, stored", said)
    assert errors and states, said
    return int(errors[1]), int(states[1]), said


def _run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
    return done.stdout


def changed(old: str, new: str) -> str:
    """The model with one part of it changed."""
    text = MODEL.read_text()
    assert text.count(old) == 1, f"the model has {text.count(old)} of {old!r}"
    return text.replace(old, new)


@pytest.mark.parametrize(("rows", "faults"), [(1, 1), (1, 2), pytest.param(2, 2, marks=pytest.mark.slow)])
def test_every_state_is_safe_and_no_daemon_is_stuck(tmp_path: Path, rows: int, faults: int) -> None:
    errors, states, said = searched(tmp_path, MODEL.read_text(), rows=rows, faults=faults)
    assert errors == 0, said
    assert states > 20_000


def test_every_run_comes_to_a_rest(tmp_path: Path) -> None:
    errors, states, said = searched(tmp_path, MODEL.read_text(), liveness=True)
    assert errors == 0, said
    assert states > 20_000


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("closed && !final && !expired -> COMMITS; final", "closed && !final -> COMMITS; final",
                     id="an expired gate is made final"),
        pytest.param("SOURCE(!source_open_row ->", "SOURCE(true ->", id="closing does not wait for writers in flight"),
        pytest.param(":: !LACKS(marker, store) /*", ":: true /*", id="the stores are not drained"),
        pytest.param(":: !LACKS(marker, source) && !REPLICA_LACKS(marker) /*", ":: true /*",
                     id="the source is not drained"),
        pytest.param(":: !store_open_row /*", ":: true /*", id="closing the stores does not wait"),
        pytest.param("COMMITS; gate_epoch = mine + 1 :: else fi;\n         won = (gate_epoch == mine && !closed)",
                     "skip :: else fi;\n         won = (gate_epoch == mine && !closed)",
                     id="undoing a rollback keeps the epoch"),
    ],
)  # fmt: skip
def test_the_model_notices(tmp_path: Path, old: str, new: str) -> None:
    errors, _, said = searched(tmp_path, changed(old, new), faults=2)
    assert errors == 1 and "assertion violated" in said, said


@pytest.mark.parametrize(("rows", "faults"), [(1, 1), (1, 2), pytest.param(2, 2, marks=pytest.mark.slow)])
def test_a_failover_to_a_replica_that_lags_is_survived(tmp_path: Path, rows: int, faults: int) -> None:
    """A replica that is named may be at any distance when it takes the source's place."""
    errors, states, said = searched(tmp_path, REPLICA + MODEL.read_text(), rows=rows, faults=faults)
    assert errors == 0, said
    assert states > 100_000


def test_with_a_replica_too_every_run_comes_to_a_rest(tmp_path: Path) -> None:
    errors, states, said = searched(tmp_path, REPLICA + MODEL.read_text(), liveness=True)
    assert errors == 0, said
    assert states > 100_000


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("#define REPLICA_CLOSED (replica_final && replica_epoch >= mine)", "#define REPLICA_CLOSED true",
                     id="the stores are opened before the replica has the closing"),
        pytest.param("#define REPLICA_LACKS(rows) LACKS(rows, replica)", "#define REPLICA_LACKS(rows) false",
                     id="the source is opened before the replica has what was sent back"),
        pytest.param("#define REPLICA_LATER (replica_epoch > mine)", "#define REPLICA_LATER true",
                     id="the stores are opened again before the replica has the later epoch"),
    ],
)  # fmt: skip
def test_the_model_notices_a_replica_that_is_not_waited_for(tmp_path: Path, old: str, new: str) -> None:
    errors, _, said = searched(tmp_path, REPLICA + changed(old, new), faults=2)
    assert errors == 1 and "assertion violated" in said, said


def test_a_failover_that_forgets_a_commit_is_not_survived(tmp_path: Path) -> None:
    """Without a named replica the design rests on it: what the source has acknowledged is there after its failover."""
    errors, _, said = searched(tmp_path, "#define LOSSY\n" + MODEL.read_text())
    assert errors == 1 and "assertion violated" in said, said

"""Which tests run on which servers, and that a missing server is never passed over in silence."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.servers import pairs, variable_of

ROOT = Path(__file__).parents[2]
CASES = """
import pytest

def test_source(source_db): pass
def test_store(store_db): pass
def test_both(source_db, store_db): pass
@pytest.mark.parametrize("source", ["mysql-5.6"], indirect=True)
def test_chosen(source, store): pass
@pytest.mark.matrix
def test_matrix(): pass
@pytest.mark.slow
def test_slow(): pass
def test_private(start_private): start_private("postgres-15")
"""


def run(folder: Path, *words: str, ci: bool = False) -> str:
    file = folder / "test_cases.py"
    file.write_text(CASES)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CROSSFADE_TEST")}
    environment["CI"] = "true" if ci else ""
    options = ["-p", "tests.conftest", "-p", "no:cacheprovider", "-c", ROOT / "pyproject.toml", "--rootdir", folder]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "-rA", *words, file],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stdout + done.stderr


def collected(output: str) -> list[str]:
    return sorted(re.findall(r"::(\S+)", output))


def test_pairs_hold_everything_once_and_are_not_the_product() -> None:
    assert pairs("ab", "xy") == [("a", "x"), ("b", "y")]
    assert pairs("abc", "wxyz") == [("a", "w"), ("b", "x"), ("c", "y"), ("a", "z")]
    assert pairs("ab", "x") == [("a", "x"), ("b", "x")]


def test_default_legs(tmp_path: Path) -> None:
    assert collected(run(tmp_path, "--collect-only", "-q")) == [
        "test_both[mariadb-10.11-to-postgres-15]",
        "test_both[mysql-9.7-to-postgres-18]",
        "test_chosen[postgres-15-mysql-5.6]",
        "test_chosen[postgres-18-mysql-5.6]",
        "test_matrix",
        "test_private",
        "test_slow",
        "test_source[mariadb-10.11]",
        "test_source[mysql-9.7]",
        "test_store[postgres-15]",
        "test_store[postgres-18]",
    ]


def test_matrix_legs_hold_every_flavour(tmp_path: Path) -> None:
    names = collected(run(tmp_path, "--collect-only", "-q", "--matrix"))
    assert [name for name in names if "both" in name] == [
        "test_both[mariadb-10.11-to-postgres-15]",
        "test_both[mariadb-10.11-to-postgres-17]",
        "test_both[mysql-5.6-to-postgres-16]",
        "test_both[mysql-9.7-to-postgres-18]",
    ]


def test_chosen_legs(tmp_path: Path) -> None:
    names = collected(run(tmp_path, "--collect-only", "-q", "--source=mysql-5.6", "--store=postgres-17,postgres-16"))
    assert [name for name in names if "both" in name or "source" in name] == [
        "test_both[mysql-5.6-to-postgres-16]",
        "test_both[mysql-5.6-to-postgres-17]",
        "test_source[mysql-5.6]",
    ]
    assert "no server flavour called 'oracle'" in run(tmp_path, "--source=oracle")


def test_missing_servers_skip_loudly(tmp_path: Path) -> None:
    output = run(tmp_path, "--servers=dsn")
    assert "11 skipped" in output
    assert "SERVERS THAT COULD NOT BE HAD" in output
    for name in ("mariadb-10.11", "mysql-9.7", "postgres-15", "postgres-18"):
        assert f"{name}: {variable_of(name)} is not set" in output
    assert "SKIPPED [1]" in output
    assert "slow: only with" in output
    assert "only with --matrix" in output


def test_missing_required_servers_fail_in_ci(tmp_path: Path) -> None:
    output = run(tmp_path, "--servers=dsn", ci=True)
    for name in ("source[mariadb-10.11]", "source[mysql-9.7]", "source[mysql-5.6]", "store[postgres-15]"):
        assert re.search(rf"ERROR \S+::test_{re.escape(name)}", output), name
    assert not re.search(r"ERROR \S+::test_store\[postgres-18\]", output)
    assert re.search(r"PASSED \S+::test_slow", output)


def test_variable_names() -> None:
    assert variable_of("mariadb-10.11") == "CROSSFADE_TEST_MARIADB_10_11_DSN"


@pytest.mark.parametrize("name", ["postgres-15"])
def test_a_lent_server_is_used_and_not_stopped(name: str, postgres15, monkeypatch, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    from tests.support.servers import TestServers, Where

    monkeypatch.setenv(variable_of(name), postgres15.dsn())
    lent = TestServers(Where.DSN)
    server = lent.shared(name)
    assert (server.port, server.password) == (postgres15.port, postgres15.password)
    with pytest.raises(pytest.skip.Exception):
        server.kill()
    with pytest.raises(pytest.skip.Exception):
        lent.private(name)
    lent.close()
    assert postgres15.pid

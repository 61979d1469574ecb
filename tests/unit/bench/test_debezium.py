"""What the peer Debezium needs outside of a run: where its jars are, and files that keep a password to us."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from bench.debezium import fetch
from bench.debezium.configuration import broker, worker, write_properties


def test_jars_are_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("CROSSFADE_DEBEZIUM", raising=False)
    assert fetch.jar_folder() == tmp_path / "crossfade" / "debezium"
    monkeypatch.setenv("CROSSFADE_DEBEZIUM", str(tmp_path / "jars"))
    assert fetch.jar_folder() == tmp_path / "jars"


def test_a_fetch_leaves_a_folder_alone_that_is_not_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / "mine"
    mine.write_text("keep")
    monkeypatch.setenv("CROSSFADE_DEBEZIUM", str(tmp_path))
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    assert fetch.main() == 1
    assert mine.read_text() == "keep"


def test_properties_are_ours_alone_and_keep_backslashes(tmp_path: Path) -> None:
    file = write_properties(tmp_path / "sink", {"password": r"a\b=c", "regex": json.dumps({"id": 1})})
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text() == 'password=a\\\\b=c\nregex={"id": 1}\n'


def test_everything_listens_on_loopback(tmp_path: Path) -> None:
    for properties in (broker(tmp_path, 15001, 15002), worker(tmp_path, 15001, 15003)):
        for listener in properties["listeners"].split(","):
            assert listener.partition("://")[2].startswith("127.0.0.1:")

"""Settings that change under way: all or none, checked like the file, handed to whom they concern."""

from __future__ import annotations

import logging

import pytest
from pydantic import SecretStr

from config.settings import ApplySettings, LogSettings, Settings, SnapshotSettings, SourceSettings, StoreSettings
from daemon.tuning import TUNABLE, Tuned, Tuning
from model.errors import UsageError
from model.position import Flavour


@pytest.fixture
def handed() -> list[object]:
    return []


@pytest.fixture
def tuning(handed: list[object]) -> Tuning:
    settings = Settings(
        name="shop",
        source=SourceSettings(engine=Flavour.MARIADB, user="u", databases=("shop",)),
        stores={"main": StoreSettings(dsn=SecretStr("host=127.0.0.1"))},
        apply=ApplySettings(max_rows=500),
        log=LogSettings(level="info"),
    )
    return Tuning(settings, handed.append, handed.append)


def test_every_key_is_there_with_what_the_file_says(tuning: Tuning) -> None:
    found = {one.key: one for one in tuning.read()}
    assert set(found) == set(TUNABLE)
    assert found["apply.max_rows"] == Tuned("apply.max_rows", "500", "500")
    assert found["snapshot.max_threads_running"].value == found["snapshot.max_replica_lag_s"].value == "none"


def test_changed_parts_reach_whom_they_concern(tuning: Tuning, handed: list[object]) -> None:
    tuned = tuning.change({"apply.max_rows": "7", "apply.max_bytes": "8192", "snapshot.max_threads_running": "9"})
    assert [(one.value, one.configured) for one in tuned] == [("7", "500"), ("8192", "16777216"), ("9", "none")]
    assert handed == [ApplySettings(max_rows=7, max_bytes=8192), SnapshotSettings(max_threads_running=9)]
    tuning.change({"snapshot.max_threads_running": "none"})
    assert handed[-1] == SnapshotSettings()
    assert tuning.read(("apply.max_rows",))[0].value == "7"


def test_one_bad_value_changes_nothing(tuning: Tuning, handed: list[object]) -> None:
    with pytest.raises(UsageError, match="max_bytes cannot be 'many'"):
        tuning.change({"apply.max_rows": "7", "apply.max_bytes": "many"})
    assert handed == []
    assert tuning.read(("apply.max_rows",))[0].value == "500"


def test_what_needs_a_restart_says_so(tuning: Tuning) -> None:
    with pytest.raises(UsageError, match="cannot be changed") as caught:
        tuning.change({"apply.max_row": "7"})
    assert caught.value.hint == "Did you mean apply.max_rows?"
    with pytest.raises(UsageError) as caught:
        tuning.read(("source.host",))
    assert "a restart" in caught.value.hint


def test_the_log_follows(tuning: Tuning) -> None:
    root = logging.getLogger()
    before = root.level
    try:
        tuning.change({"log.level": "warning"})
        assert root.level == logging.WARNING
    finally:
        root.setLevel(before)

"""The cache's entries are whole or absent, and made once."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from servers import cache


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CROSSFADE_SERVERS_CACHE", str(tmp_path))
    return tmp_path


def test_an_entry_is_filled_once(folder: Path) -> None:
    fills = []

    def fill(work: Path) -> None:
        assert not (folder / "thing").exists()
        (work / "file").write_text("x")
        fills.append(work)

    assert cache.entry("thing", fill) == cache.entry("thing", fill) == folder / "thing"
    assert len(fills) == 1
    assert (folder / "thing/file").read_text() == "x"


def test_a_failed_fill_leaves_nothing_and_may_be_repeated(folder: Path) -> None:
    def fail(work: Path) -> None:
        (work / "half").touch()
        raise OSError("the network is gone")

    with pytest.raises(OSError, match="network"):
        cache.entry("thing", fail)
    assert [path.name for path in folder.iterdir()] == [".thing.lock"]
    assert cache.entry("thing", lambda work: None).is_dir()


def test_simultaneous_fills_happen_one_at_a_time() -> None:
    meeting = threading.Barrier(4, timeout=30)
    fills = []

    def fill(folder: Path) -> None:
        threading.Event().wait(0.2)  # long enough for the others to come by
        fills.append(folder)

    def work() -> None:
        meeting.wait()
        cache.entry("thing", fill)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(fills) == 1


def test_a_closed_home_is_not_taken_for_servers_of_another_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from servers.account import Account

    monkeypatch.delenv("CROSSFADE_SERVERS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(cache, "_SYSTEM_CACHE", tmp_path / "system")
    monkeypatch.setattr(cache, "server_account", lambda: Account("stranger", 54321, 54321))
    tmp_path.chmod(0o700)
    assert cache.cache_folder() == tmp_path / "system"


def test_reach_is_judged_for_owner_group_and_others(tmp_path: Path) -> None:
    from servers.account import Account

    facts = tmp_path.stat()
    owner = Account("owner", facts.st_uid, 54321)
    group = Account("group", 54321, facts.st_gid)
    other = Account("other", 54321, 54321)
    top = Path(tmp_path.anchor)
    for mode, expected in ((0o700, (True, False, False)), (0o010, (False, True, False)), (0o001, (False, False, True))):
        folder = tmp_path / oct(mode)
        folder.mkdir(mode=0o755)
        folder.chmod(mode)
        seen = tuple(_enters(account, folder / "file", top) for account in (owner, group, other))
        assert seen == expected, oct(mode)
        folder.chmod(0o755)


def _enters(account, path: Path, top: Path) -> bool:  # type: ignore[no-untyped-def]
    """Judge the last folder alone: what is above the temporary folder is not ours to set up."""
    from unittest import mock

    parents = [path.parent]
    with mock.patch.object(Path, "resolve", lambda self: mock.Mock(parents=parents)):
        return bool(account.can_reach(path))

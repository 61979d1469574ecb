"""The first open way wins; when all are closed the error names every one."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from model.errors import ExitCode, UsageError
from servers import ServerUnavailable, provisioning
from servers.__main__ import main
from servers.container import ContainerServer
from servers.errors import RouteFailed
from servers.flavour import FLAVOURS, MYSQL_5_6, MYSQL_9_7, POSTGRES_18, Flavour, flavour_named
from servers.installation import ContainerImage, Installation, inspect
from servers.options import merged, texts
from servers.routes import Say
from servers.routes.distribution import FromDistribution


@dataclass(frozen=True)
class Way:
    title: str
    problem: Exception | None
    asked: list[str] = field(default_factory=list, hash=False)

    def fetch(self, flavour: Flavour, say: Say) -> Installation:
        self.asked.append(flavour.name)
        if self.problem is not None:
            raise self.problem
        return Installation(flavour, flavour.series, Path("/"), Path("/server"), (), self.title)


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> list[Way]:
    chosen: list[Way] = []

    class Routes(dict[Flavour, tuple[Way, ...]]):
        def __missing__(self, flavour: Flavour) -> tuple[Way, ...]:
            return tuple(chosen)

    monkeypatch.setattr(provisioning, "LOCAL_ROUTES", Routes())
    monkeypatch.setattr(provisioning, "CONTAINER_ROUTES", dict.fromkeys(FLAVOURS.values(), ()))
    monkeypatch.setattr(provisioning, "_found", {})
    return chosen


def test_the_first_open_way_wins_and_is_remembered(ways: list[Way]) -> None:
    ways += [Way("first", RouteFailed("shut")), Way("second", OSError("disk full")), Way("third", None)]
    ways.append(Way("fourth", None))
    assert provisioning.provision(MYSQL_9_7).route == "third"
    assert provisioning.provision(MYSQL_9_7).route == "third"
    assert [len(way.asked) for way in ways] == [1, 1, 1, 0]


def test_the_error_names_every_way_and_why(ways: list[Way]) -> None:
    ways += [Way("first", RouteFailed("no network")), Way("second", RouteFailed("no rights"))]
    with pytest.raises(ServerUnavailable) as caught:
        provisioning.provision(POSTGRES_18)
    for text in ("postgres-18", "first: no network", "second: no rights"):
        assert text in str(caught.value)
    assert "postgres-18" in caught.value.hint


def test_command_line_tells_what_cannot_be_had(ways: list[Way], capsys: pytest.CaptureFixture[str]) -> None:
    ways.append(Way("only", RouteFailed("no network")))
    assert main(["provision", "mysql-9.7", "postgres-15"]) == ExitCode.UNREACHABLE
    said = capsys.readouterr().err
    assert "only: no network" in said
    assert "Cannot be had: mysql-9.7, postgres-15" in said
    assert main(["start", "mysql-9.7"]) == ExitCode.UNREACHABLE


def test_command_line_provisions_all(ways: list[Way], capsys: pytest.CaptureFixture[str]) -> None:
    ways.append(Way("only", None))
    assert main(["provision", "all"]) == ExitCode.CLEAN
    assert [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()] == list(FLAVOURS)


@pytest.mark.parametrize(
    "words", [["provision", "mysql-1.0"], ["start", "oracle"], ["start", "mysql-9.7", "--option", "x"]]
)
def test_command_line_refuses_wrong_words(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == ExitCode.USAGE
    assert capsys.readouterr().err


def test_flavours_take_their_own_versions_only() -> None:
    assert MYSQL_9_7.takes("9.7.4")
    assert MYSQL_9_7.takes("9.7")
    assert not MYSQL_9_7.takes("9.70.1")
    assert not MYSQL_9_7.takes("9.8.0")
    with pytest.raises(UsageError, match="mysql-4"):
        flavour_named("mysql-4")


def test_a_program_of_another_version_or_make_is_not_taken(tmp_path: Path) -> None:
    program = tmp_path / "sbin/mysqld"
    program.parent.mkdir()

    def says(text: str) -> None:
        program.write_text(f"#!/bin/sh\necho '{text}'\n")
        program.chmod(0o755)

    says("mysqld  Ver 9.7.4 for Linux on x86_64")
    assert inspect(MYSQL_9_7, tmp_path, "test").version == "9.7.4"
    says("mysqld  Ver 9.8.1 for Linux on x86_64")
    with pytest.raises(RouteFailed, match=r"9\.8\.1, not mysql-9\.7"):
        inspect(MYSQL_9_7, tmp_path, "test")
    says("mysqld  Ver 9.7.4-MariaDB for debian-linux-gnu")
    with pytest.raises(RouteFailed, match="MariaDB"):
        inspect(MYSQL_9_7, tmp_path, "test")
    says("cannot open shared object")
    with pytest.raises(RouteFailed, match="shared object"):
        inspect(MYSQL_9_7, tmp_path, "test")
    with pytest.raises(RouteFailed, match="no server program"):
        inspect(MYSQL_9_7, tmp_path / "elsewhere", "test")


def test_distribution_needs_rights_and_the_wanted_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from servers.routes import distribution

    monkeypatch.setenv("CROSSFADE_SERVERS_CACHE", str(tmp_path))
    monkeypatch.setattr(distribution, "as_root", lambda: None)
    with pytest.raises(RouteFailed, match="sudo"):
        FromDistribution("mysql-server").fetch(MYSQL_9_7, lambda line: None)

    ran: list[list[str]] = []

    def run(command: list[str], **_: object) -> str:
        ran.append(command)
        return "mysql-server:\n  Installed: (none)\n  Candidate: 1:8.4.1-2ubuntu1\n"

    monkeypatch.setattr(distribution, "as_root", lambda: ["sudo"])
    monkeypatch.setattr(distribution, "run", run)
    with pytest.raises(RouteFailed, match=r"no mysql-server of version 9\.7"):
        FromDistribution("mysql-server").fetch(MYSQL_9_7, lambda line: None)
    assert not any("install" in command for command in ran)


def test_distribution_installs_without_services_and_tidies_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from servers.routes import distribution

    policy, cluster = tmp_path / "policy-rc.d", tmp_path / "conf/crossfade.conf"
    monkeypatch.setenv("CROSSFADE_SERVERS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(distribution, "_POLICY", str(policy))
    monkeypatch.setattr(distribution, "_NO_CLUSTER", str(cluster))
    monkeypatch.setattr(distribution, "as_root", list)
    real = distribution.run
    seen: list[str] = []
    tried: list[str] = []

    def run(command: list[str], **_: object) -> str:
        if command[0] == "apt-cache":
            return "  Candidate: 18.6-3\n"
        if command[0] == "apt-get":
            tried.append("install" if "install" in command else "update")
            assert policy.stat().st_mode & 0o111
            seen[:] = [policy.read_text(), cluster.read_text()]
            raise RouteFailed("the archive is gone")
        return real(command)

    monkeypatch.setattr(distribution, "run", run)
    with pytest.raises(RouteFailed, match="archive is gone"):
        FromDistribution("postgresql-18").fetch(POSTGRES_18, lambda line: None)
    assert seen == ["#!/bin/sh\nexit 101\n", "create_main_cluster = false\n"]
    assert tried == ["install", "update"]
    assert not policy.exists()
    assert not cluster.exists()

    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    with pytest.raises(RouteFailed, match="archive is gone"):
        FromDistribution("postgresql-18").fetch(POSTGRES_18, lambda line: None)
    assert policy.exists(), "a policy that was there before is not ours to take away"
    assert not cluster.exists()


def test_options_override_defaults_whatever_their_spelling() -> None:
    defaults = {"log_bin": "binlog", "loose_binlog_row_metadata": "FULL", "fsync": True}
    options = {"log-bin": None, "binlog_row_metadata": "MINIMAL", "fsync": False, "plugin_load_add": ("a", "b")}
    assert merged(defaults, options) == {
        "binlog_row_metadata": "MINIMAL",
        "fsync": False,
        "plugin_load_add": ("a", "b"),
    }
    assert [texts(value) for value in (True, False, 7, "x", ("a", "b"), None)] == [
        ["ON"], ["OFF"], ["7"], ["x"], ["a", "b"], []
    ]  # fmt: skip


def test_containers_get_variables_on_the_command_line() -> None:
    mysql = ContainerServer(ContainerImage(MYSQL_9_7, "mysql:9.7", "test"), {"gtid_mode": "OFF"}, 15000).command()
    assert "--gtid-mode=OFF" in mysql
    assert "--gtid-mode=ON" not in mysql
    assert "--server-id=15000" in mysql
    old = ContainerServer(ContainerImage(MYSQL_5_6, "mysql:5.6", "test"), None, 15000).command()
    assert not [word for word in old if "row-metadata" in word or "gtid" in word]
    postgres = ContainerServer(ContainerImage(POSTGRES_18, "postgres:18", "test"), {"fsync": False}, 15000).command()
    assert postgres[-2:] == ["-c", "fsync=OFF"]
    assert "wal_level=logical" in postgres

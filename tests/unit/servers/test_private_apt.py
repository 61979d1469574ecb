"""Deriving apt sources for another suite from the machine's own."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from servers.errors import RouteFailed
from servers.routes import private_apt

DEB822 = """\
# the archive
Types: deb deb-src
URIs: http://archive.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian.gpg

Types: deb
URIs: http://archive.example/security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian.gpg

Types: deb
Enabled: no
URIs: http://disabled.example/debian
Suites: bookworm
Components: main

Types: deb-src
URIs: http://sources.example/debian
Suites: bookworm
Components: main
"""
THIRD_PARTY = "deb [signed-by=/etc/apt/k.gpg] https://vendor.example/apt nodistro main\n# deb http://x bookworm main\n"
ONE_LINE = "deb [arch=amd64 signed-by=/etc/apt/d.gpg] http://other.example/debian bookworm main non-free # ours\n"


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(private_apt, "_SOURCES", tmp_path)
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: {"VERSION_CODENAME": "bookworm"})
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d/vendor.list").write_text(THIRD_PARTY)
    return tmp_path


def test_another_suite_replaces_those_of_the_archive_only(apt: Path) -> None:
    (apt / "sources.list.d/debian.sources").write_text(DEB822)
    (text,) = private_apt._sources_for("unstable")
    assert text.splitlines() == [
        "Types: deb",
        "URIs: http://archive.example/debian",
        "Suites: unstable",
        "Components: main",
        "Signed-By: /usr/share/keyrings/debian.gpg",
    ]


def test_own_suites_stay_with_updates_and_security(apt: Path) -> None:
    (apt / "sources.list.d/debian.sources").write_text(DEB822)
    suites = [text.splitlines()[2] for text in private_apt._sources_for(None)]
    assert suites == ["Suites: bookworm bookworm-updates", "Suites: bookworm-security"]


def test_one_line_sources_are_read(apt: Path) -> None:
    (apt / "sources.list").write_text(ONE_LINE)
    (text,) = private_apt._sources_for("unstable")
    assert text.splitlines() == [
        "Types: deb",
        "URIs: http://other.example/debian",
        "Suites: unstable",
        "Components: main",
        "Signed-By: /etc/apt/d.gpg",
    ]


def test_no_sources_is_a_closed_route(apt: Path) -> None:
    with pytest.raises(RouteFailed, match="no apt sources"):
        list(private_apt._sources_for("unstable"))


def test_programs_run_through_the_unpacked_loader_wherever_the_folder_is(tmp_path: Path) -> None:
    machine = platform.machine()
    loader = Path(f"/lib64/ld-linux-{machine.replace('_', '-')}.so.2")
    libraries = Path(f"/usr/lib/{machine}-linux-gnu")
    if not (loader.exists() and (libraries / "libc.so.6").exists()):
        pytest.skip("not a glibc machine of the Debian family")
    root = tmp_path / "before"
    inside = root / "usr/lib" / libraries.name
    inside.mkdir(parents=True)
    (inside / loader.name).write_bytes(loader.read_bytes())
    (inside / loader.name).chmod(0o755)
    (inside / "libc.so.6").write_bytes((libraries / "libc.so.6").read_bytes())
    programs = root / "usr/sbin"
    programs.mkdir()
    (programs / "echoing").write_bytes(Path("/bin/echo").read_bytes())
    (programs / "echoing").chmod(0o755)
    (programs / "script").write_text("#!/bin/sh\n")
    private_apt._wrap_programs(root, [programs])
    assert (programs / "script").read_text() == "#!/bin/sh\n"
    moved = root.rename(tmp_path / "after")
    from servers.commands import run

    assert run([moved / "usr/sbin/echoing", "a b", "c"]) == "a b c\n"

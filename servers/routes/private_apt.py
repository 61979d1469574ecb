"""Servers out of Debian packages that are unpacked into the cache, not installed.

apt works on lists, caches and a status file of our own, so the machine's package state is neither read nor changed
and no rights are needed. The machine's own sources name the archive; only the suite is replaced. An empty status
file makes apt fetch every library down to libc, and the programs run through the unpacked loader: they need nothing
of the machine but its kernel.
"""

from __future__ import annotations

import platform
import re
import shlex
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from servers import cache
from servers.commands import run
from servers.errors import RouteFailed
from servers.flavour import Engine, Flavour
from servers.installation import Installation, inspect
from servers.routes import Say

_SOURCES = Path("/etc/apt")
_MOVING_SUITES = ("oldstable", "stable", "testing", "unstable", "sid")
_FOLDERS = ("etc/sources", "etc/preferences", "lists/partial", "cache/archives/partial")


@dataclass(frozen=True, slots=True)
class PrivateApt:
    """Unpack `package` of `suite`; None is the machine's own suites."""

    package: str
    suite: str | None

    @property
    def title(self) -> str:
        """A few words for people."""
        return f"package {self.package} of {self.suite or 'the distribution'}, unpacked privately"

    def fetch(self, flavour: Flavour, say: Say) -> Installation:
        """Download and unpack once, then answer from the cache."""

        def fill(folder: Path) -> None:
            say(f"{flavour}: fetching {self.package} of {self.suite or 'the distribution'} and its libraries")
            self._download(flavour, folder / "apt")
            say(f"{flavour}: unpacking")
            for archive in sorted((folder / "apt/cache/archives").glob("*.deb")):
                run(["dpkg-deb", "-x", archive, folder])
            shutil.rmtree(folder / "apt")
            _wrap_programs(folder, _program_folders(flavour, folder))
            inspect(flavour, _home(flavour, folder), self.title)

        root = cache.entry(f"{flavour}-{self.suite or 'own'}", fill)
        return inspect(flavour, _home(flavour, root), self.title)

    def _download(self, flavour: Flavour, base: Path) -> None:
        for name in _FOLDERS:
            (base / name).mkdir(parents=True)
        (base / "status").touch()
        for number, text in enumerate(_sources_for(self.suite)):
            (base / f"etc/sources/crossfade-{number}.sources").write_text(text)
        (base / "apt.conf").write_text(
            f"""Dir::Etc::SourceList "/dev/null";
Dir::Etc::SourceParts "{base}/etc/sources";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "{base}/etc/preferences";
Dir::State "{base}";
Dir::State::Lists "{base}/lists";
Dir::State::Status "{base}/status";
Dir::Cache "{base}/cache";
Dir::Cache::Archives "{base}/cache/archives";
APT::Sandbox::User "";
APT::Install-Recommends "false";
APT::Keep-Downloaded-Packages "true";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Debug::NoLocking "true";
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
#clear Acquire::IndexTargets::deb::DEP-11;
"""
        )
        # APT_CONFIG is read before the machine's own files and would lose to them; a -c file is read last.
        options = ["-q", "-c", str(base / "apt.conf")]
        run(["apt-get", *options, "update"], tries=2)
        policy = run(["apt-cache", *options, "policy", self.package])
        candidate = re.search(r"Candidate: (?:\d+:)?(\d[\d.]*)", policy)
        if candidate is None or not flavour.takes(candidate[1].rstrip(".")):
            offered = f"version {candidate[1]} of" if candidate else "no"
            raise RouteFailed(f"{self.suite or 'the distribution'} has {offered} {self.package}")
        run(["apt-get", *options, "install", "-y", "--download-only", self.package], tries=2)


def _home(flavour: Flavour, root: Path) -> Path:
    return root / f"usr/lib/postgresql/{flavour.series}" if flavour.engine is Engine.POSTGRES else root / "usr"


def _program_folders(flavour: Flavour, root: Path) -> list[Path]:
    home = _home(flavour, root)
    return [home / "bin"] if flavour.engine is Engine.POSTGRES else [home / "sbin"]


def _wrap_programs(root: Path, folders: Iterable[Path]) -> None:
    """Put a script in the place of every program that runs it through the unpacked loader with its libraries.

    The script finds everything from its own place, for the folder is renamed when it is complete.
    """
    loaders = sorted(root.glob("usr/lib/*/ld-linux*.so.*")) or sorted(root.glob("lib/*/ld-linux*.so.*"))
    if not loaders:
        raise RouteFailed("the packages hold no loader")
    loader = loaders[0].relative_to(root)
    libraries = [loader.parent, Path("usr/lib") / loader.parent.name, Path("lib") / loader.parent.name]
    search = ":".join(f"$root/{folder}" for folder in dict.fromkeys(libraries) if (root / folder).is_dir())
    for folder in folders:
        depth = "/".join([".."] * len(folder.relative_to(root).parts))
        for program in sorted(folder.iterdir()):
            if program.is_symlink() or program.read_bytes()[:4] != b"\x7fELF":
                continue
            hidden = program.rename(program.with_name(f".{program.name}.real"))
            program.write_text(
                "#!/bin/sh\n"
                f'here=$(cd "$(dirname "$0")" && pwd -P); root=$(cd "$here/{depth}" && pwd -P)\n'
                f'export OPENSSL_MODULES="$root/{libraries[1]}/ossl-modules" OPENSSL_CONF=/dev/null\n'
                f'exec "$root/{loader}" --library-path "{search}" --argv0 "$here/{shlex.quote(program.name)}" '
                f'"$here/{hidden.name}" "$@"\n'
            )
            program.chmod(0o755)


def _sources_for(suite: str | None) -> Iterator[str]:
    """The machine's distribution sources in deb822 form, with their suites replaced by `suite` if one is given."""
    own = {platform.freedesktop_os_release().get("VERSION_CODENAME", ""), *_MOVING_SUITES}
    seen: set[str] = set()
    for stanza in (*_deb822_stanzas(), *_one_line_stanzas()):
        fields = {name.lower(): value for name, value in stanza.items()}
        if "deb" not in fields.get("types", "deb").split() or fields.get("enabled", "yes").lower() == "no":
            continue
        # Suites of third parties go by other names; the security archive and the like have nothing to replace.
        suites = [name for name in fields.get("suites", "").split() if name.partition("-")[0] in own]
        if suite is not None:
            suites = [suite] if own.intersection(suites) else []
        components = [name for name in fields.get("components", "").split() if name in ("main", "universe")]
        if not suites or not components:
            continue
        text = f"Types: deb\nURIs: {fields.get('uris', '')}\n"
        text += f"Suites: {' '.join(suites)}\nComponents: {' '.join(components)}\n"
        if signed := fields.get("signed-by"):
            text += f"Signed-By: {signed}\n"
        if text not in seen:
            seen.add(text)
            yield text
    if not seen:
        raise RouteFailed("the machine has no apt sources of a distribution")


def _deb822_stanzas() -> Iterator[dict[str, str]]:
    for path in sorted((_SOURCES / "sources.list.d").glob("*.sources")):
        for block in re.split(r"\n\s*\n", path.read_text()):
            fields: dict[str, str] = {}
            name = ""
            for line in block.splitlines():
                if line.startswith("#"):
                    continue
                if line[:1].isspace():
                    if name:
                        fields[name] += "\n" + line
                elif ":" in line:
                    name, _, value = line.partition(":")
                    fields[name] = value.strip()
            if fields:
                yield fields


def _one_line_stanzas() -> Iterator[dict[str, str]]:
    for path in (_SOURCES / "sources.list", *sorted((_SOURCES / "sources.list.d").glob("*.list"))):
        if not path.is_file():
            continue
        for line in path.read_text().splitlines():
            match = re.match(r"deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]+)", line.strip())
            if match is None:
                continue
            stanza = {"Types": "deb", "URIs": match[2], "Suites": match[3], "Components": match[4].strip()}
            signed = re.search(r"signed-by=(\S+)", match[1] or "")
            if signed:
                stanza["Signed-By"] = signed[1]
            yield stanza

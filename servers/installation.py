"""A server's programs on this machine: where they are, which version, and how they were come by."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from servers.errors import RouteFailed
from servers.flavour import Engine, Flavour

_SERVER_PROGRAMS = {
    Engine.MARIADB: ("sbin/mariadbd", "bin/mariadbd"),
    Engine.MYSQL: ("sbin/mysqld", "bin/mysqld", "mysqld"),
    Engine.POSTGRES: ("bin/postgres",),
}
_VERSIONS = re.compile(r"(?:Ver |\(PostgreSQL\) )(\d+(?:\.\d+)+)")


@dataclass(frozen=True, slots=True)
class Installation:
    """The programs of one server."""

    flavour: Flavour
    version: str
    home: Path
    """Prefix that holds the server's bin/sbin and share folders."""
    program: Path
    """`mysqld`, `mariadbd` or `postgres`."""
    variables: tuple[tuple[str, str], ...]
    """Environment variables the programs need."""
    route: str

    @property
    def environment(self) -> dict[str, str]:
        """The whole environment to run the programs in: small, and the same everywhere."""
        return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "TZ": "UTC", **dict(self.variables)}

    def folder(self, *candidates: str) -> Path | None:
        """The first of `candidates` (relative to `home`) that is a folder."""
        return next((self.home / name for name in candidates if (self.home / name).is_dir()), None)


@dataclass(frozen=True, slots=True)
class ContainerImage:
    """A server that runs in a container because the machine offers nothing else."""

    flavour: Flavour
    image: str
    route: str

    @property
    def version(self) -> str:
        """The image's tag."""
        return self.image.rpartition(":")[2]


def inspect(flavour: Flavour, home: Path, route: str, variables: tuple[tuple[str, str], ...] = ()) -> Installation:
    """The installation of `flavour` below `home`, after asking the program itself for its version.

    Raises RouteFailed when there is none, it does not run, or it is of another version.
    """
    names = _SERVER_PROGRAMS[flavour.engine]
    program = next((home / name for name in names if os.access(home / name, os.X_OK)), None)
    if program is None:
        raise RouteFailed(f"no server program in {home}")
    arguments = (
        [str(program), "--version"]
        if flavour.engine is Engine.POSTGRES
        else [str(program), "--no-defaults", "--version"]
    )
    found = Installation(flavour, "", home, program, variables, route)
    try:
        done = subprocess.run(arguments, env=found.environment, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RouteFailed(f"{program} does not run: {error}") from error
    match = _VERSIONS.search(done.stdout)
    if done.returncode != 0 or match is None:
        raise RouteFailed(f"{program} does not run: {(done.stderr or done.stdout).strip()[-300:]}")
    is_mariadb = "MariaDB" in done.stdout
    if not flavour.takes(match[1]) or is_mariadb != (flavour.engine is Engine.MARIADB):
        raise RouteFailed(f"{program} is {'MariaDB ' if is_mariadb else ''}{match[1]}, not {flavour}")
    return Installation(flavour, match[1], home, program, variables, route)

"""Servers that are already on the machine: on PATH or in the folders where packages put them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from servers.errors import RouteFailed
from servers.flavour import Engine, Flavour
from servers.installation import Installation, inspect
from servers.routes import Say

_PROGRAMS = {Engine.MARIADB: "mariadbd", Engine.MYSQL: "mysqld", Engine.POSTGRES: "postgres"}


@dataclass(frozen=True, slots=True)
class OnMachine:
    """Look, change nothing."""

    title: str = "already on the machine"

    def fetch(self, flavour: Flavour, say: Say) -> Installation:
        """The first installation of `flavour` among PATH and the usual folders."""
        del say
        reasons: list[str] = []
        for home in _homes(flavour):
            try:
                return inspect(flavour, home, self.title)
            except RouteFailed as failure:
                reasons.append(str(failure))
        raise RouteFailed("; ".join(dict.fromkeys(reasons)) or "not found on PATH or in the usual folders")


def _homes(flavour: Flavour) -> list[Path]:
    homes: list[Path] = []
    if flavour.engine is Engine.POSTGRES:
        homes += [Path(f"/usr/lib/postgresql/{flavour.series}"), Path(f"/usr/pgsql-{flavour.series}")]
    if (program := shutil.which(_PROGRAMS[flavour.engine])) is not None:
        homes.append(Path(program).resolve().parent.parent)
    if flavour.engine is not Engine.POSTGRES:
        homes += [Path("/usr"), Path("/usr/local"), Path("/usr/local/mysql"), Path("/opt/mysql")]
    return [home for home in dict.fromkeys(homes) if home.is_dir()]

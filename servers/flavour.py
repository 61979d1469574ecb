"""The server flavours that crossfade is developed and tested against, by name.

A flavour says what a server is (engine and version series), not where it comes from: that is `servers.provisioning`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from model.errors import UsageError


class Engine(StrEnum):
    """The server software; also the scheme of its URLs."""

    MARIADB = "mariadb"
    MYSQL = "mysql"
    POSTGRES = "postgresql"


@dataclass(frozen=True, slots=True)
class Flavour:
    """One engine in one version series."""

    name: str
    engine: Engine
    series: str
    """Leading part of the version: `9.7` takes every 9.7.x."""

    def takes(self, version: str) -> bool:
        """Whether `version` (as the server reports it, such as `9.7.4`) is of this flavour."""
        return version == self.series or version.startswith(self.series + ".")

    def __str__(self) -> str:
        return self.name


MARIADB_10_11 = Flavour("mariadb-10.11", Engine.MARIADB, "10.11")
MYSQL_9_7 = Flavour("mysql-9.7", Engine.MYSQL, "9.7")
MYSQL_5_6 = Flavour("mysql-5.6", Engine.MYSQL, "5.6")
POSTGRES_15 = Flavour("postgres-15", Engine.POSTGRES, "15")
POSTGRES_16 = Flavour("postgres-16", Engine.POSTGRES, "16")
POSTGRES_17 = Flavour("postgres-17", Engine.POSTGRES, "17")
POSTGRES_18 = Flavour("postgres-18", Engine.POSTGRES, "18")

FLAVOURS: dict[str, Flavour] = {
    flavour.name: flavour
    for flavour in (
        MARIADB_10_11,
        MYSQL_9_7,
        MYSQL_5_6,
        POSTGRES_15,
        POSTGRES_16,
        POSTGRES_17,
        POSTGRES_18,
    )
}


def flavour_named(name: str) -> Flavour:
    """The flavour called `name`. Raises UsageError when there is none."""
    try:
        return FLAVOURS[name]
    except KeyError:
        raise UsageError(
            f"There is no server flavour called {name!r}", hint=f"Take one of: {', '.join(FLAVOURS)}"
        ) from None

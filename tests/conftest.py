"""Servers for the tests: command line options, fixtures, and a loud word about every server that was missing.

A test that takes `source` or `source_db` runs once for every source of the run, one that takes `store` or `store_db`
once for every store; one that takes both runs on pairs of them, not on the product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from servers import RunningServer, flavour_named
from servers.options import Value
from tests.support.servers import (
    MATRIX_SOURCES,
    MATRIX_STORES,
    MYSQLS,
    SOURCES,
    STORES,
    SourceDatabase,
    StoreDatabase,
    TestServers,
    Where,
    in_ci,
    pairs,
    source_database,
    store_database,
)

# How long an example takes says more of the machine's other work than of the code.
hypothesis_settings.register_profile("crossfade", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("crossfade")

_SERVERS = pytest.StashKey[TestServers]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Which servers the tests run on, and where these come from."""
    group = parser.getgroup("crossfade", "database servers")
    group.addoption(
        "--servers",
        choices=[str(where) for where in Where],
        default=str(Where.AUTO),
        help="where servers come from: programs of this machine (local), containers (docker), running servers named"
        " by CROSSFADE_TEST_<FLAVOUR>_DSN (dsn), or the first of these that is there (auto, the default)",
    )
    group.addoption("--source", help=f"flavours of the source, comma-separated (default {','.join(SOURCES)})")
    group.addoption("--store", help=f"flavours of the stores, comma-separated (default {','.join(STORES)})")
    group.addoption("--matrix", action="store_true", help="all flavours, and the tests marked slow and matrix")


def pytest_configure(config: pytest.Config) -> None:
    """Check the names, so that a misspelt one is an error at once."""
    config.stash[_SERVERS] = TestServers(Where(config.getoption("--servers")))
    for option in ("--source", "--store"):
        for name in (config.getoption(option) or "").split(","):
            if name:
                flavour_named(name)


def _legs(config: pytest.Config) -> tuple[list[str], list[str]]:
    matrix = config.getoption("--matrix")
    sources = (config.getoption("--source") or ",".join(MATRIX_SOURCES if matrix else SOURCES)).split(",")
    stores = (config.getoption("--store") or ",".join(MATRIX_STORES if matrix else STORES)).split(",")
    servers = config.stash[_SERVERS]
    if in_ci() and MYSQLS[0] in sources and not servers.can_be_had(MYSQLS[0]) and MYSQLS[1] not in sources:
        # CI never goes without a real MySQL: the old one stands in, and the new one is reported as missing.
        sources.append(MYSQLS[1])
    return sources, stores


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Spread tests over the legs of the run."""
    chosen = {
        name.strip()
        for mark in metafunc.definition.iter_markers("parametrize")
        for name in (mark.args[0].split(",") if isinstance(mark.args[0], str) else mark.args[0])
    }
    wanted = [name for name in ("source", "store") if name in metafunc.fixturenames and name not in chosen]
    if not wanted:
        return
    sources, stores = _legs(metafunc.config)
    matrix = bool(metafunc.config.getoption("--matrix"))
    if wanted == ["source", "store"]:
        legs = pairs(sources, stores)
        cases = [pytest.param(*leg, id="-to-".join(leg), marks=_marks(matrix, *leg)) for leg in legs]
        metafunc.parametrize(wanted, cases, indirect=True)
    else:
        names = sources if wanted == ["source"] else stores
        cases = [pytest.param(name, id=name, marks=_marks(matrix, name)) for name in names]
        metafunc.parametrize(wanted[0], cases, indirect=True)


def _marks(matrix: bool, *flavours: str) -> tuple[pytest.MarkDecorator, ...]:
    """What only the matrix has is marked so; `-m "slow or matrix"` is then what it adds to the ordinary run."""
    return (pytest.mark.matrix,) if matrix and not set(flavours) <= {*SOURCES, *STORES} else ()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """`matrix` tests run only in the matrix; `slow` ones there, in CI, or when asked for by -m."""
    matrix = config.getoption("--matrix")
    slow = matrix or in_ci() or "slow" in (config.getoption("-m") or "")
    for item in items:
        if not matrix and item.get_closest_marker("matrix"):
            item.add_marker(pytest.mark.skip(reason="only with --matrix"))
        if not slow and item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.skip(reason="slow: only with --matrix, -m slow or CI=true"))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """A server that crashed costs the test that it crashed under, and none of the later ones."""
    item.config.stash[_SERVERS].revive()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name the servers that nothing was tested on, and show what passed only at the second try."""
    again = terminalreporter.stats.get("rerun", [])
    if again:
        terminalreporter.section("FAILED ONCE, THEN PASSED OR FAILED AGAIN: A RACE IN THE CODE OR IN THE TEST", sep="!")
        for report in again:
            terminalreporter.section(report.nodeid, sep="-")
            terminalreporter.write_line(report.longreprtext)
    missing = config.stash[_SERVERS].missing
    if missing:
        terminalreporter.section("SERVERS THAT COULD NOT BE HAD: NOTHING WAS TESTED ON THEM", sep="!", red=True)
        for name, reason in missing.items():
            terminalreporter.write_line(f"{name}: {reason}")


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> Iterator[TestServers]:
    """The servers of the run."""
    registry = request.config.stash[_SERVERS]
    yield registry
    registry.close()


@pytest.fixture(scope="session")
def source(servers: TestServers, request: pytest.FixtureRequest) -> RunningServer:
    """The shared server of each source flavour of the run in turn."""
    return servers.shared(request.param)


@pytest.fixture(scope="session")
def store(servers: TestServers, request: pytest.FixtureRequest) -> RunningServer:
    """The shared server of each store flavour of the run in turn."""
    return servers.shared(request.param)


@pytest.fixture
def source_db(source: RunningServer) -> Iterator[SourceDatabase]:
    """A fresh database in the source."""
    with source_database(source) as database:
        yield database


@pytest.fixture
def store_db(store: RunningServer) -> Iterator[StoreDatabase]:
    """A fresh database in the store's server."""
    with store_database(store) as database:
        yield database


@pytest.fixture
def new_store_db(store: RunningServer) -> Iterator[Callable[[], StoreDatabase]]:
    """Makes any number of fresh databases in the store's server, for tests with several stores."""
    opened = []

    def make() -> StoreDatabase:
        manager = store_database(store)
        opened.append(manager)
        return manager.__enter__()

    yield make
    for manager in reversed(opened):
        manager.__exit__(None, None, None)


@pytest.fixture
def start_private(servers: TestServers) -> Iterator[Callable[..., RunningServer]]:
    """`start_private("mysql-9.7", gtid_mode="OFF")`: a server that the test may stop, kill and configure."""
    started: list[RunningServer] = []

    def start(name: str, **options: Value) -> RunningServer:
        started.append(servers.private(name, options))
        return started[-1]

    yield start
    for server in started:
        server.remove()


@pytest.fixture(scope="session")
def mariadb(servers: TestServers) -> RunningServer:
    """The shared MariaDB 10.11."""
    return servers.shared("mariadb-10.11")


@pytest.fixture(scope="session")
def mysql97(servers: TestServers) -> RunningServer:
    """The shared MySQL 9.7."""
    return servers.shared("mysql-9.7")


@pytest.fixture(scope="session")
def mysql56(servers: TestServers) -> RunningServer:
    """The shared MySQL 5.6."""
    return servers.shared("mysql-5.6")


@pytest.fixture(scope="session")
def postgres15(servers: TestServers) -> RunningServer:
    """The shared PostgreSQL 15."""
    return servers.shared("postgres-15")


@pytest.fixture(scope="session")
def postgres18(servers: TestServers) -> RunningServer:
    """The shared PostgreSQL 18."""
    return servers.shared("postgres-18")

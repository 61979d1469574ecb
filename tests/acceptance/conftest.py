"""Databases of fixed flavours for cases where the flavour does not matter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from servers import RunningServer
from tests.support.servers import SourceDatabase, StoreDatabase, source_database, store_database


@pytest.fixture
def mariadb_db(mariadb: RunningServer) -> Iterator[SourceDatabase]:
    """A fresh database on MariaDB 10.11."""
    with source_database(mariadb) as database:
        yield database


@pytest.fixture
def store15(postgres15: RunningServer) -> Iterator[StoreDatabase]:
    """A fresh database on PostgreSQL 15."""
    with store_database(postgres15) as database:
        yield database


@pytest.fixture
def postgres15_dbs(postgres15: RunningServer) -> Iterator[Callable[[], StoreDatabase]]:
    """Makes any number of fresh databases on PostgreSQL 15."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(store_database(postgres15))

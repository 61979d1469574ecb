"""Databases of fixed flavours for cases where the flavour does not matter."""

from __future__ import annotations

from collections.abc import Iterator

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

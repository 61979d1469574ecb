"""RetailCore for acceptance tests: a small legacy shop, its configuration for three stores, and traffic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from demo.retailcore.address import MysqlAddress
from demo.retailcore.domains import Domain
from demo.retailcore.generate import generate
from demo.retailcore.invariants import compare, measure_mysql, measure_postgres, violated
from demo.retailcore.mapping import SCHEMAS, config_text, environment
from demo.retailcore.mysql_shop import mysql_shop
from demo.retailcore.schema import create_database
from demo.retailcore.traffic import Traffic, TrafficOptions
from servers import Engine
from tests.support.migration import Migration
from tests.support.servers import SourceDatabase, StoreDatabase


@dataclass(frozen=True, slots=True)
class Shop:
    """A shop that is being migrated."""

    address: MysqlAddress
    stores: Mapping[Domain, StoreDatabase]
    migration: Migration

    @contextmanager
    def traffic(self, rate: float = 150.0) -> Iterator[Traffic]:
        """Customers, until the end of the block."""
        traffic = Traffic(mysql_shop(self.address), TrafficOptions(rate=rate))
        traffic.start()
        try:
            yield traffic
        finally:
            traffic.stop()

    def assert_invariants_agree(self) -> None:
        """The business figures hold on both sides and are the same."""
        with ExitStack() as stack:
            source = measure_mysql(stack.enter_context(closing(self.address.connect())))
            connections = {domain: stack.enter_context(closing(db.connect())) for domain, db in self.stores.items()}
            target = measure_postgres(connections, SCHEMAS)
        assert violated(source) == []
        assert violated(target) == []
        assert compare(source, target) == []


def open_shop(
    source: SourceDatabase, stores: Mapping[Domain, StoreDatabase], folder: Path, rows: int, verify: str = ""
) -> Shop:
    """Fill the shop and write its configuration; nothing is migrated yet.

    Without `verify` (YAML of that part) the daemon proves nothing by itself.
    """
    server = source.server
    address = MysqlAddress(server.host, server.port, server.user, server.password, source.database)
    with closing(MysqlAddress(server.host, server.port, server.user, server.password).connect()) as connection:
        create_database(connection, source.database)
    generate(address, rows)
    dsns = {domain: store.dsn for domain, store in stores.items()}
    migration = Migration(folder, environment(server.password, dsns))
    migration.config.write_text(
        config_text(
            engine="mariadb" if server.flavour.engine is Engine.MARIADB else "mysql",
            host=server.host,
            port=server.port,
            user=server.user,
            database=source.database,
            directory=folder,
        )
        + f"\nverify: {verify or '{period_s: null}'}\n"
    )
    return Shop(address, stores, migration)

"""A migration with reshaping rules, driven from outside: a source, any number of stores, the crossfade command."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from servers import Engine
from tests.support.migration import Migration
from tests.support.servers import SourceDatabase, StoreDatabase


@dataclass(frozen=True, slots=True)
class Reshaping:
    """A running migration."""

    source: SourceDatabase
    stores: Mapping[str, StoreDatabase]
    migration: Migration

    def start(self) -> None:
        """Create the tables, copy, and wait until everything streams."""
        self.migration.ok("schema", "apply")
        self.migration.start()
        self.migration.wait_streaming()

    def change(self, *statements: str) -> None:
        """Change the source and wait until the stores have it."""
        self.source.execute(*statements)
        self.migration.wait_caught_up()

    def rows(self, store: str, query: str) -> list[tuple[Any, ...]]:
        """What a store has."""
        return self.stores[store].rows(query)

    def verified(self, mode: str = "checksum") -> dict[str, str]:
        """Plan → outcome of a comparison."""
        done = self.migration.run("-o", "json", "verify", "--mode", mode)
        return {table["plan_id"].partition(".")[2]: table["outcome"] for table in done.document()["tables"]}

    def assert_clean(self) -> None:
        """Counts and checksums agree in every table."""
        for mode in ("counts", "checksum"):
            done = self.migration.run("-o", "json", "verify", "--mode", mode)
            assert done.code == 0, (mode, done)


@contextmanager
def reshaping(
    source: SourceDatabase,
    stores: Mapping[str, StoreDatabase],
    folder: Path,
    *statements: str,
    extra: Mapping[str, Any] | None = None,
    **parts: Any,
) -> Iterator[Reshaping]:
    """Fill the source with `statements` and write the configuration; nothing is migrated yet.

    `parts` are parts of the configuration; `extra` are settings of single stores.
    """
    source.execute(*statements)
    server = source.server
    document = {
        "version": 1,
        "name": "reshaped",
        "source": {
            "engine": "mariadb" if server.flavour.engine is Engine.MARIADB else "mysql",
            "host": server.host,
            "port": server.port,
            "user": server.user,
            "password": server.password,
            "databases": [source.database],
        },
        "stores": {name: {"dsn": store.dsn, **(extra or {}).get(name, {})} for name, store in stores.items()},
        "relay": {"directory": str(folder / "relay")},
        **parts,
    }
    migration = Migration(folder)
    migration.config.write_text(json.dumps(document), encoding="utf-8")
    try:
        yield Reshaping(source, stores, migration)
    finally:
        migration.close()

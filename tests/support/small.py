"""The smallest domain that can move: two tables of one store, its daemon, and its configuration."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from servers import Engine
from tests.support.migration import Migration
from tests.support.servers import SourceDatabase, StoreDatabase

TABLES = (
    """CREATE TABLE items (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, sku VARCHAR(20) NOT NULL, name VARCHAR(40),
    price DECIMAL(10,2) NOT NULL, kind ENUM('small','large') NOT NULL DEFAULT 'small',
    seen TIMESTAMP NOT NULL DEFAULT '2020-01-01 00:00:00', UNIQUE KEY sku (sku))
    ENGINE=InnoDB DEFAULT CHARSET=utf8mb4""",
    """CREATE TABLE item_lines (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, item_id INT NOT NULL, amount SMALLINT
    NOT NULL, note TEXT) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4""",
    """INSERT INTO items (sku, name, price) VALUES ('a-1', 'Äpfel', 1.50), ('b-2', NULL, 20), ('c-3', 'toast', 0.01)""",
    "INSERT INTO item_lines (item_id, amount) VALUES (1, 5), (2, 6)",
)
CONFIG = """version: 1
name: small
source: {{engine: {engine}, host: "{host}", port: {port}, user: "{user}", password: "${{env:SMALL_PASSWORD}}",
  databases: [{database}]}}
stores:
  main: {{dsn: "${{env:SMALL_STORE}}", schema: public}}
relay: {{directory: "{folder}/relay"}}
report: {{directory: "{folder}/reports"}}
domains:
  stock:
    tables: [items, item_lines]
    stores: [main]
cutover: {{max_lag_s: 30, max_write_stop_s: 60}}
"""


class Small(Migration):
    """The migration, and what a test of its domain asks again and again."""

    source_db: SourceDatabase
    store_db: StoreDatabase

    def move(self, verb: str, *arguments: str) -> dict[str, Any]:
        """`cutover run` or `rollback run` that must succeed; its outcome."""
        return self.ok("-o", "json", verb, "run", "stock", "--confirm", "stock", *arguments).document()

    def domain(self) -> dict[str, Any]:
        """What `cutover status` says."""
        (found,) = self.ok("-o", "json", "cutover", "status", "stock").document()["domains"]
        return dict(found)

    def until(self, test: Callable[[dict[str, Any]], bool], timeout_s: float = 90.0) -> dict[str, Any]:
        """Wait until the domain's status passes."""
        deadline = time.monotonic() + timeout_s
        while not test(found := self.domain()):
            assert self.daemon is not None and self.daemon.poll() is None, self.log_tail()
            assert time.monotonic() < deadline, f"{json.dumps(found, indent=1)[-3000:]}\n{self.log_tail()}"
            time.sleep(0.3)
        return found

    def light(self, wanted: str, *codes: str) -> dict[str, Any]:
        """Wait until the rollback readiness is `wanted` because of `codes`, at least."""

        def shown(found: dict[str, Any]) -> bool:
            ready = found["rollback"]
            return (
                ready is not None
                and ready["light"] == wanted
                and set(codes) <= {alarm["code"] for alarm in ready["alarms"]}
            )

        return dict(self.until(shown)["rollback"])

    def gates(self, *arguments: str) -> dict[str, dict[str, Any]]:
        """Every gate of the next move, by name."""
        done = self.run("-o", "json", "cutover", "check", "stock", *arguments)
        assert done.code in (0, 3), done
        return {gate["gate"]: gate for gate in done.document()["gates"]}


@contextmanager
def small_domain(
    source_db: SourceDatabase, store_db: StoreDatabase, folder: Path, *, config: str = ""
) -> Iterator[Small]:
    """It streams and is verified. `config` is added to the configuration."""
    source_db.execute("DROP DATABASE IF EXISTS crossfade_control", *TABLES)
    server = source_db.server
    migration = Small(folder, {"SMALL_PASSWORD": server.password, "SMALL_STORE": store_db.dsn})
    migration.source_db, migration.store_db = source_db, store_db
    migration.config.write_text(
        CONFIG.format(
            engine="mariadb" if server.flavour.engine is Engine.MARIADB else "mysql",
            host=server.host, port=server.port, user=server.user, database=source_db.database, folder=folder,
        )
        + config
    )  # fmt: skip
    migration.ok("schema", "apply")
    try:
        migration.start()
        migration.wait_streaming()
        migration.ok("verify")
        yield migration
    finally:
        migration.close()
        source_db.execute("DROP DATABASE IF EXISTS crossfade_control")

"""A standby of a private PostgreSQL: made by its own server, on its machine and as its account, and gone with it."""

from __future__ import annotations

import dataclasses

import pytest

from servers import RunningServer
from servers.container import ContainerServer
from servers.ports import free_port
from tests.support.servers import StoreDatabase

SLOT = "standby"
_SCRIPT = """
bin=$(dirname "$(readlink /proc/$PPID/exe)") &&
"$bin/pg_basebackup" -d "{dsn}" -D "{folder}" -R -S {slot} -X stream -c fast >"{folder}.log" 2>&1 &&
echo "sync_replication_slots = on" >>"{folder}/postgresql.auto.conf" &&
"$bin/pg_ctl" -D "{folder}" -o "-p {port}" -w -l "{folder}.log" start >/dev/null 2>&1 </dev/null
"""


def follow(database: StoreDatabase) -> StoreDatabase:
    """The same database in a standby that has the failover slots too (PostgreSQL 17 on).

    The server was started with `hot_standby_feedback`, which the standby takes over.
    """
    primary: RunningServer = database.server
    if isinstance(primary.machine, ContainerServer):
        pytest.skip("a standby inside of a container cannot be reached")
    port = free_port()
    script = _SCRIPT.format(dsn=primary.dsn(), folder=f"{primary.data_dir}-standby", slot=SLOT, port=port)
    database.execute(
        f"SELECT pg_create_physical_replication_slot('{SLOT}', true)",
        f"COPY (SELECT) TO PROGRAM $script${script}$script$",
    )
    return StoreDatabase(dataclasses.replace(primary, port=port), database.database)


def synced(standby: StoreDatabase, slot: str) -> bool:
    """Whether the standby keeps a slot of the primary for good."""
    query = "SELECT synced AND NOT temporary FROM pg_replication_slots WHERE slot_name = %s"
    return standby.rows(query, [slot]) == [(True,)]

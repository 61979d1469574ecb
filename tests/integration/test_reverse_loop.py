"""Both directions at once: the forward applier and the reverse stream on the same tables, and nothing circles."""

from __future__ import annotations

import random
from pathlib import Path

from pydantic import SecretStr

from config.settings import ApplySettings, RetrySettings
from model.position import Position
from model.tables import TableId
from stores.control import checkpoints, schema_history, table_states
from stores.control.schema_history import SchemaVersion
from stores.postgres import connect_store
from sync.applier import StoreApplier
from sync.applier_ports import StorePlan
from sync.cascades import CascadeGraph
from sync.changes import ChangeReader
from sync.mysql import reverse_tables
from sync.mysql.decode import TableDecoder
from sync.relay.reader import RelayReader
from sync.table_phase import Phase, TablePhases, TableState
from tests.integration.test_reverse import ITEMS, random_changes
from tests.support.applying import Steps, running, wait_for
from tests.support.reversing import Reversing, reversing
from tests.support.servers import SourceDatabase, StoreDatabase
from tests.support.streaming import following, position_now


def forward(bed: Reversing, directory: Path, start: Position) -> StoreApplier:
    """A forward applier over the bed's tables; the store's rows are those of `start`."""
    tables = {plan.source.id: plan.source for plan in bed.plans}
    stream = bed.settings.name
    with connect_store(SecretStr(bed.store_db.dsn)) as store:
        store.execute("DELETE FROM crossfade.checkpoint")
        checkpoints.create(store, stream, start)
        fence = checkpoints.take_over(store, stream)
        schema_history.append(store, stream, [SchemaVersion(table.id, 1, table) for table in tables.values()])
        for plan in bed.plans:
            table_states.save(store, stream, TableState(plan.id, Phase.STREAMING))
    return StoreApplier(
        StorePlan("main", stream, bed.plans, CascadeGraph()),
        RelayReader(directory),
        lambda: connect_store(SecretStr(bed.store_db.dsn)),
        fence=fence,
        phases=TablePhases(),
        steps=Steps(),
        read_changes=lambda history: ChangeReader(
            tables, history, TableDecoder, mariadb=bed.info.mariadb, mark=reverse_tables.mark_table(bed.database)
        ),
        settings=ApplySettings(max_rows=50),
        retry=RetrySettings(attempts=5, first_wait_s=0.01, max_wait_s=0.1),
    )


def test_nothing_runs_in_a_circle(source_db: SourceDatabase, store_db: StoreDatabase, tmp_path: Path) -> None:
    with reversing(source_db, store_db, *ITEMS) as bed:
        start = position_now(bed.settings.source)
        with following(bed.settings.source, tmp_path, start) as follower:
            applier = forward(bed, tmp_path, start)
            with running(applier):
                stream = bed.start()
                changed = random_changes(bed, random.Random(3), 60)
                bed.drain(stream)
                follower.catch_up()
                tail = follower.writer.tail
                assert tail is not None
                applier.flush()
                state = wait_for(applier, lambda state: state.seq >= tail.seq)
                # All that the store sent is in the binlog, and none of it came back.
                assert stream.state.rows == changed
                assert state.applied_rows == 0
                bed.assert_equal()
                # A change of the source goes forward, and is not sent back.
                bed.source_db.execute("UPDATE items SET name = 'from the source' WHERE id = 1 OR id > 1000")
                follower.catch_up()
                tail = follower.writer.tail
                assert tail is not None
                applier.flush()
                wait_for(applier, lambda state: state.seq >= tail.seq)
                bed.drain(stream)
                assert stream.state.rows == changed
                assert stream.state.skipped >= 1
                bed.assert_equal()
    assert reverse_tables.is_ours([TableId("crossfade_control", "reverse_progress")])
    assert not reverse_tables.is_ours([TableId("crossfade_control", "gate")])

"""The steps of a cutover, in order: before the point of no return, that point, and after it."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any, Final

from cutover.hooks import HookEvent
from cutover.phases import Side
from cutover.replicas import gate_is, marked, wait_for_replicas
from cutover.rounds import drained
from cutover.site import Site
from cutover.step import Run, Step
from model.errors import Busy, CrossfadeError, TimedOut
from stores.mysql import binlog_end
from sync.mysql.source_ids import next_auto_increments
from sync.postgres import slots
from sync.postgres.sequences import put_ahead

CLOSE_TRIES: Final = 5
DRAIN_S: Final = 10.0
REVERSE_S: Final = 5.0
REPLICA_S: Final = 5.0
ROWS_SENT: Final = "rows_sent_back"
"""Fact of the boundary: by it a rollback knows that nothing was written since."""


class GateSlipped(CrossfadeError):
    """The source's gate is not ours or not closed any more."""

    default_hint = "Nothing was lost: the source serves. Try again: crossfade cutover run"


class Hold(Step):
    name, title = "hold", "tell the hooks that a write stop begins"

    def do(self, site: Site, run: Run) -> Mapping[str, Any]:
        return site.hooks.call(HookEvent.HOLD, Side.SOURCE, run.epoch)

    def undo(self, site: Site, run: Run) -> None:
        site.hooks.call(HookEvent.RELEASE, Side.SOURCE, run.epoch)


class CloseSource(Step):
    name, title = "close_source", "close the source's gate, with an end, and wait for writers in flight"

    def do(self, site: Site, run: Run) -> Mapping[str, Any]:
        budget_s = site.settings.cutover.max_write_stop_s
        for attempt in range(CLOSE_TRIES):
            began = time.monotonic()
            try:
                row = site.gate().close(run.was, run.epoch, budget_s)
            except Busy:
                # Writers queued behind us for as long as we waited: give them room before the next attempt.
                if attempt + 1 == CLOSE_TRIES or run.stop.wait(0.5 * 2**attempt):
                    raise
                continue
            run.closed_at = began
            return {"expires_in_s": row.left_s, "waited_s": round(time.monotonic() - began, 4), "attempt": attempt + 1}
        raise TimedOut("the source's gate could not be closed", domain=site.domain.name)

    def undo(self, site: Site, run: Run) -> None:
        gate = site.gate()
        if gate.must_read().refuses and not gate.abandon(run.epoch, run.epoch + 1):
            raise PastNoReturn("the point of no return was passed", domain=site.domain.name, epoch=run.epoch)
        run.opened_at = time.monotonic()


class PastNoReturn(CrossfadeError):
    """It cannot be undone any more; it is finished instead."""


class ProveClosed(Step):
    name, title = "prove_closed", "a canary write is refused on every table"

    def do(self, site: Site, run: Run) -> Mapping[str, Any]:
        gate = site.gate()
        missing = gate.missing(site.domain.table_ids)
        if missing:
            table, event = missing[0]
            raise GateSlipped("a table lacks its gate trigger", table=table, event=event)
        refused = gate.turned_away(site.domain.table_ids)
        for table in site.domain.table_ids:
            if table not in refused:
                raise GateSlipped("a canary write was let through the closed gate", table=table)
        return {"tables": len(site.domain.tables)}


class Mark(Step):
    name, title = "mark", "write the marker row; the position after it is what every store must reach"

    def do(self, site: Site, run: Run) -> Mapping[str, Any]:
        number = run.marked = site.gate().mark()
        run.marker = binlog_end(site.source(), site.info)
        return {"number": number, "position": str(run.marker)}


class Drain(Step):
    name, title = "drain", "every store's checkpoint row has passed the marker"

    def do(self, site: Site, run: Run) -> Mapping[str, Any]:
        assert run.marker is not None and run.marked is not None
        took = drained(site, run.marker, DRAIN_S, run.stop)
        if site.settings.source.replicas:
            reached = marked(site, run.marked)
            took["replicas"] = round(wait_for_replicas(site, reached, "the marker", REPLICA_S, run.stop), 4)
        return took


class FinalComparison(Step):
    name, title = "final_check", "compare the rows that changed since the preparation, and the numbers of rows"

    def do(self, site: Site, run: Run) -> Mapping[str, Any]:
        assert run.check is not None
        spans = {store: (run.since[store], site.followers.seq_of(store)) for store in site.domain.stores}
        return run.check.compare(spans)


class Sequences(Step):
    name, title = "sequences", "put identities ahead of every id of the source, and read them back"

    def do(self, site: Site, run: Run) -> Mapping[str, Any]:
        least = next_auto_increments(site.source(), site.domain.tables)
        found: dict[str, Any] = {}
        for store in site.domain.stores:
            found |= put_ahead(site.store(store), site.domain.aheads(store, least))
        return found


class Boundary(Step):
    name, title = "boundary", "a message per store marks where the reverse stream begins; the source must show it"

    def do(self, site: Site, run: Run) -> Mapping[str, Any]:
        content = f'{{"domain": "{site.domain.name}", "epoch": {run.epoch}}}'
        run.boundary = {
            store: slots.emit_message(site.store(store), "cutover", content) for store in site.domain.stores
        }
        site.reverse.wait_for(run.boundary, REVERSE_S, site.source())
        return {**run.boundary, ROWS_SENT: site.reverse.rows_sent_back()}


class NoReturn(Step):
    name, title = "no_return", "the point of no return: the source's gate is closed for good, if it is still closed"

    def do(self, site: Site, run: Run) -> Mapping[str, Any]:
        if not site.gate().extend_for_good(run.epoch):
            raise GateSlipped("the gate's time was over before the point of no return", domain=site.domain.name)
        # A replica that lacks it is waited for by whoever settles this: the row says that there is no way back.
        closing_is_kept(site, run.epoch, REPLICA_S, run.stop)
        return {"write_stop_s": round(run.write_stop_s or 0.0, 4)}


def closing_is_kept(site: Site, epoch: int, timeout_s: float, stop: threading.Event) -> None:
    """Wait until a failover of the source could not open it again. Raises ReplicaBehind."""
    kept = gate_is(site, lambda row: row.final and row.epoch >= epoch)
    wait_for_replicas(site, kept, "the closing of the gate, so a failover might lose it", timeout_s, stop)


class SendBack(Step):
    name, title = "send_back", "the reverse stream sends what the stores commit from the boundary on"

    def do(self, site: Site, run: Run) -> Mapping[str, Any]:
        if not site.reverse.up:
            site.reverse.start(run.epoch, run.boundary, armed=False)
        else:
            site.reverse.open_from(run.boundary)
        return {}


class OpenStores(Step):
    name, title = "open_stores", "applications may write to the stores"

    def do(self, site: Site, run: Run) -> Mapping[str, Any]:
        for store in site.domain.stores:
            site.store_gate(store).let_in()
        run.opened_at = time.monotonic()
        return {"stores": list(site.domain.stores)}


class Flip(Step):
    name, title = "flip", "tell the hooks to write to the stores from now on"

    def do(self, site: Site, run: Run) -> Mapping[str, Any]:
        return site.hooks.call(HookEvent.FLIP, Side.STORES, run.epoch)


class Confirm(Step):
    name, title = "confirm", "stores take writes, the source refuses them, a message goes through the reverse stream"

    def do(self, site: Site, run: Run) -> Mapping[str, Any]:
        found: dict[str, Any] = {}
        for store in site.domain.stores:
            closed = [str(table) for table in site.domain.targets(store) if site.store_gate(store).refused(table)]
            found[f"{store}_closed"] = closed
        refused = site.gate().turned_away(site.domain.table_ids)
        found["source_open"] = [str(table) for table in site.domain.table_ids if table not in refused]
        try:
            found["reverse_round_trip_s"] = round(site.reverse.round_trip(REVERSE_S), 4)
        except CrossfadeError as error:
            # Serving goes on; the way back is shown as not ready.
            found["reverse_problem"] = str(error)
        return found


BEFORE: Final[tuple[Step, ...]] = (
    Hold(), CloseSource(), ProveClosed(), Mark(), Drain(), FinalComparison(), Sequences(), Boundary(), NoReturn(),
)  # fmt: skip
AFTER: Final[tuple[Step, ...]] = (SendBack(), OpenStores(), Flip(), Confirm())

"""The steps of a rollback, in order: before its point of no return, that point, and after it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping
from typing import Any, Final

from cutover.cutover_steps import REPLICA_S, GateSlipped
from cutover.hooks import HookEvent, HookFailed
from cutover.phases import Side
from cutover.replicas import gate_is, sent_back, wait_for_replicas
from cutover.site import Site
from cutover.step import Run, Step
from model.errors import Busy
from stores.mysql import binlog_end
from sync.mysql.source_ids import burn_ids
from sync.postgres import slots
from sync.postgres.sequences import next_ids

SHUT_S: Final = 3.0
DRAIN_S: Final = 15.0


class HoldBack(Step):
    name, title = "hold", "tell the hooks that a write stop begins"

    def do(self, site: Site, run: Run) -> Mapping[str, Any]:
        return site.hooks.call(HookEvent.HOLD, Side.STORES, run.epoch)

    def undo(self, site: Site, run: Run) -> None:
        with contextlib.suppress(HookFailed):  # the stores are open; a deaf hook must not keep the domain from LIVE
            site.hooks.call(HookEvent.RELEASE, Side.STORES, run.epoch)


class CloseStores(Step):
    name, title = "close_stores", "close the stores' gates and wait for writers in flight"

    def do(self, site: Site, run: Run) -> Mapping[str, Any]:
        began = time.monotonic()
        run.closed_at = began
        for store in site.domain.stores:
            site.store_gate(store).shut(SHUT_S, run.stop)
        return {"waited_s": round(time.monotonic() - began, 4)}

    def undo(self, site: Site, run: Run) -> None:
        for store in site.domain.stores:
            site.store_gate(store).let_in()
        run.opened_at = time.monotonic()


class ProveStoresClosed(Step):
    name, title = "prove_closed", "a canary write is refused on every table of every store"

    def do(self, site: Site, run: Run) -> Mapping[str, Any]:
        count = 0
        for store in site.domain.stores:
            gate = site.store_gate(store)
            for table in site.domain.targets(store):
                if not gate.refused(table):
                    raise GateSlipped("a canary write was let through the closed gate", table=table)
                count += 1
        return {"tables": count}


class BoundaryBack(Step):
    name, title = "boundary", "a message per store marks the last change that goes back"

    def do(self, site: Site, run: Run) -> Mapping[str, Any]:
        content = f'{{"domain": "{site.domain.name}", "epoch": {run.epoch}}}'
        run.boundary = {
            store: slots.emit_message(site.store(store), "rollback", content) for store in site.domain.stores
        }
        return dict(run.boundary)


class DrainBack(Step):
    name, title = "drain", "the source's progress rows have passed the boundary"

    def do(self, site: Site, run: Run) -> Mapping[str, Any]:
        began = time.monotonic()
        site.reverse.wait_for(run.boundary, DRAIN_S, site.source())
        for store, lsn in run.boundary.items():
            come = sent_back(site, store, lsn)
            wait_for_replicas(site, come, f"what store {store} has sent back", DRAIN_S, run.stop)
        return {"took_s": round(time.monotonic() - began, 4)}


def nothing_written(site: Site, run: Run) -> bool:
    """Whether the stores have committed no row since the cutover. Only after the drain."""
    return run.sent_before is not None and site.reverse.rows_sent_back() == run.sent_before


UNTOUCHED: Final = {"skipped": "nothing was written to the stores since the cutover"}


class CountBack(Step):
    name, title = "final_check", "compare the numbers of rows"

    def do(self, site: Site, run: Run) -> Mapping[str, Any]:
        assert run.check is not None
        if nothing_written(site, run):
            return UNTOUCHED
        return run.check.compare(dict.fromkeys(site.domain.stores, (0, 0)))


class Counters(Step):
    name, title = "counters", "put AUTO_INCREMENT ahead of every id that the stores have given out"

    def do(self, site: Site, run: Run) -> Mapping[str, Any]:
        if nothing_written(site, run):
            return UNTOUCHED
        found: dict[str, Any] = {}
        for store in site.domain.stores:
            ids = next_ids(site.store(store), site.domain.targets(store))
            for plan in site.domain.plans_of(store):
                if plan.target in ids:
                    found[str(plan.source.id)] = burn_ids(site.passing(), plan.source, ids[plan.target])
        return found


class ReopenSource(Step):
    name, title = "no_return", "the point of no return: the source takes writes again"

    def do(self, site: Site, run: Run) -> Mapping[str, Any]:
        # What the source commits after this position may be an application's write again.
        end = binlog_end(site.source(), site.info).coordinate
        site.followers.watch(site.domain.name, site.domain.table_ids, end)
        run.in_doubt = True
        try:
            reopened = site.gate().reopen(run.was, run.epoch)
        except Busy:
            run.in_doubt = False  # the server has answered: nothing was changed
            raise
        run.in_doubt = False
        if not reopened:
            raise GateSlipped("the source's gate belongs to another epoch", domain=site.domain.name)
        run.opened_at = time.monotonic()
        return {"write_stop_s": round(run.write_stop_s or 0.0, 4)}


def keep_open(site: Site, epoch: int, stop: threading.Event) -> None:
    """After the point of no return: the source is open, also if a failover has lost that, and its replicas have it.

    Raises ReplicaBehind, Busy.
    """
    gate = site.gate()
    row = gate.must_read()
    if row.final and row.epoch < epoch:
        gate.reopen(row.epoch, epoch)
    epoch_is_kept(site, epoch, stop)


def epoch_is_kept(site: Site, epoch: int, stop: threading.Event) -> None:
    """Wait until no failover of the source could bring back a gate row of before `epoch`. Raises ReplicaBehind."""
    kept = gate_is(site, lambda row: row.epoch >= epoch)
    wait_for_replicas(site, kept, f"epoch {epoch} of the gate, so a failover might lose it", REPLICA_S, stop)


class FlipBack(Step):
    name, title = "flip", "tell the hooks to write to the source from now on"

    def do(self, site: Site, run: Run) -> Mapping[str, Any]:
        return site.hooks.call(HookEvent.FLIP, Side.SOURCE, run.epoch)


class Rearm(Step):
    name, title = "rearm", "the reverse stream stands by again, from the boundary on"

    def do(self, site: Site, run: Run) -> Mapping[str, Any]:
        site.reverse.stop(site.domain.stores)
        renewed = []
        for store in site.domain.stores:
            # The stores are closed, and what they had is in the source or written down: nothing waits in a lost slot.
            name = slots.stream_name(site.settings.name, site.domain.name, store)
            position = slots.renew(site.store(store), name, site.domain.targets(store), store)
            if position is not None:
                renewed.append(store)
            status = slots.slot_status(site.store(store), name)
            if status is not None:
                run.boundary[store] = max(run.boundary[store], status.confirmed)
            site.begin_anew(store, run.boundary[store], run.epoch)
        site.reverse.start(run.epoch, run.boundary, armed=True)
        return {"slots_made_anew": renewed} if renewed else {}


class ConfirmBack(Step):
    name, title = "confirm", "the source takes writes, the stores refuse them"

    def do(self, site: Site, run: Run) -> Mapping[str, Any]:
        gate = site.gate()
        return {
            "source_closed": [str(table) for table in gate.turned_away(site.domain.table_ids)],
            "stores_open": [
                str(table)
                for store in site.domain.stores
                for table in site.domain.targets(store)
                if not site.store_gate(store).refused(table)
            ],
        }


BEFORE: Final[tuple[Step, ...]] = (
    HoldBack(), CloseStores(), ProveStoresClosed(), BoundaryBack(), DrainBack(), CountBack(), Counters(),
    ReopenSource(),
)  # fmt: skip
AFTER: Final[tuple[Step, ...]] = (FlipBack(), Rearm(), ConfirmBack())

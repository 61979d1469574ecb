"""A rollback that gives up writes: the stores' transactions that the source has not got are written down first.

For when the reverse stream cannot go on. Everything else is as in any rollback.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, Final

import structlog

from cutover.rollback_steps import (
    AFTER,
    BoundaryBack,
    CloseStores,
    Counters,
    HoldBack,
    ProveStoresClosed,
    ReopenSource,
)
from cutover.site import Site
from cutover.step import Run, Step
from cutover.stranded_compare import ComparedStore
from cutover.stranded_file import write_stranded
from model.errors import CrossfadeError
from stores.retry import retrying
from sync.mysql import reverse_tables
from sync.postgres import slots
from sync.postgres.pgoutput import lsn_text
from sync.stranded import StrandedReader

log = structlog.get_logger(__name__)

__all__ = ["AFTER", "BEFORE", "EXPORT"]

EXPORT: Final = "export_stranded"


class ExportStranded(Step):
    name, title = EXPORT, "write every transaction that the source has not got to a file"

    def do(self, site: Site, run: Run) -> Mapping[str, Any]:
        site.reverse.stop()  # only one may read a slot
        settings, domain = site.settings, site.domain.name
        after = {store: source_has(site, store) for store in site.domain.stores}
        about = {
            "migration": settings.name, "domain": domain, "epoch": run.epoch,
            "stores": {
                store: {"after": lsn_text(after[store]), "until": lsn_text(run.boundary[store])} for store in after
            },
        }  # fmt: skip
        readers = [stranded_source(site, store, after[store], run.boundary[store]) for store in after]
        path = settings.report.directory / f"stranded-{domain}-{run.epoch}.jsonl"
        for attempt in retrying(settings.retry, run.stop, f"writing down what is stranded of {domain}"):
            with attempt:  # the server takes a moment to see that the stream has let go of the slot
                found = itertools.chain.from_iterable(reader.transactions(run.stop) for reader in readers)
                written = write_stranded(path, about, found)
        if run.stop.is_set():
            raise CrossfadeError("the rollback was cancelled", hint="", domain=domain)
        run.left_behind = {"stranded": written.document()}
        return written.document()


def stranded_source(site: Site, store: str, after: int, until: int) -> StrandedReader | ComparedStore:
    """What tells one store's stranded writes: its log, or when that has a gap or is lost the rows themselves.

    Only behind closed gates: rows that move cannot be compared.
    """
    found = site.slot_promise(store)
    if found.confirmed is None or found.gap:
        log.warning("stranded_by_comparison", domain=site.domain.name, store=store, because=found.gap or "no slot")
        return ComparedStore(site.settings, site.domain, store, site.info, until)
    return stranded_reader(site, store, after, until)


def source_has(site: Site, store: str) -> int:
    """Everything of the store up to here is in the source."""
    progress = reverse_tables.read(site.source(), site.domain.name, store)
    if progress is None:
        raise CrossfadeError("the source has no progress row of this store", store=store)
    return progress.lsn


def stranded_reader(site: Site, store: str, after: int, until: int) -> StrandedReader:
    """Reads one store's stranded transactions between two positions."""
    return StrandedReader(
        site.settings.stores[store].dsn, store, slots.stream_name(site.settings.name, site.domain.name, store),
        site.domain.backs_of(store), site.info, after, until,
    )  # fmt: skip


BEFORE: Final[tuple[Step, ...]] = (
    HoldBack(), CloseStores(), ProveStoresClosed(), BoundaryBack(), ExportStranded(), Counters(), ReopenSource(),
)  # fmt: skip

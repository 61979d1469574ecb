"""The demo's story: a legacy shop under traffic is copied, streamed, verified and taken apart, domain by domain.

The catalog moves over, back, and over again; then identity and orders follow. Ends well only when the business
invariants held on the serving side at every moment, the last verification is clean, and both sides agree.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from demo.auditor import Auditor
from demo.follower import Follower
from demo.retailcore.domains import Domain
from demo.retailcore.invariants import compare, measure_mysql, measure_postgres, violated
from demo.retailcore.mapping import SCHEMAS
from demo.retailcore.mysql_shop import mysql_shop
from demo.retailcore.routes import database_of
from demo.retailcore.traffic import Traffic, TrafficOptions
from demo.stage import DATABASE, Stage
from model.errors import ExitCode

POLL_S = 0.5
MOVES = (
    (Domain.CATALOG, "cutover", "stores"),
    (Domain.CATALOG, "rollback", "source"),
    (Domain.CATALOG, "cutover", "stores"),
    (Domain.IDENTITY, "cutover", "stores"),
    (Domain.ORDERS, "cutover", "stores"),
)
"""Domain, what is done, who serves afterwards."""
COPY_LIMIT_S = 1200.0
REFUSED_LIMIT_S = 300.0


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What is played. `seconds`: how long it streams under traffic after the copy."""

    source: str = "mariadb-10.11"
    store: str = "postgres-15"
    rows: int = 500_000
    rate: float = 200.0
    seconds: float = 15.0
    cutover: bool = True
    keep: bool = False


class DemoFailed(Exception):
    """The story did not end as it must."""


@dataclass(slots=True)
class Figures:
    """What the summary tells."""

    rows: int = 0
    fill_s: float = 0.0
    copy_s: float = 0.0
    copied_rows: int = 0
    transactions: int = 0
    longest_lag_s: float = 0.0
    applied_rows: int = 0
    catch_up_s: float = 0.0
    verdicts: list[str] = field(default_factory=list)
    moves: list[tuple[str, str]] = field(default_factory=list)
    """What moved, and how long writes stopped."""
    audits: str = ""


class Story:
    """One performance."""

    def __init__(self, options: DemoOptions, console: Console) -> None:
        self._options = options
        self._console = console
        self._began = time.monotonic()
        self._figures = Figures()
        self._pause = threading.Event()

    def play(self) -> None:
        """Play it to the end. Raises DemoFailed, or what the servers raise when they cannot be had."""
        options = self._options
        with Stage(options.source, options.store, keep=options.keep, say=self._say) as stage:
            self._prepare(stage)
            traffic = Traffic(mysql_shop(stage.address), TrafficOptions(rate=options.rate))
            traffic.start()
            try:
                self._say(f"customers are buying: {options.rate:.0f} operations/s, and they will not stop for us")
                self._command(stage, "assess", allowed=(0,))
                self._command(stage, "schema", "apply")
                stage.start_daemon()
                self._copy(stage)
                self._stream(stage, options.seconds)
                self._verify(stage, "while customers are buying", "--mode", "checksum")
                if options.cutover:
                    self._move(stage, traffic)
            finally:
                report = traffic.stop()
            self._figures.transactions = report.total
            self._say(f"customers went home: {report.total:,} transactions were acknowledged")
            self._catch_up(stage)
            self._verify(stage, "at rest, counts", "--mode", "counts")
            self._verify(stage, "at rest, checksums", "--mode", "checksum")
            self._invariants(stage)
            self._summary()
            if options.keep:
                self._stay(stage)
            else:
                self._command(stage, "stop")

    # -- acts

    def _prepare(self, stage: Stage) -> None:
        self._say(f"starting {self._options.source} as the legacy source and {self._options.store} for three stores")
        stage.start_servers()
        self._say(f"filling RetailCore with {self._options.rows:,} rows")
        done = stage.fill(self._options.rows)
        self._figures.rows, self._figures.fill_s = done.total, done.seconds
        self._say(f"  {done.total:,} rows in {len(done.rows)} tables, {done.total / done.seconds:,.0f} rows/s")

    def _copy(self, stage: Stage) -> None:
        began = time.monotonic()
        self._say("crossfade start: copying without a lock while the binlog is followed")
        shown = 0.0
        while True:
            document = self._status(stage)
            if document["state"] == "HALTED":
                raise DemoFailed(f"the daemon halted: {document['reasons']}")
            if document["phases"] and set(document["phases"]) == {"streaming"}:
                break
            if time.monotonic() - began > COPY_LIMIT_S:
                raise DemoFailed(f"the copy did not end within {COPY_LIMIT_S:.0f} s: {document['phases']}")
            copy = document.get("copy")
            if copy and time.monotonic() - shown > 2.0:
                shown = time.monotonic()
                phases = ", ".join(f"{count} {phase}" for phase, count in document["phases"].items())
                self._say(
                    f"  {copy['percent']:5.1f} %  {copy['rows_done']:>9,} rows  {copy['rows_per_s']:>8,.0f}/s  {phases}"
                )
            self._pause.wait(POLL_S)
        self._figures.copy_s = time.monotonic() - began
        self._figures.copied_rows = sum(table["rows_copied"] for table in document["tables"])
        self._say(f"  every table streams after {self._figures.copy_s:.1f} s")

    def _stream(self, stage: Stage, seconds: float) -> None:
        self._say(f"streaming under traffic for {seconds:.0f} s")
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            document = self._status(stage)
            lag = max(store["lag_s"] or 0.0 for store in document["stores"])
            self._figures.longest_lag_s = max(self._figures.longest_lag_s, lag)
            line = "  ".join(
                f"{store['name']} lag {store['lag_s'] or 0.0:.2f} s {store['rows_per_s']:,.0f} rows/s"
                for store in document["stores"]
            )
            self._say(f"  {line}")
            self._pause.wait(3.0)

    def _move(self, stage: Stage, traffic: Traffic) -> None:
        """Move domain after domain while customers keep buying, and audit whoever serves."""

        def reroute(domain: Domain, side: str) -> None:
            traffic.reroute(domain, database_of(domain, side, stage.address, stage.dsns[domain]))

        control = next(iter(stage.dsns.values()))
        with (
            Follower(control, DATABASE, Domain, reroute) as follower,
            Auditor(stage.address, stage.dsns, lambda: follower.sides) as auditor,
        ):
            for domain, verb, there in MOVES:
                self._run_move(stage, domain, verb, there)
                self._pause.wait(3.0)
                if auditor.problems:
                    raise DemoFailed(f"an invariant did not hold: {auditor.problems[0]}")
        audits = " and ".join(f"{count} in the {side}" for side, count in sorted(auditor.audits.items()))
        if auditor.problems or not {"source", "stores"} <= auditor.audits.keys():
            raise DemoFailed(f"an invariant did not hold, or nobody looked: {auditor.problems[:1]} {audits}")
        self._figures.audits = audits
        self._say(f"every audit of a domain while it moved was clean: {audits}")

    def _run_move(self, stage: Stage, domain: Domain, verb: str, there: str) -> None:
        began = time.monotonic()
        while True:
            done = stage.crossfade("-o", "json", verb, "run", str(domain), "--confirm", str(domain))
            if done.code != ExitCode.REFUSED or time.monotonic() - began > REFUSED_LIMIT_S:
                break
            # As an operator does: nothing was changed, so wait for a quieter moment.
            self._say(f"crossfade {verb} run {domain}: refused for now, nothing changed")
            self._pause.wait(10.0)
        if done.code != 0:
            raise DemoFailed(f"crossfade {verb} run {domain} ended with {done.code}:\n{done.out}\n{done.err}")
        document = done.document()
        if document["side"] != there:
            raise DemoFailed(f"after the {verb} {domain} is served by the {document['side']}")
        stop_s = float(document["write_stop_s"])
        self._figures.moves.append((f"{domain} {verb}", f"writes stopped for {stop_s:.2f} s"))
        self._say(f"crossfade {verb} run {domain}: served by the {there}, writes stopped for {stop_s:.2f} s")

    def _catch_up(self, stage: Stage) -> None:
        began = time.monotonic()
        while time.monotonic() - began < 300:
            document = self._status(stage)
            if all(store["waiting_transactions"] == 0 for store in document["stores"]):
                self._figures.catch_up_s = time.monotonic() - began
                self._figures.applied_rows = sum(store["rows_applied"] for store in document["stores"])
                if self._options.cutover:
                    for domain in Domain:  # a message behind the last write comes through the way back
                        self._command(stage, "rollback", "check", str(domain))
                return
            self._pause.wait(0.1)
        raise DemoFailed("the stores did not catch up within 300 s")

    def _verify(self, stage: Stage, when: str, *arguments: str) -> None:
        done = stage.crossfade("-o", "json", "verify", *arguments)
        verdict = {0: "PASS", 5: "FAIL", 6: "INCONCLUSIVE"}.get(done.code, f"exit {done.code}")
        document = done.document() if done.out.strip() else {"tables": []}
        rows = sum(table.get("source_rows") or 0 for table in document["tables"])
        facts = f"{rows:,} rows in {document['duration_s']:.1f} s" if rows else ""
        self._say(f"crossfade verify {' '.join(arguments)} {when}: {verdict}  {facts}")
        self._figures.verdicts.append(f"{when}: {verdict} {facts}")
        if done.code != 0:
            wrong = [
                f"  {table['target']}: {table['outcome']} {table['why']} {json.dumps(table['findings'][:3])}"
                for table in document["tables"]
                if table["outcome"] != "pass"
            ]
            raise DemoFailed("\n".join([f"verify {when}: {verdict}", *wrong, done.err[-3000:]]))

    def _invariants(self, stage: Stage) -> None:
        with ExitStack() as stack:
            source = measure_mysql(stack.enter_context(closing(stage.address.connect())))
            target = measure_postgres(stage.stores(stack), SCHEMAS)
        for side, figures in (("source", source), ("stores", target)):
            for line in violated(figures):
                raise DemoFailed(f"an invariant does not hold in the {side}: {line}")
        different = compare(source, target)
        if different:
            raise DemoFailed(f"source and stores disagree: {different[0]}")
        self._say(f"{len(source)} business invariants hold on both sides and agree: money and stock add up")

    def _stay(self, stage: Stage) -> None:
        self._say("everything keeps running; Ctrl-C ends it. To look around, in another terminal:")
        self._say(f"  . {stage.folder}/environment.sh")
        self._say(f"  crossfade -c {stage.config} status --watch 2")
        for domain in Domain:
            self._say(f'  psql "$RETAILCORE_{domain.name}_DSN"    # store {domain}, schema {SCHEMAS[domain]}')
        self._say(f"  mysql -h {stage.source.host} -P {stage.source.port} -u {stage.source.user} -p retailcore")
        try:
            while stage.daemon_ended() is None:
                self._pause.wait(1.0)
        except KeyboardInterrupt:
            self._say("ending")

    # -- telling

    def _status(self, stage: Stage) -> Mapping[str, Any]:
        began = time.monotonic()
        while True:
            done = stage.crossfade("-o", "json", "status")
            if done.code == 0:
                document = done.document()
                if document["state"] != "STOPPED":
                    return document
            ended = stage.daemon_ended()
            if ended is not None:
                raise DemoFailed(f"the daemon ended with exit code {ended}:\n{stage.log_tail()}")
            if time.monotonic() - began > 60:
                raise DemoFailed(f"no status from the daemon:\n{done.err}\n{stage.log_tail()}")
            self._pause.wait(0.3)

    def _command(self, stage: Stage, *arguments: str, allowed: tuple[int, ...] = (0,)) -> None:
        done = stage.crossfade(*arguments)
        if done.code not in allowed:
            raise DemoFailed(f"crossfade {' '.join(arguments)} ended with {done.code}:\n{done.out}\n{done.err}")
        last = (done.out.strip().splitlines() or [""])[-1]
        self._say(f"crossfade {' '.join(arguments)}: ok  ({last})")

    def _say(self, text: str) -> None:
        self._console.print(f"{time.monotonic() - self._began:7.1f} s  {text}", markup=False, highlight=False)

    def _summary(self) -> None:
        figures = self._figures
        table = Table(title="RetailCore moved", show_header=False)
        table.add_row("source → stores", f"{self._options.source} → 3 × {self._options.store}")
        table.add_row("rows made", f"{figures.rows:,} ({figures.rows / figures.fill_s:,.0f}/s)")
        table.add_row(
            "copied under traffic",
            f"{figures.copied_rows:,} rows in {figures.copy_s:.1f} s ({figures.copied_rows / figures.copy_s:,.0f}/s)",
        )
        table.add_row("transactions meanwhile", f"{figures.transactions:,}")
        table.add_row("rows streamed", f"{figures.applied_rows:,}")
        table.add_row("longest lag while streaming", f"{figures.longest_lag_s:.2f} s")
        table.add_row("caught up after the last write", f"{figures.catch_up_s:.1f} s")
        for verdict in figures.verdicts:
            table.add_row("verify", verdict)
        for move, stopped in figures.moves:
            table.add_row(move, stopped)
        if figures.audits:
            table.add_row("audits of the serving side", f"clean: {figures.audits}")
        table.add_row("invariants", "hold on both sides and agree")
        self._console.print(table)


def play(options: DemoOptions, console: Console, complain: Callable[[str], None]) -> bool:
    """Play the story; True when it ended well."""
    try:
        Story(options, console).play()
    except DemoFailed as error:
        complain(str(error))
        return False
    return True

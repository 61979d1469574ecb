"""Mode `invariants`: statements of the configuration whose answers on source and stores must agree. Reads only.

They share nothing with our transforms, and so can judge them. The source is read between S and P and every store at
its T, as rows are (`alignment.py`). Answers that agree are a PASS. Answers that differ when nothing happened between S
and T are a FAIL at once; under traffic a difference must show itself unchanged (by the same amount) at three advancing
positions. What is neither by the deadline is INCONCLUSIVE.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Final

from config.settings import Invariant
from model.errors import Busy, Refused
from stores.errors import translated
from stores.mysql import MysqlConnection
from stores.postgres import PostgresConnection
from sync.mysql.visibility import Reading
from validators.alignment import Alignment
from validators.findings import Finding, FindingKind, Mode, Outcome, TableVerdict, Window
from validators.invariant_rows import cells, differing, signature

PREFIX: Final = "invariant:"
"""Begins the plan id of an invariant's verdict."""
REPEATS: Final = 3
PAUSE_S: Final = 0.3
MOST_ROWS: Final = 100_000


@dataclass(frozen=True, slots=True)
class StoreSide:
    """One store's statement and what is needed to run it at a position."""

    store: str
    statement: str
    connection: PostgresConnection
    alignment: Alignment


@dataclass(slots=True)
class InvariantCheck:
    """One invariant. `source` is a connection with the driver's own conversions, in autocommit mode."""

    invariant: Invariant
    source: MysqlConnection[Any]
    sides: Sequence[StoreSide]

    def run(self) -> TableVerdict:
        """Compare until the answers agree, surely differ, or the deadline passes. Raises what the servers raise."""
        seen: frozenset[tuple[object, ...]] = frozenset()
        times = 0
        while True:
            findings, window, sure, why = self._once()
            if findings is not None:
                if not findings:
                    return self._verdict(Outcome.PASS, why, window)
                now = signature(findings)
                times = times + 1 if now == seen else 1
                seen = now
                if sure or times >= REPEATS:
                    note = "" if sure else f"by the same amount at {times} positions"
                    return self._verdict(Outcome.FAIL, note, window, [replace(one, note=note) for one in findings])
                why = "the answers differ, and change faster than they can be compared"
            if any(side.alignment.expired for side in self.sides) or why.endswith(("no daemon runs", "no checkpoint")):
                return self._verdict(Outcome.INCONCLUSIVE, why, window)
            self.sides[0].alignment.pause(PAUSE_S)

    def _once(self) -> tuple[list[Finding] | None, Window | None, bool, str]:
        """Findings (None: there was no comparison), window, whether they are sure, and why not or what weakens it."""
        lows = []
        for side in self.sides:
            try:
                low = side.alignment.low()
            except Busy as error:
                return None, None, False, str(error)
            if low is None:
                return None, None, False, f"store {side.store}: the store has no checkpoint"
            lows.append(low)
        names, expected = self._source_rows()
        high = self.sides[0].alignment.high()
        for side in self.sides:
            late = side.alignment.wait(high)
            if late:
                return None, None, False, f"store {side.store}: {late}"
        found = cells(())
        quiet, last = True, 0
        for side, (checkpoint, reading) in zip(self.sides, lows, strict=True):
            with side.alignment.target() as reached:
                found += cells(self._store_rows(side, len(names)))
            quiet = quiet and reached.seq == checkpoint.seq and reading is Reading.PLAIN
            last = max(last, reached.seq)
        window = Window(min(checkpoint.seq for checkpoint, _ in lows), str(high.coordinate), last)
        return differing(names, expected, found), window, quiet, ""

    def _source_rows(self) -> tuple[list[str], Any]:
        with translated("source"), self.source.cursor() as cursor, ExitStack() as stack:
            cursor.execute("START TRANSACTION READ ONLY")
            stack.callback(self.source.rollback)
            cursor.execute(self.invariant.source)
            names = [str(column[0]) for column in cursor.description or ()]
            rows = cursor.fetchmany(MOST_ROWS + 1)
        self._limit(len(rows), "the source")
        if not names:
            raise self._wrong("the source's statement returns no rows")
        return names, cells(rows)

    def _store_rows(self, side: StoreSide, width: int) -> Sequence[Sequence[Any]]:
        with translated(f"store {side.store}"):
            cursor = side.connection.execute(side.statement.encode())
            if cursor.description is None or len(cursor.description) != width:
                raise self._wrong(
                    f"the statement of store {side.store} returns {len(cursor.description or ())} columns, "
                    f"that of the source {width}"
                )
            rows = cursor.fetchmany(MOST_ROWS + 1)
        self._limit(len(rows), f"store {side.store}")
        return rows

    def _limit(self, rows: int, where: str) -> None:
        if rows > MOST_ROWS:
            raise self._wrong(f"{where} answers with more than {MOST_ROWS:,} rows")

    def _wrong(self, what: str) -> Refused:
        return Refused(f"invariant {self.invariant.name}: {what}", hint="Mend verify.invariants in the configuration.")

    def _verdict(
        self, outcome: Outcome, why: str, window: Window | None, findings: Sequence[Finding] = ()
    ) -> TableVerdict:
        kinds = [finding.kind for finding in findings]
        at = window.high if window else ""
        return replace(
            blank_invariant(self.invariant),
            outcome=outcome,
            why=why,
            window=window,
            missing=kinds.count(FindingKind.MISSING),
            extra=kinds.count(FindingKind.EXTRA),
            different=kinds.count(FindingKind.DIFFERS),
            findings=tuple(replace(finding, position=at) for finding in findings),
            chunks_passed=int(outcome is Outcome.PASS),
        )


def blank_invariant(invariant: Invariant, why: str = "", next_step: str = "") -> TableVerdict:
    """A verdict over an invariant without a judgement yet."""
    return TableVerdict(
        PREFIX + invariant.name,
        PREFIX + invariant.name,
        "+".join(invariant.statements),
        invariant.name,
        Mode.INVARIANTS,
        Outcome.INCONCLUSIVE,
        why=why,
        next_step=next_step,
    )

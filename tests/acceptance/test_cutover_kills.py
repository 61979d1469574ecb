"""kill -9 of the daemon, the source and either store at each step of cutover and rollback, under writes.

Nobody repairs anything: the dead one is started again, and the domain ends where its point of no return says, with
every acknowledged write exactly once on both sides.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from servers import RunningServer
from tests.support import dying_steps
from tests.support.clients import Clients
from tests.support.dying_steps import Trap
from tests.support.ledger import ACTS, Ledger, migrated_ledger
from tests.support.servers import source_database, store_database

VICTIMS = ("daemon", "source", "store", "control")
"""The second store, and the first, which is the control store too."""
POINTS = (*dying_steps.points("cutover"), *dying_steps.points("rollback"))
SOME = (
    ("cutover.no_return.before", "source"),
    ("cutover.no_return.after", "source"),
    ("rollback.close_stores.after", "store"),
    ("rollback.no_return.after", "control"),
)
EVERY = tuple((point, victim) for point in POINTS for victim in VICTIMS)
RATE = 40.0
DEAD_S = 0.5
SETTLED = {"prepared": "source", "live": "stores"}
BEGINS = {"cutover": "source", "rollback": "stores"}


@pytest.mark.timeout(7200)
@pytest.mark.parametrize(
    ("source", "cases"),
    [
        pytest.param("mariadb-10.11", SOME, marks=pytest.mark.slow, id="mariadb-some"),
        pytest.param("mariadb-10.11", EVERY, marks=pytest.mark.soak, id="mariadb-every"),
        pytest.param("mysql-9.7", EVERY, marks=pytest.mark.soak, id="mysql-every"),
    ],
)
def test_whoever_is_killed_nothing_is_lost(
    source: str,
    cases: tuple[tuple[str, str], ...],
    start_private: Callable[..., RunningServer],
    tmp_path: Path,
) -> None:
    servers = {"source": start_private(source), "control": start_private("postgres-15"),
               "store": start_private("postgres-18")}  # fmt: skip
    outcomes: dict[tuple[str, str], str] = {}
    with (
        source_database(servers["source"]) as source_db,
        store_database(servers["control"]) as control,
        store_database(servers["store"]) as store,
        migrated_ledger(source_db, [control, store], tmp_path, trap=(trap := Trap(tmp_path / "trap"))) as ledger,
    ):
        clients = Clients(ledger, rate=RATE, threads=4)
        ledger.migration.ok("verify")
        try:
            with clients.writing():
                for point, victim in cases:
                    ledger.bring_to(BEGINS[point.partition(".")[0]])
                    ledger.wait_ready()
                    began = time.monotonic()
                    side = _killed_at(point, victim, ledger, servers, trap)
                    settled_s = time.monotonic() - began
                    assert ledger.open_sides() == {side}, (point, victim)
                    clients.assert_both_hold()
                    ended = "as before" if side == BEGINS[point.partition(".")[0]] else "moved"
                    outcomes[point, victim] = f"{ended} ({settled_s:.1f} s)"
                    print(f"{point} {victim}: {outcomes[point, victim]}", flush=True)
        finally:
            print(f"\n{_table(outcomes)}")


def _killed_at(point: str, victim: str, ledger: Ledger, servers: dict[str, RunningServer], trap: Trap) -> str:
    """Kill the victim at the point and let everything recover; gives the side that serves."""
    migration = ledger.migration
    what = point.partition(".")[0]
    trap.set(point, "die" if victim == "daemon" else "wait")
    ledger.ask(ACTS[what])
    deadline = time.monotonic() + 300
    while not trap.sprung:
        assert time.monotonic() < deadline, f"{point} was not reached: {ledger.state}\n{migration.log_tail()}"
        time.sleep(0.01)
    if victim == "daemon":
        assert migration.daemon is not None
        assert migration.daemon.wait(60) == 77, point
        migration.start()
    else:
        servers[victim].kill()
        trap.go()
        time.sleep(DEAD_S)
        servers[victim].restart()
    phase = ledger.wait_settled()
    side = SETTLED[phase]
    if victim == "daemon" or dying_steps.passed(point):
        moved = side != BEGINS[what]
        assert moved == dying_steps.passed(point), f"{point}, {victim}: {phase}\n{migration.log_tail()}"
    return side


def _table(outcomes: dict[tuple[str, str], str]) -> str:
    lines = [f"{'killed':34}" + "".join(f"{victim:22}" for victim in VICTIMS)]
    for point in POINTS:
        cells = [outcomes.get((point, victim), "") for victim in VICTIMS]
        if any(cells):
            lines.append(f"{point:34}" + "".join(f"{cell:22}" for cell in cells))
    return "\n".join(lines)

"""Gates: every refusal says what was measured, what the limit is and what to do."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

from cutover import checks, trip_checks
from cutover.checks import checks_for
from cutover.consents import Consents
from cutover.gate_result import GateResult, documents, measure, overridden, refuse
from cutover.phases import Phase
from cutover.trips import Trips
from model.errors import Busy, ExitCode, Refused, UsageError
from stores.control.verify_proof import TableProof


@dataclass
class _Site:
    problems: tuple[str, ...] = ()
    lossy: dict[str, str] = field(default_factory=dict)
    accepted: tuple[str, ...] = ()
    streaming: bool = True
    dropped: int = 0
    reverse_trips: Trips = field(default_factory=Trips)

    @property
    def domain(self) -> Any:
        return SimpleNamespace(
            name="shop", problems=self.problems, lossy=lambda: self.lossy, plans=[SimpleNamespace(id="p")], stores=()
        )

    @property
    def settings(self) -> Any:
        return SimpleNamespace(
            cutover=SimpleNamespace(max_lag_s=2.0),
        )

    @property
    def followers(self) -> Any:
        return SimpleNamespace(streams=lambda plan_id: self.streaming)

    @property
    def consents(self) -> Consents:
        return Consents(frozenset(self.accepted))

    def drop(self) -> None:
        self.dropped += 1


def _measure(check: Any, **site: Any) -> GateResult:
    return check(_Site(**site), threading.Event())


def test_configured() -> None:
    assert _measure(checks.configured).passed
    found = _measure(checks.configured, problems=("a key from outside",))
    assert not found.passed and found.value == "a key from outside" and found.next


def test_reversible_unless_accepted_by_name() -> None:
    assert _measure(checks.reversible).passed
    lossy = {"orders.total": "lossy: rounded", "orders.flag": "one-way: gone"}
    found = _measure(checks.reversible, lossy=lossy, accepted=("orders.flag",))
    assert not found.passed and "orders.total" in found.value and "orders.flag" not in found.value
    assert "orders.total" in found.next
    assert _measure(checks.reversible, lossy=lossy, accepted=tuple(lossy)).passed


def test_streaming() -> None:
    assert _measure(checks.streaming).passed
    assert _measure(checks.streaming, streaming=False).value == "p"


def test_round_trips_are_judged_by_all_of_the_last_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    site = _Site()
    took = iter([0.1, 0.2, 1.5, 2.5])
    monkeypatch.setattr(trip_checks, "reverse_trip", lambda site, limit: site.reverse_trips.add(next(took)))
    found = checks.reverse_round_trip(site, threading.Event())  # type: ignore[arg-type]
    assert found.passed and "p95 1.500 s, longest 1.500 s of 3" in found.value and found.limit == "p95 ≤ 2 s"
    # One more, and it is enough to be refused.
    found = checks.reverse_round_trip(site, threading.Event())  # type: ignore[arg-type]
    assert not found.passed and "of 4" in found.value and found.next


def test_a_gate_is_overridden_by_name_and_reason_only_where_nothing_is_lost_by_it() -> None:
    closed = [GateResult("durability", False, "sync_binlog = 0", "1"), GateResult("verified", False, "never", "passed")]
    found = overridden(closed, {"durability": "a test"})
    assert [(gate.passed, gate.overridden) for gate in found] == [(True, "a test"), (False, "")]
    assert documents(found)[0]["overridden"] == "a test"
    with pytest.raises(UsageError, match="gate verified cannot be overridden"):
        overridden(closed, {"verified": "in a hurry"})


def test_consents_come_from_the_configuration_and_the_order() -> None:
    settings: Any = SimpleNamespace(gates={"accept_lossy": ["a.b"], "override": {"retention": "short on purpose"}})
    found = Consents.of(
        settings, {"accept_lossy": ["c.d"], "override": ["durability=because"], "accept_identity": True}
    )
    assert found == Consents(
        frozenset({"a.b", "c.d"}), {"retention": "short on purpose", "durability": "because"}, True
    )  # fmt: skip
    with pytest.raises(UsageError, match="without a reason"):
        Consents.of(settings, {"override": ["durability"]})


def test_what_cannot_be_measured_has_not_passed() -> None:
    def broken(site: Any, stop: threading.Event) -> GateResult:
        raise Busy("somebody holds it", hint="wait")

    site = _Site()
    (found,) = measure((broken,), site, threading.Event())  # type: ignore[arg-type]
    assert (found.name, found.passed, found.value, found.next) == ("broken", False, "somebody holds it", "wait")
    assert site.dropped == 1


def test_refusing_names_the_first_and_all_others() -> None:
    gates = [
        GateResult("a", True, "1", "2"), GateResult("b", False, "9", "5", "do this"), GateResult("c", False, "x", "y"),
    ]  # fmt: skip
    refuse(gates[:1], "the cutover")
    with pytest.raises(Refused, match=r"refused by gate b: 9 \(limit: 5\); also: c") as caught:
        refuse(gates, "the cutover")
    assert caught.value.hint == "do this" and caught.value.exit_code is ExitCode.REFUSED
    assert documents(gates)[1] == {"gate": "b", "passed": False, "value": "9", "limit": "5", "next": "do this"}


def test_each_phase_has_its_gates() -> None:
    assert checks.verified in checks_for(Phase.FOLLOWING)
    assert checks.marker_round_trip in checks_for(Phase.PREPARED)
    assert checks.verified not in checks_for(Phase.LIVE), "an emergency cannot wait for a verification"


def test_a_table_counts_as_proven_only_whole_and_for_the_mapping_in_force() -> None:
    whole = TableProof("p", 2, 2, 0, 0, 10, 10, 50.0, 1.0, ("t",))
    assert checks._unproven(whole, "t", None) == ""
    assert checks._unproven(None, "t", None) == "never proven"
    assert checks._unproven(replace(whole, chunks_proven=0, why="the store lags"), "t", None) == "the store lags"
    part = replace(whole, chunks_proven=1, rows_proven=4, why="2 rows differ")
    assert checks._unproven(part, "t", None) == "40.0 % proven, 2 rows differ"
    assert "another mapping" in checks._unproven(whole, "other", None)
    assert "another mapping" in checks._unproven(replace(whole, transforms=("s", "t")), "t", None)
    # Numbers of rows that differed after the oldest proof was made.
    assert "numbers of rows" in checks._unproven(whole, "t", 30.0)
    assert checks._unproven(whole, "t", 60.0) == ""

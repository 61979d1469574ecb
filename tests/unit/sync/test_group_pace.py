"""The pace of groups."""

from __future__ import annotations

from sync.group_pace import GATHERING, LONGEST_S, SHORTEST_S, GroupPace


def test_a_group_may_gather_as_long_as_the_last_one_asks_for_and_no_longer_than_the_limit() -> None:
    pace = GroupPace()
    assert pace.age_s == SHORTEST_S
    pace.wrote(0.001)
    assert pace.age_s == SHORTEST_S
    pace.wrote(0.5)
    assert pace.age_s == GATHERING * 0.5
    pace.wrote(60.0)
    assert pace.age_s == LONGEST_S
    pace.wrote(0.001)
    assert pace.age_s == SHORTEST_S

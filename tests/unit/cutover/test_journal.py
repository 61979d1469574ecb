"""The journal's chain of digests notices what was changed, left out or put in."""

from __future__ import annotations

import dataclasses

from stores.control.journal import ORIGIN, Entry, Kind, broken_at


def _chain(count: int) -> list[Entry]:
    found: list[Entry] = []
    before = ORIGIN
    for number in range(count):
        entry = Entry("shop", 1, f"step{number}", Kind.OBSERVED, '{"n": 1}', "me@here", 3, 1000 + number)
        before = entry.chained(before)
        found.append(dataclasses.replace(entry, digest=before))
    return found


def test_a_whole_chain_holds() -> None:
    assert broken_at(_chain(5)) is None


def test_any_change_breaks_it() -> None:
    chain = _chain(5)
    for field, value in (("facts", '{"n": 2}'), ("actor", "you@there"), ("at_us", 1), ("kind", Kind.FAILED)):
        changed = [*chain]
        changed[2] = dataclasses.replace(chain[2], **{field: value})
        assert broken_at(changed) is changed[2]
    assert broken_at(chain[:2] + chain[3:]) is chain[3]
    assert broken_at(chain[1:]) is chain[1]
    assert broken_at([chain[0], chain[0], *chain[1:]]) is not None

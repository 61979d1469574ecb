"""The check of prepared XA transactions, which hold their locks and the purge until somebody decides over them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sync.assess.registry import Result, ok, source_check, warn
from sync.assess.source_facts import SourceFacts
from sync.mysql.prepared_xa import PRIVILEGE, verdicts

SHOWN: Final = 5
"""So many are named."""


@source_check("prepared_xa", "no prepared XA transaction waits for its verdict")
def prepared_xa(facts: SourceFacts) -> Iterator[Result]:
    found = facts.prepared_xa
    if found is None:
        yield warn(
            "whether prepared XA transactions wait on the source could not be asked: our user may not run XA RECOVER",
            f"GRANT {PRIVILEGE} ON *.* TO {facts.user};  -- or run XA RECOVER yourself: it should show nothing",
        )
        return
    if not found:
        yield ok("no prepared XA transaction waits")
        return
    age_s = facts.prepared_age_s
    since = f"; the oldest that its session has left began {age_s:,} s ago" if age_s is not None else ""
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    names = "; ".join(str(one) for one in found[:SHOWN])
    yield warn(
        f"{len(found)} prepared XA transactions wait for their verdict: {names}{more}{since}. They keep their row locks"
        " and hold back the purge, also over a restart; a copy or a cutover that meets their locks waits in vain, and"
        " the rows of one that is committed after the stream began without it cannot be followed",
        verdicts(found[:SHOWN]),
    )

"""Checks of what the copy's limits are read from: who may not ask would pause the copy, and learn so only then."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing
from typing import Final

from model.errors import AccessDenied, CrossfadeError
from sync.assess.registry import Result, block, ok, source_check
from sync.assess.source_facts import SourceFacts
from sync.mysql.replica_lag import ReplicaLag, judged
from sync.mysql.source_load import history_length

_LACKS_PRIVILEGE: Final = 1227
_SPLIT_PRIVILEGE: Final = (10, 5, 0)
"""From this MariaDB on REPLICATION CLIENT means the binlog only."""


@source_check("limit_history", "the history list that snapshot.max_history_length limits can be read")
def limit_history(facts: SourceFacts) -> Iterator[Result]:
    limit = facts.settings.snapshot.max_history_length
    if limit is None:
        yield ok("snapshot.max_history_length is not set")
        return
    assert facts.connection is not None
    try:
        found = history_length(facts.connection)
    except AccessDenied:
        yield block(
            "our user lacks PROCESS, which snapshot.max_history_length needs: the copy would pause and not go on",
            f"GRANT PROCESS ON *.* TO {facts.user};",
        )
    except CrossfadeError as error:
        if error.transient:
            raise
        yield block(f"{error}: the copy would pause and not go on", error.hint)
    else:
        yield ok(f"the history list is {found:,} long, the limit of the copy is {limit:,}")


@source_check("limit_replica_lag", "the replicas whose lag snapshot.max_replica_lag_s limits can be asked for it")
def limit_replica_lag(facts: SourceFacts) -> Iterator[Result]:
    if facts.settings.snapshot.max_replica_lag_s is None:
        yield ok("snapshot.max_replica_lag_s is not set")
        return
    with closing(ReplicaLag(facts.settings.source)) as replicas:
        for name in facts.settings.source.replicas:
            yield _asked(facts, replicas, name)


def _asked(facts: SourceFacts, replicas: ReplicaLag, name: str) -> Result:
    subject, pauses = f"replica {name}", "the copy would pause"
    try:
        why = judged(replicas.status(name), math.inf)
    except AccessDenied as error:
        if error.where.get("errno") == _LACKS_PRIVILEGE:
            return block(f"our user may not ask how far it is behind: {pauses}", _grant(facts, name), subject)
        return block(f"it does not let us in ({error}): {pauses}", _account(facts, name), subject)
    except CrossfadeError as error:
        step = f"Start it, or take {name} out of source.replicas."
        return block(f"it cannot be asked how far it is behind ({error}): {pauses}", step, subject)
    if why is not None:
        return block(f"it {why}: {pauses}", f"Let {name} replicate, or take it out of source.replicas.", subject)
    return ok("it says how far it is behind", subject)


def _grant(facts: SourceFacts, name: str) -> str:
    return f"GRANT {_privilege(facts)} ON *.* TO {facts.user};  -- on {name}, or on the source and it replicates"


def _account(facts: SourceFacts, name: str) -> str:
    made = f"CREATE USER {facts.user} IDENTIFIED BY '<the password of the source>';"
    return f"{made} GRANT {_privilege(facts)} ON *.* TO {facts.user};  -- on {name}"


def _privilege(facts: SourceFacts) -> str:
    split = facts.info.mariadb and facts.info.version >= _SPLIT_PRIVILEGE
    return "REPLICA MONITOR" if split else "REPLICATION CLIENT"

"""What the plan changes or leaves behind, and what the source has beside its tables: each with what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pymysql.cursors import DictCursor

from stores.errors import translated
from sync.assess.registry import Result, ok, source_check, warn
from sync.assess.source_facts import SourceFacts
from sync.mysql.literals import quoted_name
from transforms.losses import losses


@source_check("losses", "what the stores will not have as the source has it, column by column")
def what_is_lost(facts: SourceFacts) -> Iterator[Result]:
    if facts.plan is None:
        yield ok("not known without a plan (see: plan)")
        return
    quiet = True
    for plan in facts.plan.plans:
        for loss in losses(plan):
            quiet = False
            subject = str(plan.source.id) + (f".{loss.about.partition(' ')[2]}" if loss.about else "")
            place = "" if len(facts.plan.of_source(plan.source.id)) == 1 else f" (in {plan.target})"
            kind = loss.about.rpartition(" ")[0]
            message = f"{kind}: {loss.what}{place}" if kind else f"{loss.what}{place}"
            if loss.kept:
                yield ok(f"{message}; otherwise: {loss.option}" if loss.option else message, subject=subject)
            else:
                yield warn(message, loss.option, subject=subject)
    if quiet:
        yield ok("everything is in the stores as it is in the source")


@source_check("routines", "procedures, functions and events are accounted for")
def routines(facts: SourceFacts) -> Iterator[Result]:
    procedures = _asked(
        facts,
        "SELECT ROUTINE_SCHEMA AS home, ROUTINE_NAME AS name, ROUTINE_TYPE AS kind"
        " FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA IN ({}) ORDER BY 1, 2",
    )
    events = _asked(
        facts,
        "SELECT EVENT_SCHEMA AS home, EVENT_NAME AS name, STATUS AS status"
        " FROM information_schema.EVENTS WHERE EVENT_SCHEMA IN ({}) ORDER BY 1, 2",
    )
    for row in procedures:
        yield _stays_behind(
            row,
            row["kind"],
            "what it does to rows arrives with the binlog until the cutover",
            "rewrite it for PostgreSQL, or move it into the application",
        )
    for row in events:
        place = quoted_name(row["home"], row["name"])
        yield _stays_behind(
            row,
            "EVENT",
            f"it is {row['status'].lower()}, and goes on writing to the source after a cutover",
            f"have something else run it; at the cutover: ALTER EVENT {place} DISABLE",
        )
    if not procedures and not events:
        yield ok("none are seen (they show only to a user who may run them)")


def _stays_behind(row: dict[str, Any], kind: str, meaning: str, advice: str) -> Result:
    return warn(
        f"{kind.lower()} stays behind: {meaning}",
        f"SHOW CREATE {kind} {quoted_name(row['home'], row['name'])};  -- {advice}",
        subject=f"{row['home']}.{row['name']}",
    )


def _asked(facts: SourceFacts, query: str) -> list[dict[str, Any]]:
    databases = sorted({table.schema for table in facts.tables} | set(facts.settings.source.databases))
    if facts.connection is None or not databases:
        return []
    with translated("source"), facts.connection.cursor(DictCursor) as cursor:
        cursor.execute(query.format(", ".join(["%s"] * len(databases))), databases)
        return list(cursor.fetchall())

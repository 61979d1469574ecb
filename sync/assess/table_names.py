"""Checks of names: PostgreSQL's 63 bytes, and names that differ in the source but not in a store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from sync.assess.registry import Result, block, ok, source_check, warn
from sync.assess.source_facts import SourceFacts
from transforms.names import NAME_BYTES, column_name, table_name
from transforms.rules import rule_of


@source_check("long_names", "names fit PostgreSQL's 63 bytes")
def long_names(facts: SourceFacts) -> Iterator[Result]:
    naming = facts.settings.defaults.naming
    found = False
    for table in facts.migrated:
        names = [(table.id.name, table_name(table.id.name, naming), "table")]
        names += [(column.name, column_name(column.name, naming), "rename") for column in table.columns]
        for name, short, rule in names:
            if len(name.encode()) <= NAME_BYTES:
                continue
            found = True
            line = f"{{table: {short}}}" if rule == "table" else f"{{rename: {{{name}: {short}}}}}"
            yield warn(
                f"{name!r} has {len(name.encode())} bytes and becomes {short!r}",
                f"tables: {{{table.id.name}: {line}}}  # or a name of your own",
                subject=str(table.id),
            )
    if not found:
        yield ok("every name fits")


@source_check("colliding_names", "names stay apart in the stores")
def colliding_names(facts: SourceFacts) -> Iterator[Result]:
    naming = facts.settings.defaults.naming
    found = False
    tables: dict[str, list[str]] = defaultdict(list)
    for table in facts.migrated:
        rule = rule_of(facts.settings, table.id)
        if rule is None or not (rule[1].table or rule[1].to or rule[1].store):
            tables[table_name(table.id.name, naming)].append(str(table.id))
        renamed = rule[1].rename if rule else {}
        left_out = rule[1].exclude if rule else ()
        columns: dict[str, list[str]] = defaultdict(list)
        for column in table.columns:
            if column.name not in left_out:
                columns[renamed.get(column.name) or column_name(column.name, naming)].append(column.name)
        for target, sources in columns.items():
            if len(sources) > 1:
                found = True
                yield block(
                    f"the columns {' and '.join(sources)} all become {target!r}",
                    f"tables: {{{table.id.name}: {{rename: {{{sources[1]}: {target}_2}}}}}}",
                    subject=str(table.id),
                )
    for target, sources in tables.items():
        if len(sources) > 1:
            found = True
            yield block(
                f"the tables {' and '.join(sources)} all become {target!r}",
                f"tables: {{{sources[1]}: {{table: {target}_2}}}}",
                subject=sources[1],
            )
    if not found:
        yield ok("no two names become one")

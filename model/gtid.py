"""GTID sets of MySQL and MariaDB as values: parse, print, contain, add. Comparison is set membership, never a maximum.

MySQL: `uuid:1-5:7,uuid:tag:1-3` (manual, "GTID Sets"; tags since 8.3). MariaDB: `domain-server-sequence`, one per
domain (knowledge base, "Global Transaction ID").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

Interval = tuple[int, int]
"""First and last transaction number, both inclusive."""


def _merge(intervals: list[Interval]) -> tuple[Interval, ...]:
    merged: list[Interval] = []
    for first, last in sorted(intervals):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return tuple(merged)


@dataclass(frozen=True)
class GtidSet:
    """A MySQL GTID set: `uuid` or `uuid:tag` → disjoint ascending intervals."""

    intervals: Mapping[str, tuple[Interval, ...]] = field(default_factory=lambda: MappingProxyType({}))

    @staticmethod
    def parse(text: str) -> GtidSet:
        """Read MySQL's text form. Raises ValueError with the offending part."""
        found: dict[str, list[Interval]] = {}
        for member in text.replace("\n", "").split(","):
            member = member.strip()
            if not member:
                continue
            uuid, *parts = member.split(":")
            source = uuid.lower()
            for part in parts:
                part = part.strip()
                if part and not part[0].isdigit():
                    source = f"{uuid.lower()}:{part.lower()}"
                    continue
                first, _, last = part.partition("-")
                try:
                    interval = (int(first), int(last or first))
                except ValueError:
                    raise ValueError(f"not a GTID interval: {part!r} in {member!r}") from None
                if interval[0] < 1 or interval[1] < interval[0]:
                    raise ValueError(f"not a GTID interval: {part!r} in {member!r}")
                found.setdefault(source, []).append(interval)
            if not parts:
                raise ValueError(f"not a GTID: {member!r}")
        return GtidSet(MappingProxyType({source: _merge(items) for source, items in sorted(found.items())}))

    def __str__(self) -> str:
        return ",".join(
            source + "".join(f":{first}" if first == last else f":{first}-{last}" for first, last in items)
            for source, items in self.intervals.items()
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GtidSet) and dict(self.intervals) == dict(other.intervals)

    def __hash__(self) -> int:
        return hash(str(self))

    def __contains__(self, gtid: str) -> bool:
        """Whether one GTID (`uuid:5` or `uuid:tag:5`) is in the set."""
        return GtidSet.parse(gtid).issubset(self)

    def issubset(self, other: GtidSet) -> bool:
        """Whether every transaction of this set is in `other`."""
        for source, items in self.intervals.items():
            theirs = other.intervals.get(source, ())
            for first, last in items:
                if not any(low <= first and last <= high for low, high in theirs):
                    return False
        return True

    def union(self, other: GtidSet) -> GtidSet:
        """Transactions in either set."""
        found = {source: list(items) for source, items in self.intervals.items()}
        for source, items in other.intervals.items():
            found.setdefault(source, []).extend(items)
        return GtidSet(MappingProxyType({source: _merge(items) for source, items in sorted(found.items())}))

    def minus(self, other: GtidSet) -> GtidSet:
        """Transactions of this set that are not in `other`."""
        left: dict[str, tuple[Interval, ...]] = {}
        for source, items in self.intervals.items():
            rest = list(items)
            for low, high in other.intervals.get(source, ()):
                cut: list[Interval] = []
                for first, last in rest:
                    if high < first or last < low:
                        cut.append((first, last))
                        continue
                    if first < low:
                        cut.append((first, low - 1))
                    if high < last:
                        cut.append((high + 1, last))
                rest = cut
            if rest:
                left[source] = tuple(rest)
        return GtidSet(MappingProxyType(left))

    def add(self, gtid: str) -> GtidSet:
        """The set with one more GTID; fast when it continues the last interval of its source."""
        source, _, number = gtid.rpartition(":")
        source = source.lower()
        items = self.intervals.get(source)
        if items and number.isdigit() and items[-1][1] + 1 == int(number):
            changed = dict(self.intervals)
            changed[source] = (*items[:-1], (items[-1][0], int(number)))
            return GtidSet(MappingProxyType(changed))
        return self.union(GtidSet.parse(gtid))


@dataclass(frozen=True)
class MariadbGtidSet:
    """A MariaDB GTID position: domain → (server id, sequence number) of its last transaction."""

    domains: Mapping[int, tuple[int, int]] = field(default_factory=lambda: MappingProxyType({}))

    @staticmethod
    def parse(text: str) -> MariadbGtidSet:
        """Read MariaDB's text form. Raises ValueError with the offending part."""
        found: dict[int, tuple[int, int]] = {}
        for member in text.split(","):
            if not member.strip():
                continue
            try:
                domain, server, sequence = map(int, member.split("-"))
            except ValueError:
                raise ValueError(f"not a MariaDB GTID: {member!r}") from None
            found[domain] = (server, sequence)
        if len(found) > 1:
            found = dict(sorted(found.items()))
        return MariadbGtidSet(MappingProxyType(found))

    def __str__(self) -> str:
        return ",".join(f"{domain}-{server}-{sequence}" for domain, (server, sequence) in self.domains.items())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MariadbGtidSet) and dict(self.domains) == dict(other.domains)

    def __hash__(self) -> int:
        return hash(str(self))

    def __contains__(self, gtid: str) -> bool:
        return MariadbGtidSet.parse(gtid).issubset(self)

    def issubset(self, other: MariadbGtidSet) -> bool:
        """Whether, in every domain, the last transaction of this position is at or before that of `other`."""
        return all(
            domain in other.domains and sequence <= other.domains[domain][1]
            for domain, (_, sequence) in self.domains.items()
        )

    def add(self, gtid: str) -> MariadbGtidSet:
        """The position after one more transaction of its domain. Called for every transaction of a stream."""
        domain, server, sequence = map(int, gtid.split("-"))
        merged = {**self.domains, domain: (server, sequence)}
        if domain not in self.domains:
            merged = dict(sorted(merged.items()))
        return MariadbGtidSet(MappingProxyType(merged))

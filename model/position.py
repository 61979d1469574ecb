"""Where we are in the source's binlog: file and offset always, the GTIDs executed so far when the source has them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import total_ordering

from model.gtid import GtidSet, MariadbGtidSet


class Flavour(StrEnum):
    """Which family of server the source belongs to."""

    MYSQL = "mysql"
    MARIADB = "mariadb"


@total_ordering
@dataclass(frozen=True, slots=True)
class BinlogCoordinate:
    """File and 64-bit offset. Ordered by the file's numeric suffix (names roll over from 999999 to 1000000)."""

    file: str
    offset: int

    @property
    def index(self) -> int:
        """The file's number: `mysql-bin.000042` → 42."""
        suffix = self.file.rpartition(".")[2]
        return int(suffix) if suffix.isdigit() else -1

    def __lt__(self, other: BinlogCoordinate) -> bool:
        return (self.index, self.offset) < (other.index, other.offset)

    def __str__(self) -> str:
        return f"{self.file}:{self.offset}"

    @staticmethod
    def parse(text: str) -> BinlogCoordinate:
        """Read `file:offset`. Raises ValueError."""
        file, separator, offset = text.rpartition(":")
        if not separator or not offset.isdigit():
            raise ValueError(f"not a binlog position: {text!r} (expected FILE:OFFSET)")
        return BinlogCoordinate(file, int(offset))


@dataclass(frozen=True, slots=True)
class Position:
    """A point between two transactions of the source.

    `gtids` is the text form of every GTID executed up to here: MySQL's set, MariaDB's position, or "" when the
    source has no GTIDs (MySQL with gtid_mode=OFF).
    """

    flavour: Flavour
    coordinate: BinlogCoordinate
    gtids: str = ""

    def reached(self, target: Position) -> bool:
        """Whether everything up to `target` is before this position: by GTIDs when both have them, else by offset."""
        if self.gtids and target.gtids:
            if self.flavour is Flavour.MYSQL:
                return GtidSet.parse(target.gtids).issubset(GtidSet.parse(self.gtids))
            return MariadbGtidSet.parse(target.gtids).issubset(MariadbGtidSet.parse(self.gtids))
        return self.coordinate >= target.coordinate

    def __str__(self) -> str:
        return f"{self.coordinate} [{self.gtids}]" if self.gtids else str(self.coordinate)

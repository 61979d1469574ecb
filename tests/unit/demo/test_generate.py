"""Generated rows: the same for the same seed, exactly as many as asked for, and literals that need no escaping."""

from __future__ import annotations

import json
from queue import Queue
from random import Random

import pytest

from demo.retailcore import words
from demo.retailcore.address import MysqlAddress
from demo.retailcore.bulk import BulkLoader
from demo.retailcore.generate import COLUMNS, fill
from demo.retailcore.moments import Moments
from demo.retailcore.sizes import SMALLEST_TOTAL, Sizes


class _Recorder(BulkLoader):
    """A loader that keeps the statements instead of sending them."""

    def __init__(self) -> None:
        super().__init__(MysqlAddress("nowhere", 0, "", ""), COLUMNS)
        self.statements: list[str] = []

    def _put(self, queue: Queue[str | None], statement: str | None) -> None:
        if statement is not None:
            self.statements.append(statement)

    def finish(self) -> list[str]:
        for table in COLUMNS:
            self._send(table)
        return self.statements


def _statements(rows: int, seed: int) -> tuple[list[str], int]:
    recorder = _Recorder()
    fill(recorder, Sizes.of(rows), seed)
    statements = recorder.finish()
    return statements, recorder.total()


@pytest.mark.parametrize("rows", [SMALLEST_TOTAL, 7_777, 30_000])
def test_total_is_exact(rows: int) -> None:
    assert _statements(rows, seed=1)[1] == rows


def test_same_seed_same_rows_other_seed_other_rows() -> None:
    first, again, other = (_statements(3_000, seed)[0] for seed in (5, 5, 6))
    assert first == again
    assert first != other


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(ValueError, match=str(SMALLEST_TOTAL)):
        Sizes.of(SMALLEST_TOTAL - 1)


def test_batches_stay_small() -> None:
    statements, _ = _statements(60_000, seed=1)
    assert max(len(statement.encode()) for statement in statements) < 1 << 20


def _pools() -> dict[str, tuple[str, ...]]:
    pools = {name: value for name, value in vars(words).items() if name.isupper()}
    pools["GROUPS"] = tuple(text for group in words.GROUPS for text in group)
    return pools


def test_literals_need_no_escaping() -> None:
    for name, pool in _pools().items():
        for text in pool:
            assert "'" not in text and "\\" not in text, (name, text)


def test_latin1_pools_fit_cp1252() -> None:
    wide = {"NICKNAMES", "CITIES", "CATEGORY_NAMES", "INTERNATIONAL", "JSON_TEXTS", "TAGS", "REVIEW_BODIES", "GIFTS"}
    pools = _pools()
    assert wide < set(pools)
    for name in set(pools) - wide:
        for text in pools[name]:
            text.encode("cp1252")
    assert any(byte in range(0x80, 0xA0) for text in words.REASONS for byte in text.encode("cp1252"))


def test_documents_are_json() -> None:
    for text in words.JSON_TEXTS:
        json.loads(text)


def test_moments_depend_on_the_seed_only() -> None:
    assert Moments(Random(1)).micros(17) == Moments(Random(1)).micros(17)
    assert Moments(Random(1)).micros(17) != Moments(Random(2)).micros(17)
    assert Moments(Random(1)).date(17) == Moments(Random(1)).date(17 + 4096)

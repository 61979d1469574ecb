"""Lets the applier decode the transactions to come while the store writes: what depends on nothing but their bytes.

What is large, or cannot be decoded, or is a statement that matters, is left: the applier comes to it by itself, in the
right order and at a moment when nobody reads ahead.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from model.errors import CrossfadeError
from sync.change_group import ChangeGroup
from sync.changes import ChangeSource, RowsBatch, Transaction
from sync.mysql.read_ahead import read_ahead

WHOLE_BYTES: Final = 1 << 20
"""Rows of a larger transaction are not kept; they are decoded event by event when their turn comes."""
CHUNK_BYTES: Final = 1 << 18
"""Transactions are handed over together up to this size, for handing over costs as much as decoding a small one."""
_OVERHEAD: Final = 512
"""Bytes that a transaction counts for though it has no changes for us."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A transaction with all its changes of the tables that are wanted."""

    transaction: Transaction
    batches: list[RowsBatch]
    bytes: int
    """What it takes, about."""


def decoded_ahead(
    transactions: Iterator[Transaction], changes: ChangeSource, group: ChangeGroup
) -> Generator[Decoded, None, None]:
    """The first of the transactions in order, up to one that is left, decoded by a thread that ends with this iterator.

    Nobody else may use `transactions` and `changes` until then, and the group's plans must stay as they are.
    """
    with closing(
        read_ahead(_chunks(transactions, changes, group), lambda chunk: sum(one.bytes for one in chunk))
    ) as all_:
        for chunk in all_:
            yield from chunk


def _chunks(
    transactions: Iterator[Transaction], changes: ChangeSource, group: ChangeGroup
) -> Generator[list[Decoded], None, None]:
    chunk: list[Decoded] = []
    size = 0
    for transaction in transactions:
        decoded = _decoded(transaction, changes, group)
        if decoded is None:
            break
        chunk.append(decoded)
        size += decoded.bytes
        if size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _decoded(transaction: Transaction, changes: ChangeSource, group: ChangeGroup) -> Decoded | None:
    if transaction.bytes > WHOLE_BYTES:
        return None
    batches: list[RowsBatch] = []
    size = 0
    try:
        for batch in changes.batches(transaction, group.wanted):
            size += batch.bytes
            if size > WHOLE_BYTES:
                return None  # it was compressed
            group.prepare(batch)
            batches.append(batch)
    except CrossfadeError:
        return None  # raised again where it belongs
    return Decoded(transaction, batches, size + _OVERHEAD)

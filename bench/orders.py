"""The table of the benchmarks: eleven columns of a shop's orders with JSON, the same rows for everybody."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

COLUMNS = """
    id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    customer_id INT UNSIGNED NOT NULL,
    status ENUM('new','paid','packed','shipped','returned') NOT NULL,
    currency CHAR(3) NOT NULL,
    total DECIMAL(12,2) NOT NULL,
    items SMALLINT NOT NULL,
    is_gift TINYINT(1) NOT NULL DEFAULT 0,
    note VARCHAR(255) NULL,
    attributes JSON NULL,
    placed_at DATETIME(6) NOT NULL,
    updated_at TIMESTAMP NOT NULL
"""
CREATE = f"CREATE TABLE orders ({COLUMNS}) DEFAULT CHARSET=utf8mb4"
FIELDS = "customer_id, status, currency, total, items, is_gift, note, attributes, placed_at, updated_at"
"""All columns but the key."""
INSERT = f"INSERT INTO orders ({FIELDS}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
_NOTES = (None, "ring twice", "leave at the door", "für Anna – bitte nicht knicken", "weigh\tit\nagain", "")
_CHANNELS = ("web", "app", "shop")
_STATES = ("new", "paid", "packed", "shipped", "returned")


def order_rows(count: int, seed: int = 11) -> Iterator[tuple[Any, ...]]:
    """`count` rows for INSERT, the same for the same seed."""
    dice = random.Random(seed)
    for number in range(count):
        day, second = dice.randrange(1, 29), dice.randrange(60)
        yield (
            dice.randrange(1, 4_000_000_000),
            dice.choice(_STATES),
            dice.choice(("EUR", "USD", "GBP")),
            f"{dice.randrange(100, 99_999_999) / 100:.2f}",
            dice.randrange(1, 40),
            dice.randrange(2),
            dice.choice(_NOTES),
            json.dumps({"channel": dice.choice(_CHANNELS), "coupon": None, "weight": dice.randrange(1, 9000)}),
            f"2024-{number % 12 + 1:02d}-{day:02d} 12:34:{second:02d}.{dice.randrange(10**6):06d}",
            f"2024-{number % 12 + 1:02d}-{day:02d} 13:00:{second:02d}",
        )


def load_orders(connection: Any, count: int) -> None:
    """Create the table and insert `count` rows, a thousand a statement."""
    with connection.cursor() as cursor:
        cursor.execute(CREATE)
        batch: list[tuple[Any, ...]] = []
        for row in order_rows(count):
            batch.append(row)
            if len(batch) == 1000:
                cursor.executemany(INSERT, batch)
                batch.clear()
        if batch:
            cursor.executemany(INSERT, batch)

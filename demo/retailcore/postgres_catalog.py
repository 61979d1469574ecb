"""The catalog domain in its store: the same transactions as on MySQL, on the tables that the mapping makes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal

from demo.retailcore.mysql_session import spread, with_entry
from demo.retailcore.postgres_session import PostgresDatabase, one_row
from demo.retailcore.shop import Declined, NewProduct

_RETAIL = "RETAIL"
_NEVER = "-infinity"
_TOUCH = "updated_at = date_trunc('second', clock_timestamp())"


class PostgresCatalog(PostgresDatabase):
    """CatalogDatabase over the store's tables."""

    def product_ids(self, limit: int) -> list[int]:
        rows = self._session.query("SELECT id FROM products WHERE deleted = 0 ORDER BY id")
        return [row[0] for row in spread(rows, limit)]

    def category_ids(self, limit: int) -> list[int]:
        return [row[0] for row in self._session.query("SELECT id FROM categories ORDER BY id LIMIT %s", (limit,))]

    def brand_codes(self, limit: int) -> list[str]:
        return [row[0] for row in self._session.query("SELECT code FROM brands ORDER BY code LIMIT %s", (limit,))]

    def prices(self, product_ids: Sequence[int]) -> dict[int, int]:
        rows = self._session.query("SELECT id, price FROM products WHERE id = ANY(%s)", (list(product_ids),))
        return {product: int(price * 100) for product, price in rows}

    def add_product(self, product: NewProduct) -> int:
        price = Decimal(product.price_cents) / 100
        with self._session.transaction() as cursor:
            cursor.execute(
                "INSERT INTO products (sku, category_id, brand_code, name, name_intl, attributes, price, list_price,"
                " content_hash, created_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING id",
                (product.sku, product.category_id, product.brand_code, product.name, product.name_intl,
                 product.attributes, price, float(price) * 1.19, int.from_bytes(product.image_id[:8]) | 1 << 63,
                 product.created_at),
            )  # fmt: skip
            (product_id,) = one_row(cursor, "product")
            cursor.execute(
                'INSERT INTO product_prices (product_id, "group", version, amount) VALUES (%s, %s, 1, %s)',
                (product_id, _RETAIL, price),
            )
            for tag in product.tags:
                cursor.execute("INSERT INTO product_tags (product_id, tag) VALUES (%s, %s)", (product_id, tag))
            cursor.execute(
                "INSERT INTO product_images (id, product_id, width, thumbnail) VALUES (%s, %s, 64, %s)",
                (product.image_id, product_id, product.image_id * 3),
            )
            cursor.execute("INSERT INTO product_specs (product_id, attr_int_01) VALUES (%s, 1)", (product_id,))
            cursor.execute(
                "UPDATE categories SET product_count = product_count + 1 WHERE id = %s", (product.category_id,)
            )
        return int(product_id)

    def delete_product(self, product_id: int) -> None:
        with self._session.transaction() as cursor:
            cursor.execute("SELECT category_id FROM products WHERE id = %s FOR UPDATE", (product_id,))
            (category,) = one_row(cursor, "product")
            cursor.execute("DELETE FROM products WHERE id = %s", (product_id,))
            cursor.execute("UPDATE categories SET product_count = product_count - 1 WHERE id = %s", (category,))

    def mark_product(self, product_id: int, deleted_at: datetime | None) -> None:
        with self._session.transaction() as cursor:
            cursor.execute(
                f"UPDATE products SET deleted = %s, deleted_at = %s, {_TOUCH} WHERE id = %s".encode(),
                (0 if deleted_at is None else 1, deleted_at or _NEVER, product_id),
            )

    def change_price(self, product_id: int, cents: int, valid_from: date) -> None:
        with self._session.transaction() as cursor:
            cursor.execute("SELECT price_version FROM products WHERE id = %s FOR UPDATE", (product_id,))
            (version,) = one_row(cursor, "product")
            cursor.execute(
                'UPDATE product_prices SET valid_to = %s WHERE product_id = %s AND "group" = %s AND version = %s',
                (valid_from, product_id, _RETAIL, version),
            )
            cursor.execute(
                'INSERT INTO product_prices (product_id, "group", version, amount, valid_from, valid_to)'
                " VALUES (%s, %s, %s, %s, %s, %s)",
                (product_id, _RETAIL, version + 1, Decimal(cents) / 100, valid_from, _NEVER),
            )
            cursor.execute(
                f"UPDATE products SET price = %s, price_version = %s, list_price = %s, {_TOUCH} WHERE id = %s".encode(),
                (Decimal(cents) / 100, version + 1, cents * 1.19 / 100, product_id),
            )

    def move_category(self, product_id: int, category_id: int) -> None:
        with self._session.transaction() as cursor:
            cursor.execute("SELECT category_id FROM products WHERE id = %s FOR UPDATE", (product_id,))
            (old,) = one_row(cursor, "product")
            if old == category_id:
                raise Declined("already there")
            cursor.execute(
                f"UPDATE products SET category_id = %s, {_TOUCH} WHERE id = %s".encode(), (category_id, product_id)
            )
            for category, step in sorted(((old, -1), (category_id, 1))):
                cursor.execute(
                    "UPDATE categories SET product_count = product_count + %s WHERE id = %s", (step, category)
                )

    def swap_skus(self, first: int, second: int) -> None:
        with self._session.transaction() as cursor:
            cursor.execute("SELECT id, sku FROM products WHERE id IN (%s, %s) ORDER BY id FOR UPDATE", (first, second))
            rows = cursor.fetchall()
            if len(rows) != 2:
                raise Declined("no such product")
            (one, one_sku), (other, other_sku) = rows
            for sku, product in ((f"~{one_sku}"[:32], one), (one_sku, other), (other_sku, one)):
                cursor.execute(f"UPDATE products SET sku = %s, {_TOUCH} WHERE id = %s".encode(), (sku, product))

    def edit_attributes(self, product_id: int, name: str, value: str) -> None:
        with self._session.transaction() as cursor:
            cursor.execute("SELECT attributes::text FROM products WHERE id = %s FOR UPDATE", (product_id,))
            (document,) = one_row(cursor, "product")
            cursor.execute(
                f"UPDATE products SET attributes = %s, {_TOUCH} WHERE id = %s".encode(),
                (with_entry(document, name, value), product_id),
            )

    def rename_brand(self, code: str, new_code: str) -> None:
        with self._session.transaction() as cursor:
            cursor.execute("UPDATE brands SET code = %s WHERE code = %s", (new_code, code))
            if cursor.rowcount == 0:
                raise Declined("no such brand")

    def revise_specs(self, first: int, last: int) -> int:
        with self._session.transaction() as cursor:
            cursor.execute(
                "UPDATE product_specs SET revision = revision + 1, attr_num_08 = (revision + 1) / 7.0,"
                " attr_str_39 = 'geprüft' WHERE product_id BETWEEN %s AND %s",
                (first, last),
            )
            return cursor.rowcount

    def write_review(self, product_id: int, user_id: int | None, stars: int, body: str, at: datetime) -> None:
        with self._session.transaction() as cursor:
            cursor.execute(
                "UPDATE products SET review_count = review_count + 1, stars_sum = stars_sum + %s,"
                f" {_TOUCH} WHERE id = %s".encode(),
                (stars, product_id),
            )
            if cursor.rowcount == 0:
                raise Declined("no such product")
            cursor.execute(
                "INSERT INTO reviews (product_id, user_id, stars, title, body, written_at)"
                " VALUES (%s, %s, %s, 'Meinung – très bref', %s, %s)",
                (product_id, user_id, stars, body, at),
            )

    def forget_reviewer(self, user_id: int) -> int:
        with self._session.transaction() as cursor:
            cursor.execute("UPDATE reviews SET user_id = NULL WHERE user_id = %s", (user_id,))
            return cursor.rowcount

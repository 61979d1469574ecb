"""The orders domain in its store: the same transactions as on MySQL, on the tables that the mapping makes."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from demo.retailcore.mysql_session import spread
from demo.retailcore.postgres_session import Cursor, PostgresDatabase, one_row
from demo.retailcore.shop import Cart, Declined

_MOVE = (
    "INSERT INTO stock_movements (movement_ref, warehouse, product_id, kind, qty, moved_at)"
    " VALUES (%s, %s, %s, %s, %s, %s)"
)
_TOUCH = "updated_at = date_trunc('second', clock_timestamp())"


class PostgresOrders(PostgresDatabase):
    """OrdersDatabase over the store's tables."""

    def stocked(self, limit: int) -> list[tuple[int, int]]:
        rows = self._session.query("SELECT warehouse, product_id FROM stock ORDER BY product_id, warehouse")
        return [(row[0], row[1]) for row in spread(rows, limit)]

    def coupon_codes(self, limit: int) -> list[str]:
        return [row[0] for row in self._session.query("SELECT code FROM coupons ORDER BY code LIMIT %s", (limit,))]

    def order_numbers(self, limit: int) -> list[str]:
        return [
            row[0] for row in self._session.query('SELECT order_no FROM "order" ORDER BY id DESC LIMIT %s', (limit,))
        ]

    def checkout(self, cart: Cart) -> None:
        total = Decimal(cart.total_cents) / 100
        with self._session.transaction() as cursor:
            coupon = _use_coupon(cursor, cart.coupon_code)
            cursor.execute(
                'INSERT INTO "order" (order_no, user_id, status, items_count, total, paid, total_display, coupon_code,'
                " gift_message, note, placed_at, total_cents, source_system)"
                " VALUES (%s, %s, 'paid', %s, %s, %s, %s, %s, %s, 'à traiter – €', %s, %s, 'retailcore') RETURNING id",
                (cart.order_no, cart.user_id, len(cart.lines), total, total, float(total), coupon,
                 cart.gift_message, cart.placed_at, cart.total_cents),
            )  # fmt: skip
            (order_id,) = one_row(cursor, "order")
            for number, line in enumerate(cart.lines, start=1):
                price = Decimal(line.unit_price_cents) / 100
                cursor.execute(
                    "UPDATE stock SET on_hand = on_hand - %s"
                    " WHERE warehouse = %s AND product_id = %s AND on_hand >= %s",
                    (line.qty, line.warehouse, line.product_id, line.qty),
                )
                if cursor.rowcount == 0:
                    raise Declined("sold out")
                cursor.execute(
                    "INSERT INTO order_items (order_id, line_no, product_id, warehouse, qty, unit_price, line_total)"
                    " VALUES (%s, %s, %s, %s, %s, %s, %s)",
                    (order_id, number, line.product_id, line.warehouse, line.qty, price, price * line.qty),
                )
                cursor.execute(
                    _MOVE,
                    (f"{cart.order_no}-{number}", line.warehouse, line.product_id, "sale", -line.qty, cart.placed_at),
                )
            cursor.execute(
                "INSERT INTO payments (order_id, payment_ref, method, amount, paid_at) VALUES (%s, %s, %s, %s, %s)",
                (order_id, f"{cart.order_no}-pay", cart.method, total, cart.placed_at),
            )
            cursor.execute(
                'INSERT INTO audit_log (at, actor, action, entity, entity_id, "desc")'
                " VALUES (%s, 'shop', 'checkout', 'order', %s, 'payé – ok')",
                (cart.placed_at, order_id),
            )

    def cancel(self, order_no: str, at: datetime) -> None:
        with self._session.transaction() as cursor:
            order_id, paid = _open_order(cursor, order_no)
            if paid:
                _refund(cursor, order_id, f"{order_no}-cancel", paid, "cancelled", at)
            cursor.execute(
                "SELECT line_no, warehouse, product_id, qty FROM order_items WHERE order_id = %s"
                " ORDER BY product_id, warehouse",
                (order_id,),
            )
            for line, warehouse, product, qty in cursor.fetchall():
                cursor.execute(
                    "UPDATE stock SET on_hand = on_hand + %s WHERE warehouse = %s AND product_id = %s",
                    (qty, warehouse, product),
                )
                cursor.execute(_MOVE, (f"{order_no}-{line}-back", warehouse, product, "return", qty, at))
            cursor.execute(
                f"UPDATE \"order\" SET status = 'cancelled', cancelled = 1, paid = 0, {_TOUCH} WHERE id = %s".encode(),
                (order_id,),
            )

    def refund(self, order_no: str, refund_ref: str, reason: str, at: datetime) -> int:
        with self._session.transaction() as cursor:
            order_id, paid = _open_order(cursor, order_no)
            amount = Decimal(int(paid * 100) // 3) / 100
            if not amount:
                raise Declined("nothing to refund")
            _refund(cursor, order_id, refund_ref, amount, reason, at)
            cursor.execute(
                f"UPDATE \"order\" SET status = 'refunded', paid = paid - %s, {_TOUCH} WHERE id = %s".encode(),
                (amount, order_id),
            )
        return int(amount * 100)

    def ship(self, order_no: str, carrier: str, parcel_no: int, at: date) -> None:
        with self._session.transaction() as cursor:
            order_id, _ = _open_order(cursor, order_no)
            cursor.execute(
                "INSERT INTO shipments (carrier, parcel_no, order_id, weight_kg, transit, label)"
                " VALUES (%s, %s, %s, 1.1, '50:10:00', %s)",
                (carrier, parcel_no, order_id, parcel_no.to_bytes(16) + b"\0\0\0\0"),
            )
            cursor.execute(
                f"UPDATE \"order\" SET status = 'shipped', shipped_on = %s, {_TOUCH} WHERE id = %s".encode(),
                (at, order_id),
            )

    def restock(self, warehouse: int, product_id: int, qty: int, movement_ref: str, at: datetime) -> None:
        with self._session.transaction() as cursor:
            cursor.execute(
                "UPDATE stock SET on_hand = on_hand + %s, counted_on = %s WHERE warehouse = %s AND product_id = %s",
                (qty, at.date(), warehouse, product_id),
            )
            if cursor.rowcount == 0:
                cursor.execute(
                    "INSERT INTO stock (warehouse, product_id, on_hand) VALUES (%s, %s, %s)",
                    (warehouse, product_id, qty),
                )
            cursor.execute(_MOVE, (movement_ref, warehouse, product_id, "restock", qty, at))

    def add_coupon(self, code: str, percent: float) -> None:
        with self._session.transaction() as cursor:
            cursor.execute(
                "INSERT INTO coupons (code, percent_off, \"desc\") VALUES (%s, %s, 'für Sie – 5 €')", (code, percent)
            )

    def rename_coupon(self, code: str, new_code: str) -> None:
        with self._session.transaction() as cursor:
            cursor.execute("UPDATE coupons SET code = %s WHERE code = %s", (new_code, code))
            if cursor.rowcount == 0:
                raise Declined("no such coupon")

    def retire_coupon(self, code: str) -> None:
        with self._session.transaction() as cursor:
            cursor.execute("DELETE FROM coupons WHERE code = %s", (code,))
            if cursor.rowcount == 0:
                raise Declined("no such coupon")

    def annotate_orders(self, first_no: str, last_no: str, note: str) -> int:
        with self._session.transaction() as cursor:
            cursor.execute(
                f'UPDATE "order" SET note = %s, {_TOUCH} WHERE order_no BETWEEN %s AND %s'.encode(),
                (note, first_no, last_no),
            )
            return cursor.rowcount

    def log(self, at: datetime, actor: str, action: str, entity: str, entity_id: int, text: str) -> None:
        with self._session.transaction() as cursor:
            cursor.execute(
                'INSERT INTO audit_log (at, actor, action, entity, entity_id, "desc") VALUES (%s, %s, %s, %s, %s, %s)',
                (at, actor, action, entity, entity_id, text),
            )


def _use_coupon(cursor: Cursor, code: str | None) -> str | None:
    """Count the coupon, first of all: every transaction takes coupons before orders and stock. None when it is gone."""
    if code is None:
        return None
    cursor.execute("UPDATE coupons SET used = used + 1 WHERE code = %s", (code,))
    return code if cursor.rowcount else None


def _open_order(cursor: Cursor, order_no: str) -> tuple[int, Decimal]:
    """Lock an order that is not cancelled: id and what is paid."""
    cursor.execute('SELECT id, paid, cancelled FROM "order" WHERE order_no = %s FOR UPDATE', (order_no,))
    order_id, paid, cancelled = one_row(cursor, "order")
    if cancelled:
        raise Declined("cancelled")
    return int(order_id), Decimal(paid)


def _refund(cursor: Cursor, order_id: int, ref: str, amount: Decimal, reason: str, at: datetime) -> None:
    cursor.execute("SELECT id FROM payments WHERE order_id = %s ORDER BY id LIMIT 1", (order_id,))
    (payment,) = one_row(cursor, "payment")
    cursor.execute(
        "INSERT INTO refunds (payment_id, order_id, refund_ref, amount, reason, refunded_at)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        (payment, order_id, ref, amount, reason, at),
    )

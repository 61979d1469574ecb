"""Rows of the orders domain. Every figure that an invariant checks is summed up here while the rows are made."""

from __future__ import annotations

from random import Random

from demo.retailcore import words
from demo.retailcore.bulk import BulkLoader
from demo.retailcore.moments import Moments
from demo.retailcore.rows_catalog import money
from demo.retailcore.sizes import Sizes

COLUMNS = {
    "order": "id,order_no,user_id,status,items_count,total,paid,total_display,currency,coupon_code,tracking_hash,"
    "gift_message,note,`desc`,delivery_slot,cancelled,placed_at,shipped_on,updated_at",
    "order_items": "order_id,line_no,product_id,warehouse,qty,unit_price,line_total,tax_rate",
    "stock_movements": "id,movement_ref,warehouse,product_id,kind,qty,moved_at",
    "payments": "id,order_id,payment_ref,method,amount,card_hash,paid_at",
    "shipments": "carrier,parcel_no,order_id,weight_kg,transit,delivered,label",
    "refunds": "id,payment_id,order_id,refund_ref,amount,reason,refunded_at",
    "stock": "warehouse,product_id,initial_qty,on_hand,shelf,counted_on",
    "coupons": "code,percent_off,valid_until,used,`desc`",
    "audit_log": "at,actor,action,entity,entity_id,`desc`",
}
_NEVER = "'0000-00-00 00:00:00'"
_NO_DAY = "'0000-00-00'"
_METHODS = ("card", "card", "paypal", "invoice", "cash on delivery")
_STATUS = "SSSSSSPPNCR"
_TRANSITS = ("17:30:00", "49:05:10", "312:15:00", "00:45:00", "-01:30:00")
_SLOTS = ("NULL", "'-02:30:00'", "'04:15:00'", "NULL")
_CARRIERS = ("DHL", "UPS", "GLS", "Poste")


def load_orders(loader: BulkLoader, sizes: Sizes, random: Random, moments: Moments, prices: list[int]) -> None:
    """order, order_items, payments, refunds, shipments, stock, stock_movements and coupons."""
    orders, items, movements = loader.rows("order"), loader.rows("order_items"), loader.rows("stock_movements")
    payments, refunds, shipments = loader.rows("payments"), loader.rows("refunds"), loader.rows("shipments")
    choice, chance, bits = random.choice, random.random, random.getrandbits
    taken = [[0] * (sizes.products + 1) for _ in range(2)]
    coupon_used = [0] * sizes.coupons
    movement_id = payment_id = refund_id = 0
    for order in range(1, sizes.orders + 1):
        order_no = f"R{order:08d}"
        status = _STATUS[bits(20) % 11]
        moment = moments.datetime(bits(30))
        count = (1, 2, 3, 2)[order & 3]
        total = 0
        for line in range(1, count + 1):
            product = int(chance() * chance() * sizes.products) + 1
            warehouse = 2 if product % 2 == 0 and order % 3 == 0 else 1
            qty = bits(2) + 1
            price = prices[product]
            total += price * qty
            items.append(
                f"({order},{line},{product},{warehouse},{qty},{money(price)},{money(price * qty)},"
                f"{'0.07' if line == 2 else '0.19'})"
            )
            movement_id += 1
            movements.append(
                f"({movement_id},'{order_no}-{line}',{warehouse},{product},'sale',{-qty},"
                f"{moments.micros(order + line)})"
            )
            if status == "C":
                movement_id += 1
                movements.append(
                    f"({movement_id},'{order_no}-{line}-back',{warehouse},{product},'return',{qty},"
                    f"{moments.micros(order + line + 9)})"
                )
            else:
                taken[warehouse - 1][product] += qty
        paid = 0
        if status != "N":
            payment_id += 1
            paid = total
            card = str(bits(64) | 1 << 63) if payment_id % 3 else "NULL"
            payments.append(
                f"({payment_id},{order},'{order_no}-pay','{choice(_METHODS)}',{money(total)},{card},{moment})"
            )
            if status in "CR":
                refund_id += 1
                back = total if status == "C" else total // 3
                paid -= back
                refunds.append(
                    f"({refund_id},{payment_id},{order},'{order_no}-refund',{money(back)},"
                    f"'{choice(words.REASONS)}',{moment})"
                )
        if status == "S":
            shipments.append(
                f"('{_CARRIERS[order & 3]}',{bits(62) | 3 << 62 if order % 5 else order},{order},{chance() * 30:.2f},"
                f"'{_TRANSITS[order % 5]}',{order & 1},X'{bits(128):032x}00000000')"
            )
        coupon = "NULL"
        if order % 10 == 0:
            place = bits(20) % sizes.coupons
            coupon_used[place] += 1
            coupon = f"'SAVE-{place:05d}'"
        buyer = "NULL" if order % 25 == 0 else str(int(chance() * sizes.users) + 1)
        gift = f"'{choice(words.GIFTS)}'" if order % 6 == 0 else "NULL"
        tracking = str(bits(64) | 1 << 63) if order & 1 else "NULL"
        orders.append(
            f"({order},'{order_no}',{buyer},'{status}',{count},{money(total)},{money(paid)},{total / 100!r},'EUR',"
            f"{coupon},{tracking},{gift},'{choice(words.NOTES)}',NULL,{_SLOTS[order & 3]},"
            f"{1 if status == 'C' else 0},{moment},"
            f"{moments.date(order) if status == 'S' else _NO_DAY},{moments.datetime(bits(30))})"
        )
        if order % 16 == 0:
            loader.flush("order", "order_items", "stock_movements", "payments", "refunds", "shipments")
    _load_stock(loader, sizes, random, moments, taken)
    for place, used in enumerate(coupon_used):
        until = _NO_DAY if place % 3 == 0 else moments.date(place)
        loader.rows("coupons").append(f"('SAVE-{place:05d}',{place % 40 + 0.1},{until},{used},'{place} % für Sie')")


def load_audit_log(loader: BulkLoader, random: Random, moments: Moments, count: int) -> None:
    """Exactly `count` rows of the table without a key; many are equal to another one in every column."""
    rows, bits = loader.rows("audit_log"), random.getrandbits
    for number in range(count):
        draw = bits(24)
        at = _NEVER if draw % 40 == 0 else moments.datetime(draw % 512)
        rows.append(
            f"({at},'staff{draw % 7 + 1:04d}','{words.AUDIT_ACTIONS[draw % 6]}','order',{draw % 97},'à vérifier')"
        )
        if number % 64 == 0:
            loader.flush("audit_log")


def _load_stock(loader: BulkLoader, sizes: Sizes, random: Random, moments: Moments, taken: list[list[int]]) -> None:
    rows, bits = loader.rows("stock"), random.getrandbits
    for product in range(1, sizes.products + 1):
        for warehouse in (1, 2) if product % 2 == 0 else (1,):
            left = bits(9) + 50
            counted = _NO_DAY if product % 5 == 0 else moments.date(bits(20))
            rows.append(
                f"({warehouse},{product},{left + taken[warehouse - 1][product]},{left},'{bits(8):02X}-{warehouse}',"
                f"{counted})"
            )
        loader.flush("stock")

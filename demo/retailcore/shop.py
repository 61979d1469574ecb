"""What the shop asks of its databases: one protocol per domain, the values it passes and the errors it gets back.

Every write method is one transaction inside one domain, so each domain can be moved to another server on its own. The
methods speak of the shop, not of SQL: column names and status letters may differ between implementations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol


class ShopError(Exception):
    """A database did not do what the shop asked for."""


class Conflict(ShopError):
    """Rolled back by a deadlock, a lock wait or a serialisation failure: the same transaction may be tried again."""


class Unavailable(ShopError):
    """The connection is lost. Whether a commit under way went through is not known."""


class Refused(ShopError):
    """A write fence turned the transaction away; nothing changed."""


class Declined(ShopError):
    """The shop's own rules said no (sold out, already cancelled, still referenced); nothing changed."""


class AlreadyDone(ShopError):
    """A row with this transaction's token is already there; nothing changed."""


@dataclass(frozen=True, slots=True)
class CartLine:
    """One line of a checkout."""

    product_id: int
    warehouse: int
    qty: int
    unit_price_cents: int


@dataclass(frozen=True, slots=True)
class Cart:
    """A checkout; `order_no` is its token."""

    order_no: str
    user_id: int | None
    lines: tuple[CartLine, ...]
    method: str
    coupon_code: str | None
    gift_message: str | None
    placed_at: datetime

    @property
    def total_cents(self) -> int:
        """Sum of the lines."""
        return sum(line.qty * line.unit_price_cents for line in self.lines)


@dataclass(frozen=True, slots=True)
class NewUser:
    """A sign-up; `customer_no` is its token."""

    customer_no: str
    email: str
    first_name: str
    last_name: str
    nickname: str
    street: str
    city: str
    country: str
    gift_cents: int
    signed_up_at: datetime


@dataclass(frozen=True, slots=True)
class NewSession:
    """A visit; user_id is None for guests."""

    id: bytes
    user_id: int | None
    ip: bytes
    agent: str
    started_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class NewProduct:
    """A product with its price, tags and picture; `sku` is its token."""

    sku: str
    category_id: int
    brand_code: str | None
    name: str
    name_intl: str
    attributes: str
    price_cents: int
    tags: tuple[str, ...]
    image_id: bytes
    created_at: datetime


class Database(Protocol):
    """What all three have in common. One thread uses one object."""

    def close(self) -> None:
        """Give the connection back; the object may be used again and then connects anew."""

    def abort(self) -> None:
        """Called from another thread: make a call that hangs in the database fail soon with Unavailable."""


class CatalogDatabase(Database, Protocol):
    """The catalog domain. All methods raise ShopError."""

    def product_ids(self, limit: int) -> list[int]:
        """Ids of products, spread over the whole table."""

    def category_ids(self, limit: int) -> list[int]:
        """Ids of categories."""

    def brand_codes(self, limit: int) -> list[str]:
        """Codes of brands."""

    def prices(self, product_ids: Sequence[int]) -> dict[int, int]:
        """Current prices in cents by product; products that are gone are left out."""

    def add_product(self, product: NewProduct) -> int:
        """A new product with all that hangs on it; returns its id."""

    def delete_product(self, product_id: int) -> None:
        """Delete a product for good; prices, pictures, tags, reviews and specs go by cascade."""

    def mark_product(self, product_id: int, deleted_at: datetime | None) -> None:
        """Soft delete, or undo it with None."""

    def change_price(self, product_id: int, cents: int, valid_from: date) -> None:
        """Close the current price row, add one, and set the product's price."""

    def move_category(self, product_id: int, category_id: int) -> None:
        """Put a product under another category and keep both counters."""

    def swap_skus(self, first: int, second: int) -> None:
        """Exchange the unique codes of two products."""

    def edit_attributes(self, product_id: int, name: str, value: str) -> None:
        """Set one attribute inside the JSON document."""

    def rename_brand(self, code: str, new_code: str) -> None:
        """Change a brand's primary key; products follow by cascade."""

    def revise_specs(self, first: int, last: int) -> int:
        """Touch the wide rows of a range of products; returns how many."""

    def write_review(self, product_id: int, user_id: int | None, stars: int, body: str, at: datetime) -> None:
        """Add a review and keep the product's sums."""

    def forget_reviewer(self, user_id: int) -> int:
        """Take the author off all reviews of a user; returns how many."""


class IdentityDatabase(Database, Protocol):
    """The identity domain. All methods raise ShopError."""

    def user_ids(self, limit: int) -> list[int]:
        """Ids of users, spread over the whole table."""

    def staff_logins(self, limit: int) -> list[str]:
        """Logins of the back office."""

    def sign_up(self, user: NewUser) -> int:
        """A new user with address, wallet and welcome gift; returns the id."""

    def log_in(self, user_id: int, at: datetime) -> None:
        """Count a login."""

    def start_session(self, session: NewSession) -> None:
        """Begin a visit."""

    def view_page(self, session_id: bytes, path: str, product_id: int | None, at: datetime) -> None:
        """Add a page view and keep the session's counter."""

    def purge_sessions(self, before: datetime, limit: int) -> int:
        """Delete expired sessions, page views go by cascade; returns how many sessions."""

    def mark_user(self, user_id: int, deleted_at: datetime | None) -> None:
        """Soft delete, or undo it with None."""

    def delete_user(self, user_id: int) -> None:
        """Delete a user for good; addresses, sessions, page views and wallet go by cascade."""

    def swap_customer_numbers(self, first: int, second: int) -> None:
        """Exchange the unique customer numbers of two users."""

    def edit_preferences(self, user_id: int, name: str, value: str) -> None:
        """Set one entry inside the JSON document."""

    def credit_wallet(self, user_id: int, entry_ref: str, cents: int, reason: str, at: datetime) -> None:
        """Book onto a wallet; `entry_ref` is the token."""

    def set_newsletter(self, first: int, last: int, wanted: bool) -> int:
        """Set a flag over a range of users; returns how many."""

    def retire_staff(self, login: str, retired: bool) -> None:
        """Retire a member of staff or take him back."""


class OrdersDatabase(Database, Protocol):
    """The orders domain. All methods raise ShopError."""

    def stocked(self, limit: int) -> list[tuple[int, int]]:
        """(warehouse, product id) pairs, spread over the whole table."""

    def coupon_codes(self, limit: int) -> list[str]:
        """Codes of coupons."""

    def order_numbers(self, limit: int) -> list[str]:
        """The newest order numbers."""

    def checkout(self, cart: Cart) -> None:
        """Order, lines, payment, stock and stock movements. Declined when something is sold out."""

    def cancel(self, order_no: str, at: datetime) -> None:
        """Refund what is paid and take the goods back."""

    def refund(self, order_no: str, refund_ref: str, reason: str, at: datetime) -> int:
        """Give back a third of what is still paid; returns the cents. `refund_ref` is the token."""

    def ship(self, order_no: str, carrier: str, parcel_no: int, at: date) -> None:
        """Hand a parcel over."""

    def restock(self, warehouse: int, product_id: int, qty: int, movement_ref: str, at: datetime) -> None:
        """Goods come in; `movement_ref` is the token."""

    def add_coupon(self, code: str, percent: float) -> None:
        """A new coupon; `code` is the token."""

    def rename_coupon(self, code: str, new_code: str) -> None:
        """Change a coupon's primary key; orders follow by cascade."""

    def retire_coupon(self, code: str) -> None:
        """Delete a coupon; orders lose it by cascade."""

    def annotate_orders(self, first_no: str, last_no: str, note: str) -> int:
        """Write a note onto a range of orders; returns how many."""

    def log(self, at: datetime, actor: str, action: str, entity: str, entity_id: int, text: str) -> None:
        """A line for the audit log, which has no key."""


@dataclass(frozen=True, slots=True)
class Shop:
    """How to get at each domain's database; a thread calls each once and keeps what it gets."""

    catalog: Callable[[], CatalogDatabase]
    identity: Callable[[], IdentityDatabase]
    orders: Callable[[], OrdersDatabase]

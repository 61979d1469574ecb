"""What customers and staff do, as functions over a Till: each is one or a few transactions.

Every transaction stays inside one domain; a step in another domain is another transaction, with a token of its own. An
operation prepares all its values first, so that a retry repeats the same transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from demo.retailcore import words
from demo.retailcore.domains import Domain
from demo.retailcore.shop import Cart, CartLine, NewProduct, NewSession, NewUser
from demo.retailcore.till import Till


def browse(till: Till) -> None:
    """A page view in a running session, at times of a product."""
    session = till.population.sessions.pick(till.random)
    if session is None:
        return start_session(till)
    product = till.population.products.pick(till.random) if till.random.random() < 0.5 else None
    path, at = till.random.choice(words.PATHS), till.now()
    till.identity("view_page", lambda db: db.view_page(session, path, product, at))
    return None


def start_session(till: Till) -> None:
    """A visit begins; one in four is a guest's, one id in eight ends in zero bytes."""
    key = till.random.randbytes(16)
    if till.random.random() < 0.125:
        key = key[:13] + b"\0\0\0"
    now = till.now()
    user = till.population.users.pick(till.random) if till.random.random() < 0.75 else None
    session = NewSession(
        id=key,
        user_id=user,
        ip=till.random.randbytes(3) + b"\0",
        agent=till.random.choice(words.AGENTS),
        started_at=now,
        expires_at=now + timedelta(seconds=till.random.randint(2, 3_600)),
    )
    if till.identity("start_session", lambda db: db.start_session(session)):
        till.population.sessions.add(key, till.random)


def sign_up(till: Till) -> None:
    """A new customer with address, wallet and welcome gift."""
    number = till.token("N")
    user = NewUser(
        customer_no=number,
        email=f"{number.lower()}@example.net",
        first_name=till.random.choice(words.FIRST_NAMES),
        last_name=till.random.choice(words.LAST_NAMES),
        nickname=till.random.choice(words.NICKNAMES),
        street=till.random.choice(words.STREETS),
        city=till.random.choice(words.CITIES),
        country=till.random.choice(words.COUNTRIES),
        gift_cents=till.random.choice((0, 500, 1_000)),
        signed_up_at=till.now(),
    )
    made: list[int] = []
    if till.identity("sign_up", lambda db: made.append(db.sign_up(user)), token=number) and made:
        pool = till.population.new_users if till.random.random() < 0.5 else till.population.users
        pool.add(made[-1], till.random)


def log_in(till: Till) -> None:
    """Counts a login."""
    user, at = till.population.users.pick(till.random), till.now()
    if user is not None:
        till.identity("log_in", lambda db: db.log_in(user, at))


def purge_sessions(till: Till) -> None:
    """One statement that deletes many rows, and more by cascade."""
    before = till.now()
    till.identity("purge_sessions", lambda db: db.purge_sessions(before, 40))


def mark_user(till: Till) -> None:
    """A soft delete, or its undoing."""
    user = till.population.users.pick(till.random)
    at = till.now() if till.random.random() < 0.6 else None
    if user is not None:
        till.identity("mark_user", lambda db: db.mark_user(user, at))


def delete_user(till: Till) -> None:
    """Deletes a user for good: reviews are made nameless first, in the domain that has them."""
    user = till.population.new_users.take(till.random)
    if user is None:
        return
    if till.catalog("forget_reviewer", lambda db: db.forget_reviewer(user)):
        till.identity("delete_user", lambda db: db.delete_user(user))


def swap_customer_numbers(till: Till) -> None:
    """Two users exchange a unique value."""
    first, second = till.population.users.pick(till.random), till.population.users.pick(till.random)
    if first is not None and second is not None and first != second:
        till.identity("swap_customer_numbers", lambda db: db.swap_customer_numbers(first, second))


def edit_preferences(till: Till) -> None:
    """Changes a JSON document of a user."""
    user, value = till.population.users.pick(till.random), till.random.choice(words.NICKNAMES)
    if user is not None:
        till.identity("edit_preferences", lambda db: db.edit_preferences(user, "théme", value))


def credit_wallet(till: Till) -> None:
    """Goodwill, or a purchase from the wallet."""
    user, ref, at = till.population.users.pick(till.random), till.token("W"), till.now()
    cents = till.random.randint(-300, 900)
    reason = "purchase" if cents < 0 else "goodwill"
    if user is not None:
        till.identity("credit_wallet", lambda db: db.credit_wallet(user, ref, cents, reason, at), token=ref)


def set_newsletter(till: Till) -> None:
    """One statement over a range of users."""
    first = till.population.users.pick(till.random)
    wanted = till.random.random() < 0.5
    if first is not None:
        till.identity("set_newsletter", lambda db: db.set_newsletter(first, first + 30, wanted))


def retire_staff(till: Till) -> None:
    """Moves a row in or out of what the mapping's filter lets through."""
    login, retired = till.population.staff.pick(till.random), till.random.random() < 0.5
    if login is not None:
        till.identity("retire_staff", lambda db: db.retire_staff(login, retired))


def checkout(till: Till) -> None:
    """Prices are read from the catalog, then one transaction in orders."""
    picked = {till.population.stocked.pick(till.random) for _ in range(till.random.randint(1, 4))} - {None}
    lines = sorted((product, warehouse) for warehouse, product in (pair for pair in picked if pair is not None))
    prices = till.read(lambda shop: shop.catalog.prices([product for product, _ in lines])) if lines else None
    if not prices:
        return
    number = till.token("T")
    cart = Cart(
        order_no=number,
        user_id=till.population.users.pick(till.random) if till.random.random() < 0.9 else None,
        lines=tuple(
            CartLine(product, warehouse, till.random.randint(1, 3), prices[product])
            for product, warehouse in lines
            if product in prices
        ),
        method=till.random.choice(("card", "paypal", "invoice", "cash on delivery")),
        coupon_code=till.population.coupons.pick(till.random) if till.random.random() < 0.2 else None,
        gift_message=till.random.choice(words.GIFTS) if till.random.random() < 0.2 else None,
        placed_at=till.now(),
    )
    if till.orders("checkout", lambda db: db.checkout(cart), token=number):
        till.population.orders.add(number, till.random)


def cancel(till: Till) -> None:
    """Money and goods go back."""
    number, at = till.population.orders.take(till.random), till.now()
    if number is not None:
        till.orders("cancel", lambda db: db.cancel(number, at))


def refund(till: Till) -> None:
    """A partial refund; now and then a gift onto the wallet, in another domain, so another transaction."""
    number, ref, at = till.population.orders.pick(till.random), till.token("R"), till.now()
    reason = till.random.choice(words.REASONS)
    if number is None:
        return
    done = till.orders("refund", lambda db: db.refund(number, ref, reason, at), token=ref)
    if done and till.random.random() < 0.3:
        user = till.population.users.pick(till.random)
        if user is not None:
            till.identity("credit_wallet", lambda db: db.credit_wallet(user, ref, 250, "refund", at), token=ref)


def ship(till: Till) -> None:
    """A parcel leaves; most parcel numbers are above 2^63."""
    number, day = till.population.orders.pick(till.random), till.now().date()
    parcel = till.random.getrandbits(63) | 1 << 63
    if number is not None:
        till.orders("ship", lambda db: db.ship(number, "DHL", parcel, day))


def restock(till: Till) -> None:
    """Goods come in."""
    pair, ref, at = till.population.stocked.pick(till.random), till.token("G"), till.now()
    qty = till.random.randint(5, 60)
    if pair is not None:
        till.orders("restock", lambda db: db.restock(pair[0], pair[1], qty, ref, at), token=ref)


def rename_coupon(till: Till) -> None:
    """Changes a string primary key; orders follow by cascade."""
    code, new_code = till.population.coupons.take(till.random), till.token("C")
    if code is None:
        return
    done = till.orders("rename_coupon", lambda db: db.rename_coupon(code, new_code))
    till.population.coupons.add(new_code if done else code, till.random)


def replace_coupon(till: Till) -> None:
    """Deletes a coupon (orders lose it by cascade) and issues another."""
    code, new_code = till.population.coupons.take(till.random), till.token("C")
    if code is None:
        return
    till.orders("retire_coupon", lambda db: db.retire_coupon(code))
    if till.orders("add_coupon", lambda db: db.add_coupon(new_code, 7.1), token=new_code):
        till.population.coupons.add(new_code, till.random)


def annotate_orders(till: Till) -> None:
    """One statement over a range of orders."""
    number, note = till.population.orders.pick(till.random), till.random.choice(words.NOTES)
    if number is not None:
        last = number[:-1] + "9"
        till.orders("annotate_orders", lambda db: db.annotate_orders(number, last, note))


def log(till: Till) -> None:
    """A line in the table without a key; equal lines happen."""
    at, entity = till.now(), till.random.randint(1, 20)
    action = till.random.choice(words.AUDIT_ACTIONS)
    till.orders("log", lambda db: db.log(at, "cron", action, "order", entity, "à vérifier – ok"))


def change_price(till: Till) -> None:
    """A new price row and the product's own price."""
    product, cents, day = till.population.products.pick(till.random), till.random.randint(99, 49_999), till.now().date()
    if product is not None:
        till.catalog("change_price", lambda db: db.change_price(product, cents, day))


def move_category(till: Till) -> None:
    """A product goes elsewhere; two counters follow."""
    product, category = till.population.products.pick(till.random), till.population.categories.pick(till.random)
    if product is not None and category is not None:
        till.catalog("move_category", lambda db: db.move_category(product, category))


def swap_skus(till: Till) -> None:
    """Two products exchange a unique value."""
    first, second = till.population.products.pick(till.random), till.population.products.pick(till.random)
    if first is not None and second is not None and first != second:
        till.catalog("swap_skus", lambda db: db.swap_skus(first, second))


def edit_attributes(till: Till) -> None:
    """Changes a JSON document of a product."""
    product, value = till.population.products.pick(till.random), till.random.choice(words.INTERNATIONAL)
    if product is not None:
        till.catalog("edit_attributes", lambda db: db.edit_attributes(product, "label", value))


def add_product(till: Till) -> None:
    """A new product with all that hangs on it."""
    category = till.population.categories.pick(till.random)
    if category is None:
        return
    sku = till.token("P")
    product = NewProduct(
        sku=sku,
        category_id=category,
        brand_code=None,
        name=f"{till.random.choice(words.PRODUCT_WORDS)} {sku}",
        name_intl=till.random.choice(words.INTERNATIONAL),
        attributes=till.random.choice(words.JSON_TEXTS),
        price_cents=till.random.randint(99, 49_999),
        tags=tuple(till.random.sample(words.TAGS, 2)),
        image_id=till.random.randbytes(15) + b"\0",
        created_at=till.now(),
    )
    made: list[int] = []
    if till.catalog("add_product", lambda db: made.append(db.add_product(product)), token=sku) and made:
        till.population.new_products.add(made[-1], till.random)


def delete_product(till: Till) -> None:
    """Deletes a product for good, all that hangs on it goes by cascade."""
    product = till.population.new_products.take(till.random)
    if product is not None:
        till.catalog("delete_product", lambda db: db.delete_product(product))


def mark_product(till: Till) -> None:
    """A soft delete, or its undoing."""
    product = till.population.products.pick(till.random)
    at = till.now() if till.random.random() < 0.5 else None
    if product is not None:
        till.catalog("mark_product", lambda db: db.mark_product(product, at))


def rename_brand(till: Till) -> None:
    """Changes a string primary key; products follow by cascade."""
    code, new_code = till.population.brands.take(till.random), till.short_token("B")
    if code is None:
        return
    done = till.catalog("rename_brand", lambda db: db.rename_brand(code, new_code))
    till.population.brands.add(new_code if done else code, till.random)


def revise_specs(till: Till) -> None:
    """One statement over some of the very wide rows."""
    first = till.population.products.pick(till.random)
    if first is not None:
        till.catalog("revise_specs", lambda db: db.revise_specs(first, first + 40))


def write_review(till: Till) -> None:
    """An opinion, at times of one who signed up during this traffic."""
    population = till.population
    author = (population.new_users if till.random.random() < 0.3 else population.users).pick(till.random)
    product = (population.new_products if till.random.random() < 0.2 else population.products).pick(till.random)
    stars, at = till.random.randint(1, 5), till.now()
    body = till.random.choice(words.REVIEW_BODIES)
    if product is not None:
        till.catalog("write_review", lambda db: db.write_review(product, author, stars, body, at))


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation, the domain it mostly writes to, and how often it comes relative to the others."""

    domain: Domain
    weight: float
    run: Callable[[Till], None]


OPERATIONS: tuple[Operation, ...] = (
    Operation(Domain.IDENTITY, 26, browse),
    Operation(Domain.IDENTITY, 8, start_session),
    Operation(Domain.IDENTITY, 10, log_in),
    Operation(Domain.IDENTITY, 3, sign_up),
    Operation(Domain.IDENTITY, 2, credit_wallet),
    Operation(Domain.IDENTITY, 1, edit_preferences),
    Operation(Domain.IDENTITY, 0.8, delete_user),
    Operation(Domain.IDENTITY, 0.5, mark_user),
    Operation(Domain.IDENTITY, 0.5, swap_customer_numbers),
    Operation(Domain.IDENTITY, 0.5, purge_sessions),
    Operation(Domain.IDENTITY, 0.3, retire_staff),
    Operation(Domain.IDENTITY, 0.2, set_newsletter),
    Operation(Domain.ORDERS, 16, checkout),
    Operation(Domain.ORDERS, 4, restock),
    Operation(Domain.ORDERS, 4, ship),
    Operation(Domain.ORDERS, 2, log),
    Operation(Domain.ORDERS, 1.5, cancel),
    Operation(Domain.ORDERS, 1.5, refund),
    Operation(Domain.ORDERS, 0.4, rename_coupon),
    Operation(Domain.ORDERS, 0.3, annotate_orders),
    Operation(Domain.ORDERS, 0.2, replace_coupon),
    Operation(Domain.CATALOG, 4, change_price),
    Operation(Domain.CATALOG, 3, edit_attributes),
    Operation(Domain.CATALOG, 2.5, write_review),
    Operation(Domain.CATALOG, 1.5, move_category),
    Operation(Domain.CATALOG, 1.5, add_product),
    Operation(Domain.CATALOG, 1, swap_skus),
    Operation(Domain.CATALOG, 0.8, delete_product),
    Operation(Domain.CATALOG, 0.5, mark_product),
    Operation(Domain.CATALOG, 0.3, revise_specs),
    Operation(Domain.CATALOG, 0.2, rename_brand),
)

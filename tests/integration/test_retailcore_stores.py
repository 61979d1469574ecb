"""The shop's own statements on its stores: what applications run there after a cutover, on the tables that are made."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from demo.retailcore.domains import Domain
from demo.retailcore.mapping import SCHEMAS
from demo.retailcore.postgres_catalog import PostgresCatalog
from demo.retailcore.postgres_identity import PostgresIdentity
from demo.retailcore.shop import Declined, NewProduct, NewSession, NewUser
from tests.support.servers import SourceDatabase, StoreDatabase
from tests.support.shop import Shop, open_shop

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC).replace(tzinfo=None)


@pytest.fixture
def shop(source_db: SourceDatabase, new_store_db: Callable[[], StoreDatabase], tmp_path: Path) -> Shop:
    """Stores with empty tables."""
    shop = open_shop(source_db, {domain: new_store_db() for domain in Domain}, tmp_path, rows=2_000)
    shop.migration.ok("schema", "apply")
    return shop


def test_catalog_and_identity_work_on_their_stores(shop: Shop) -> None:
    for domain in Domain:
        planned = shop.migration.ok("-o", "json", "cutover", "plan", str(domain)).document()
        assert planned["problems"] == [] and planned["lossy"] == [], planned
    _catalog(PostgresCatalog(shop.stores[Domain.CATALOG].dsn, SCHEMAS[Domain.CATALOG]), shop.stores[Domain.CATALOG])
    _identity(
        PostgresIdentity(shop.stores[Domain.IDENTITY].dsn, SCHEMAS[Domain.IDENTITY]), shop.stores[Domain.IDENTITY]
    )


def _catalog(db: PostgresCatalog, store: StoreDatabase) -> None:
    store.execute(
        "INSERT INTO catalog.categories (slug, name, product_count) VALUES ('a', 'A', 0), ('b', 'B', 0)",
        "INSERT INTO catalog.brands (code, name) VALUES ('ACME', 'Acme')",
    )
    one, other = db.category_ids(10)
    assert db.brand_codes(10) == ["ACME"]
    made = [
        db.add_product(
            NewProduct(
                sku=f"S-{number}", category_id=one, brand_code="ACME", name="Ding", name_intl="Ting – 物",
                attributes='{"a": 1}', price_cents=1999, tags=("x", "y"), image_id=bytes([number]) * 16, created_at=NOW,
            )
        )
        for number in (1, 2)
    ]  # fmt: skip
    assert db.product_ids(10) == made and db.prices(made) == dict.fromkeys(made, 1999)
    db.change_price(made[0], 2500, NOW.date())
    db.move_category(made[0], other)
    db.swap_skus(*made)
    db.edit_attributes(made[0], "größe", "XL")
    db.rename_brand("ACME", "ACNE")
    db.write_review(made[0], 7, 5, "très bien", NOW)
    assert db.forget_reviewer(7) == 1 and db.revise_specs(made[0], made[1]) == 2
    db.mark_product(made[1], NOW)
    db.mark_product(made[1], None)
    db.delete_product(made[1])
    (first,) = store.rows("SELECT sku, price, price_version, attributes::jsonb->>'größe' FROM catalog.products")
    assert first == ("S-2", 25, 2, "XL")
    assert store.rows("SELECT product_count FROM catalog.categories ORDER BY id") == [(0,), (1,)]
    db.close()


def _identity(db: PostgresIdentity, store: StoreDatabase) -> None:
    users = [
        db.sign_up(
            NewUser(
                email=f"{number}@example.org", customer_no=f"C{number:015d}", first_name="Zoë", last_name="Ñ",
                nickname="物", street="Weg 1", city="Köln", country="DE", gift_cents=500, signed_up_at=NOW,
            )
        )
        for number in (1, 2)
    ]  # fmt: skip
    assert db.user_ids(10) == users
    db.log_in(users[0], NOW)
    session = b"\x01" * 16
    db.start_session(
        NewSession(id=session, user_id=users[0], ip=b"\x7f\0\0\1", agent="lynx", started_at=NOW,
                   expires_at=NOW + timedelta(hours=1))
    )  # fmt: skip
    db.view_page(session, "/", None, NOW)
    db.mark_user(users[0], NOW)
    db.mark_user(users[0], None)
    db.swap_customer_numbers(*users)
    db.edit_preferences(users[0], "théme", "dark")
    db.credit_wallet(users[0], "W-1", -100, "purchase", NOW)
    assert db.set_newsletter(users[0], users[1], True) == 2
    assert db.purge_sessions(NOW + timedelta(days=1), 10) == 1
    with pytest.raises(Declined):
        db.retire_staff("root", True)
    assert store.rows("SELECT display_name, newsletter, channels FROM identity.users ORDER BY id")[0] == (
        "Zoë Ñ", True, ["mail", "push"],
    )  # fmt: skip
    assert store.rows("SELECT balance_cents FROM identity.wallets ORDER BY user_id") == [(400,), (500,)]
    db.delete_user(users[1])
    db.close()

"""Rows of the catalog domain: categories, brands, products and what hangs on them."""

from __future__ import annotations

from random import Random

from demo.retailcore import words
from demo.retailcore.bulk import BulkLoader
from demo.retailcore.moments import Moments
from demo.retailcore.sizes import Sizes

COLUMNS = {
    "categories": "id,parent_id,slug,name,`desc`,`order`,visible,product_count,opened_on",
    "brands": "code,name,country,founded,homepage",
    "products": "id,sku,category_id,brand_code,name,name_intl,`desc`,attributes,price,price_version,list_price,"
    "weight_kg,ean,content_hash,condition_grade,active,kind,badges,model_year,review_count,stars_sum,discontinued_on,"
    "legacy_blob,deleted,deleted_at,created_at,updated_at",
    "product_prices": "product_id,`group`,version,amount,valid_from,valid_to",
    "product_images": "id,product_id,mime,width,height,thumbnail,alt_text",
    "product_tags": "product_id,tag",
    "reviews": "id,product_id,user_id,stars,title,body,written_at",
    "product_specs": "product_id,attr_int_01,attr_int_30,attr_str_01,attr_str_20,attr_str_40,attr_dec_01,attr_dec_20,"
    "attr_flag_02,attr_num_01,attr_date_01,revision",
}
_NEVER = "'0000-00-00 00:00:00'"
_NO_DAY = "'0000-00-00'"
_KINDS = ("simple", "simple", "simple", "bundle", "download", "gift card")
_BADGES = ("", "new", "sale,eco", "new,café", "last chance", "new,sale,eco,last chance,café")


def money(cents: int) -> str:
    """Cents as a DECIMAL(…,2) literal."""
    return f"{cents // 100}.{cents % 100:02d}"


def load_catalog(loader: BulkLoader, sizes: Sizes, random: Random, moments: Moments) -> list[int]:
    """All tables of the domain. Returns the retail price in cents by product id (index 0 is not used)."""
    bits = random.getrandbits
    for number in range(1, sizes.brands + 1):
        founded = ("NULL", "1901", "0", "2155", "1974")[number % 5]
        loader.rows("brands").append(
            f"('BR{number:04d}','{words.BRAND_NAMES[number % 10]} {number}','{words.COUNTRIES[number % 8]}',{founded},"
            f"'https://example.com/brands/{number}')"
        )
    prices = [0]
    in_category = [0] * (sizes.categories + 1)
    review_id = 0
    for product in range(1, sizes.products + 1):
        category = bits(20) % sizes.categories + 1
        in_category[category] += 1
        stars = [bits(8) % 5 + 1 for _ in range((0, 1, 3, 2, 0)[product % 5])]
        for star in stars:
            review_id += 1
            author = "NULL" if review_id % 6 == 0 else str(bits(30) % sizes.users + 1)
            loader.rows("reviews").append(
                f"({review_id},{product},{author},{star},'Café test',"
                f"'{random.choice(words.REVIEW_BODIES)}',{moments.datetime(bits(30))})"
            )
        versions = product % 3 + 1
        for version in range(1, versions + 1):
            cents = bits(15) + 99
            until = _NO_DAY if version == versions else moments.date(bits(20))
            loader.rows("product_prices").append(
                f"({product},'RETAIL',{version},{money(cents)},{moments.date(bits(20))},{until})"
            )
        prices.append(cents)
        if product % 4 == 0:
            loader.rows("product_prices").append(f"({product},'TRADE',1,{money(cents * 8 // 10)},{_NO_DAY},{_NO_DAY})")
        _append_product(loader, product, category, cents, versions, stars, sizes, random, moments)
        _append_attachments(loader, product, random, moments)
        loader.flush("reviews", "product_prices", "products", "product_images", "product_tags", "product_specs")
    for number in range(1, sizes.categories + 1):
        parent = "NULL" if number <= 5 else str(number // 3)
        opened = _NO_DAY if number % 4 == 0 else moments.date(bits(20))
        loader.rows("categories").append(
            f"({number},{parent},'category-{number}','{words.CATEGORY_NAMES[number % 10]} {number}',"
            f"'{words.DESCRIPTIONS[number % 6]}',{number % 50 - 10},{0 if number % 9 == 0 else 1},"
            f"{in_category[number]},{opened})"
        )
    return prices


def _append_product(
    loader: BulkLoader,
    product: int,
    category: int,
    cents: int,
    versions: int,
    stars: list[int],
    sizes: Sizes,
    random: Random,
    moments: Moments,
) -> None:
    choice, bits = random.choice, random.getrandbits
    deleted = product % 31 == 0
    brand = "NULL" if product % 10 == 0 else f"'BR{bits(20) % sizes.brands + 1:04d}'"
    intl = f"'{choice(words.INTERNATIONAL)}'" if product % 2 else "NULL"
    attributes = f"'{choice(words.JSON_TEXTS)}'" if product % 5 else "NULL"
    blob = f"X'{bits(96):024x}0000'" if product % 12 == 0 else "NULL"
    gone = moments.date(bits(20)) if product % 17 == 0 else _NO_DAY
    loader.rows("products").append(
        f"({product},'SKU-{product:07d}',{category},{brand},'{choice(words.PRODUCT_WORDS)} {product}',{intl},"
        f"'{choice(words.DESCRIPTIONS)}',{attributes},{money(cents)},{versions},{cents * 1.19 / 100!r},"
        f"{bits(16) / 1000 + 0.001:.3f},{'NULL' if product % 8 == 0 else 4_000_000_000_000 + product * 7},"
        f"{bits(64) | (product & 1) << 63},{product % 4 + 2},{0 if product % 14 == 0 else 1},"
        f"'{_KINDS[product % 6]}','{_BADGES[product % 6]}',{'NULL' if product % 3 else 2000 + product % 26},"
        f"{len(stars)},{sum(stars)},{gone},{blob},{1 if deleted else 0},"
        f"{moments.datetime(bits(30)) if deleted else _NEVER},{moments.datetime(bits(30))},"
        f"{moments.datetime(bits(30))})"
    )


def _append_attachments(loader: BulkLoader, product: int, random: Random, moments: Moments) -> None:
    choice, bits = random.choice, random.getrandbits
    for place in range(product % 3):
        loader.rows("product_tags").append(f"({product},'{words.TAGS[(product + place * 3) % 10]}')")
    if product % 2:
        key = f"{bits(120):030x}00" if product % 4 == 1 else f"{bits(128):032x}"
        loader.rows("product_images").append(
            f"(X'{key}',{product},'image/png',{bits(10)},{bits(10)},X'89504e47{bits(256):064x}00',"
            f"'{choice(words.INTERNATIONAL)}')"
        )
    if product % 3 == 0:
        day = _NO_DAY if product % 2 else moments.date(bits(20))
        loader.rows("product_specs").append(
            f"({product},{bits(31) - 2**30},{bits(8)},'{choice(words.COUNTRIES)}','größe {product % 9}','€',"
            f"{bits(12)}.125,-0.5,{product & 1},{random.random()!r},{day},0)"
        )

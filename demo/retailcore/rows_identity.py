"""Rows of the identity domain: customers and what hangs on them, staff, sessions and page views."""

from __future__ import annotations

from random import Random

from demo.retailcore import words
from demo.retailcore.bulk import BulkLoader
from demo.retailcore.moments import Moments
from demo.retailcore.sizes import Sizes

COLUMNS = {
    "group": "code,`desc`,rebate,`order`",
    "users": "id,email,customer_no,first_name,last_name,nickname,password_hash,`group`,referrer_id,status,gender,"
    "birth_date,member_since,newsletter,consents,channels,logins,last_login,fingerprint,preferences,tmp_import_flag,"
    "deleted,deleted_at,created_at,updated_at",
    "user": "login,`group`,full_name,level,retired,`desc`,last_seen",
    "user_outlet": "login,`group`,full_name,level,retired,`desc`,last_seen",
    "addresses": "id,user_id,kind,is_default,street,zip,city,country,latitude,longitude",
    "sessions": "id,user_id,ip,agent,views,data,duration,started_at,expires_at",
    "page_views": "id,session_id,path,product_id,millis,viewed_at",
    "wallets": "user_id,balance_cents,currency,updated_at",
    "wallet_entries": "user_id,entry_ref,amount_cents,reason,booked_at",
}
_NEVER = "'0000-00-00 00:00:00'"
_CHANNELS = ("", "mail", "mail,sms", "push,post", "mail,sms,push,post", "sms")
_GENDERS = ("", "f", "m", "x")
_KINDS = ("billing", "shipping", "pick up")
_ENTRY_REASONS = ("gift", "refund", "goodwill")
_DURATIONS = ("00:07:13", "01:00:00", "23:59:59", "26:10:00", "312:45:30", "838:59:59", "00:00:00")


def load_groups_and_staff(loader: BulkLoader, sizes: Sizes, random: Random) -> None:
    """The small tables: `group`, `user` and `user_outlet`, which share some logins."""
    groups = loader.rows("group")
    for place, (code, text) in enumerate(words.GROUPS):
        groups.append(f"('{code}','{text}',{place * 2.5 + 0.1},{place})")
    staff, outlet = loader.rows("user"), loader.rows("user_outlet")
    for number in range(1, sizes.staff + 1):
        retired = 1 if number % 7 == 0 else 0
        seen = _NEVER if number % 5 == 0 else f"'2025-1{number % 3}-0{number % 9 + 1} 08:0{number % 10}:00'"
        name = f"{random.choice(words.FIRST_NAMES)} {random.choice(words.LAST_NAMES)}"
        staff.append(f"('staff{number:04d}','clerk','{name}',{number % 4 + 2},{retired},NULL,{seen})")
        if number % 4 == 0:
            outlet.append(f"('staff{number:04d}','outlet','{name}',2,{number // 4 % 2},NULL,{seen})")


def load_users(loader: BulkLoader, sizes: Sizes, random: Random, moments: Moments) -> None:
    """users, addresses, wallets and wallet_entries; a wallet's balance is the sum of its entries."""
    users, addresses = loader.rows("users"), loader.rows("addresses")
    wallets, entries = loader.rows("wallets"), loader.rows("wallet_entries")
    choice, chance, bits = random.choice, random.random, random.getrandbits
    address_id = 0
    for user in range(1, sizes.users + 1):
        born = "0000-00-00" if user % 6 == 0 else f"{1940 + user % 65}-{user % 12 + 1:02d}-{user % 28 + 1:02d}"
        deleted = user % 23 == 0
        last_login = _NEVER if user % 9 == 0 else moments.datetime(bits(30))
        created = moments.datetime(bits(30))
        nickname = f"'{choice(words.NICKNAMES)}'" if user % 3 == 0 else "NULL"
        password = f"X'{bits(248):062x}00'" if user % 4 else "NULL"
        referrer = str(int(chance() * (user - 1)) + 1) if user > 1 and user % 8 == 0 else "NULL"
        year = (0, 1901, 2155, 2016)[user % 4] if user % 5 == 0 else 2012 + user % 14
        member = "NULL" if user % 11 == 0 else str(year)
        fingerprint = str(bits(64) | 1 << 63) if user % 2 else "NULL"
        preferences = f"'{choice(words.JSON_TEXTS)}'" if user % 4 == 0 else "NULL"
        users.append(
            f"({user},'customer{user}@example.org','K{user:010d}','{choice(words.FIRST_NAMES)}',"
            f"'{choice(words.LAST_NAMES)}',{nickname},{password},'{choice(words.GROUPS)[0]}',{referrer},"
            f"'{'AAAALX'[user % 6]}','{_GENDERS[user & 3]}','{born}',{member},{user & 1},{bits(10)},"
            f"'{choice(_CHANNELS)}',{bits(8)},{last_login},{fingerprint},{preferences},"
            f"{'1' if user % 13 == 0 else 'NULL'},{1 if deleted else 0},"
            f"{moments.datetime(bits(30)) if deleted else _NEVER},{created},{moments.datetime(bits(30))})"
        )
        for place in range(1 + (user % 5 == 0)):
            address_id += 1
            addresses.append(
                f"({address_id},{user},'{choice(_KINDS)}',{1 - place},'{choice(words.STREETS)} {user % 200}',"
                f"'{bits(16):05d}','{choice(words.CITIES)}','{choice(words.COUNTRIES)}',"
                f"{chance() * 180 - 90:.5f},{chance() * 360 - 180:.5f})"
            )
        balance = 0
        for entry in range((0, 1, 0, 2, 1)[user % 5]):
            amount = bits(13) + 1
            balance += amount
            entries.append(
                f"({user},'seed-{user}-{entry}',{amount},'{_ENTRY_REASONS[amount % 3]}',{moments.micros(bits(30))})"
            )
        wallets.append(f"({user},{balance},'EUR',{moments.datetime(bits(30))})")
        loader.flush("users", "addresses", "wallets", "wallet_entries")


def load_sessions(loader: BulkLoader, sizes: Sizes, random: Random, moments: Moments) -> None:
    """sessions (one id in eight ends in zero bytes) and page_views; sessions.views counts the latter."""
    sessions, views = loader.rows("sessions"), loader.rows("page_views")
    choice, chance, bits = random.choice, random.random, random.getrandbits
    view_id = 0
    for number in range(sizes.sessions):
        key = f"{bits(112):028x}0000" if number % 8 == 0 else f"{bits(128):032x}"
        count = number % 7
        user = str(int(chance() * sizes.users) + 1) if number % 3 else "NULL"
        data = f"'{choice(words.JSON_TEXTS)}'" if number % 4 == 0 else "NULL"
        address = f"X'{bits(24):06x}00'" if number % 5 else f"X'20010db8{bits(96):024x}'"
        sessions.append(
            f"(X'{key}',{user},{address},'{choice(words.AGENTS)}',{count},{data},'{_DURATIONS[number % 7]}',"
            f"{moments.datetime(bits(30))},{moments.datetime(bits(30))})"
        )
        for _ in range(count):
            view_id += 1
            draw = bits(30)
            product = str(draw % sizes.products + 1) if draw & 1 else "NULL"
            views.append(
                f"({view_id},X'{key}','{words.PATHS[draw % 7]}',{product},{draw & 4095},{moments.datetime(draw)})"
            )
        loader.flush("sessions", "page_views")

"""The identity domain in its store: the same transactions as on MySQL, on the tables that the mapping makes."""

from __future__ import annotations

import hashlib
from datetime import datetime

from demo.retailcore.mysql_session import spread, with_entry
from demo.retailcore.postgres_session import PostgresDatabase, one_row
from demo.retailcore.shop import Declined, NewSession, NewUser

_NEVER = "-infinity"
_TOUCH = "updated_at = date_trunc('second', clock_timestamp())"


class PostgresIdentity(PostgresDatabase):
    """IdentityDatabase over the store's tables."""

    def user_ids(self, limit: int) -> list[int]:
        rows = self._session.query("SELECT id FROM users WHERE deleted = 0 ORDER BY id")
        return [row[0] for row in spread(rows, limit)]

    def staff_logins(self, limit: int) -> list[str]:
        return [row[0] for row in self._session.query("SELECT login FROM staff ORDER BY login LIMIT %s", (limit,))]

    def sign_up(self, user: NewUser) -> int:
        digest = hashlib.sha256(user.email.encode()).digest()
        with self._session.transaction() as cursor:
            cursor.execute(
                "INSERT INTO users (email, customer_no, first_name, last_name, nickname, member_since,"
                " channels, fingerprint, created_at, display_name)"
                " VALUES (%s, %s, %s, %s, %s, %s, '{mail,push}', %s, %s, %s) RETURNING id",
                (user.email, user.customer_no, user.first_name, user.last_name, user.nickname,
                 user.signed_up_at.year, int.from_bytes(digest[:8]), user.signed_up_at,
                 f"{user.first_name} {user.last_name}"),
            )  # fmt: skip
            (user_id,) = one_row(cursor, "user")
            cursor.execute(
                "INSERT INTO credentials (id, password_hash) VALUES (%s, %s)", (user_id, digest[:31] + b"\0")
            )
            cursor.execute(
                "INSERT INTO addresses (user_id, kind, is_default, street, city, country)"
                " VALUES (%s, 'billing', 1, %s, %s, %s)",
                (user_id, user.street, user.city, user.country),
            )
            cursor.execute("INSERT INTO wallets (user_id, balance_cents) VALUES (%s, %s)", (user_id, user.gift_cents))
            cursor.execute(
                "INSERT INTO wallet_entries (user_id, entry_ref, amount_cents, reason, booked_at)"
                " VALUES (%s, 'welcome', %s, 'gift', %s)",
                (user_id, user.gift_cents, user.signed_up_at),
            )
        return int(user_id)

    def log_in(self, user_id: int, at: datetime) -> None:
        with self._session.transaction() as cursor:
            cursor.execute(
                f"UPDATE users SET logins = logins + 1, last_login = %s, {_TOUCH} WHERE id = %s".encode(), (at, user_id)
            )
            if cursor.rowcount == 0:
                raise Declined("no such user")

    def start_session(self, session: NewSession) -> None:
        with self._session.transaction() as cursor:
            cursor.execute(
                "INSERT INTO sessions (id, user_id, ip, agent, started_at, expires_at) VALUES (%s, %s, %s, %s, %s, %s)",
                (session.id, session.user_id, session.ip, session.agent, session.started_at, session.expires_at),
            )

    def view_page(self, session_id: bytes, path: str, product_id: int | None, at: datetime) -> None:
        with self._session.transaction() as cursor:
            cursor.execute(
                "UPDATE sessions SET views = views + 1, duration = duration + interval '45 minutes' WHERE id = %s",
                (session_id,),
            )
            if cursor.rowcount == 0:
                raise Declined("no such session")
            cursor.execute(
                "INSERT INTO page_views (session_id, path, product_id, millis, viewed_at) VALUES (%s, %s, %s, 12, %s)",
                (session_id, path, product_id, at),
            )

    def purge_sessions(self, before: datetime, limit: int) -> int:
        with self._session.transaction() as cursor:
            cursor.execute(
                "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires_at < %s"
                " ORDER BY expires_at, id LIMIT %s FOR UPDATE)",
                (before, limit),
            )
            return cursor.rowcount

    def mark_user(self, user_id: int, deleted_at: datetime | None) -> None:
        with self._session.transaction() as cursor:
            cursor.execute(
                f"UPDATE users SET deleted = %s, deleted_at = %s, status = %s, {_TOUCH} WHERE id = %s".encode(),
                (0 if deleted_at is None else 1, deleted_at or _NEVER, "A" if deleted_at is None else "X", user_id),
            )

    def delete_user(self, user_id: int) -> None:
        with self._session.transaction() as cursor:
            for table in ("credentials", "users"):
                cursor.execute(f"DELETE FROM {table} WHERE id = %s".encode(), (user_id,))
            if cursor.rowcount == 0:
                raise Declined("no such user")

    def swap_customer_numbers(self, first: int, second: int) -> None:
        with self._session.transaction() as cursor:
            cursor.execute(
                "SELECT id, customer_no FROM users WHERE id IN (%s, %s) ORDER BY id FOR UPDATE", (first, second)
            )
            rows = cursor.fetchall()
            if len(rows) != 2:
                raise Declined("no such user")
            (one, one_number), (other, other_number) = rows
            for number, user in ((f"~{one_number[1:]}", one), (one_number, other), (other_number, one)):
                cursor.execute(f"UPDATE users SET customer_no = %s, {_TOUCH} WHERE id = %s".encode(), (number, user))

    def edit_preferences(self, user_id: int, name: str, value: str) -> None:
        with self._session.transaction() as cursor:
            cursor.execute("SELECT preferences::text FROM users WHERE id = %s FOR UPDATE", (user_id,))
            (document,) = one_row(cursor, "user")
            cursor.execute(
                f"UPDATE users SET preferences = %s, {_TOUCH} WHERE id = %s".encode(),
                (with_entry(document, name, value), user_id),
            )

    def credit_wallet(self, user_id: int, entry_ref: str, cents: int, reason: str, at: datetime) -> None:
        with self._session.transaction() as cursor:
            cursor.execute(
                f"UPDATE wallets SET balance_cents = balance_cents + %s, {_TOUCH} WHERE user_id = %s".encode(),
                (cents, user_id),
            )
            if cursor.rowcount == 0:
                raise Declined("no such wallet")
            cursor.execute(
                "INSERT INTO wallet_entries (user_id, entry_ref, amount_cents, reason, booked_at)"
                " VALUES (%s, %s, %s, %s, %s)",
                (user_id, entry_ref, cents, reason, at),
            )

    def set_newsletter(self, first: int, last: int, wanted: bool) -> int:
        with self._session.transaction() as cursor:
            cursor.execute(
                f"UPDATE users SET newsletter = %s, {_TOUCH} WHERE id BETWEEN %s AND %s".encode(), (wanted, first, last)
            )
            return cursor.rowcount

    def retire_staff(self, login: str, retired: bool) -> None:
        """Declined: the store holds only who works here, and who was left behind is not there to come back."""
        raise Declined("who leaves is retired in the personnel system since the move")

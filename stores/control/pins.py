"""Which servers a domain was prepared on: their identities, so that a server that took another's place is noticed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from psycopg.types.json import Jsonb

from stores.postgres import PostgresConnection


@dataclass(frozen=True, slots=True)
class Pin:
    """`identities`: "source" or "store NAME" → server_uuid or system_identifier."""

    domain: str
    identities: Mapping[str, str]


def read(connection: PostgresConnection, name: str, domain: str) -> Pin | None:
    """The pin of a domain, None before it was prepared."""
    row = connection.execute(
        "SELECT domain, identities FROM crossfade.domain_pin WHERE name = %s AND domain = %s", (name, domain)
    ).fetchone()
    return Pin(*row) if row else None


def put(connection: PostgresConnection, name: str, pin: Pin) -> None:
    """Enter or replace the pin. In the transaction that has called `domains.hold_daemon`."""
    connection.execute(
        "INSERT INTO crossfade.domain_pin (name, domain, identities) VALUES (%s, %s, %s) "
        "ON CONFLICT (name, domain) DO UPDATE SET identities = excluded.identities",
        (name, pin.domain, Jsonb(dict(pin.identities))),
    )


def drop(connection: PostgresConnection, name: str, domain: str) -> None:
    """Forget the pin."""
    connection.execute("DELETE FROM crossfade.domain_pin WHERE name = %s AND domain = %s", (name, domain))

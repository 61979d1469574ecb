"""The configuration that takes RetailCore apart: three stores, three domains, and one transform of every kind.

Secrets are never in the text: it refers to environment variables, and `environment` names their values.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from demo.retailcore.domains import TABLES, Domain

SCHEMAS: dict[Domain, str] = {domain: str(domain) for domain in Domain}
"""The PostgreSQL schema of each store."""

SOURCE_PASSWORD = "RETAILCORE_SOURCE_PASSWORD"
MASK_KEY = "RETAILCORE_MASK_KEY"
_STORE_DSN = "RETAILCORE_{}_DSN"

_RULES: dict[str, str] = {
    "user": """
    table: staff                      # two tables become one: the shop tells whose row it is
    add: {shop: {value: main}}
    key: [shop, login]
    delete_when: "retired = 1"        # marked in the source, deleted here, back when they come back
    to:
      - rename: {desc: description, group: team}
      - table: approvers              # who may approve, for auditors who need no names
        only: [login, full_name, level]
        mask: {full_name: last4}
        where: "level >= 3"
""",
    "user_outlet": """
    table: staff
    add: {shop: {value: outlet}}
    key: [shop, login]
    delete_when: "retired = 1"
    rename: {desc: description, group: team}
""",
    "users": """
    to:                               # one table becomes two
      - exclude: [tmp_import_flag, password_hash]   # the flag is left over since 2016
        types: {newsletter: boolean}  # a tinyint(1) that is a flag
        expr:
          display_name: {sql: "CONCAT(first_name, ' ', last_name)", type: text}
      - table: credentials            # what few may read, apart
        only: [id, password_hash]
""",
    "addresses": """
    rename: {zip: postal_code}
""",
    "categories": """
    rename: {desc: description, order: position}
""",
    "products": """
    exclude: [legacy_blob]
    rename: {desc: description}
    types: {active: boolean}          # condition_grade is a tinyint(1) too, but a number
""",
    "order": """
    types: {status: text}
    map:
      status: {N: new, P: paid, S: shipped, C: cancelled, R: refunded}
    add:
      source_system: {value: retailcore, type: text}
    expr:
      total_cents: {sql: "CAST(total * 100 AS SIGNED)", type: bigint}
""",
}


_READ_MODELS = """
read_models:
  buyers:                             # what each customer has bought, kept up to date with every order
    store: orders
    sql: |
      SELECT o.user_id, count(*) AS orders, sum(o.total_cents) AS total_cents,
             count(*) FILTER (WHERE o.status = 'cancelled') AS cancelled, max(o.id) AS last_order
      FROM "order" AS o WHERE o.user_id IS NOT NULL GROUP BY o.user_id
    key: [user_id]
    from: {order: user_id}
"""


def store_variable(domain: Domain) -> str:
    """The environment variable with the DSN of a domain's store."""
    return _STORE_DSN.format(domain.name)


def environment(source_password: str, store_dsns: Mapping[Domain, str]) -> dict[str, str]:
    """The environment that the configuration needs: the only place where its secrets are."""
    secrets = {SOURCE_PASSWORD: source_password, MASK_KEY: _mask_key(source_password)}
    return secrets | {store_variable(domain): dsn for domain, dsn in store_dsns.items()}


def _mask_key(source_password: str) -> str:
    """A key of the shop's own that stays the same; a real shop has one made by chance in a file."""
    return hashlib.sha256(f"RetailCore masks, {source_password}".encode()).hexdigest()


def config_text(
    *,
    engine: str,
    host: str,
    port: int,
    user: str,
    database: str,
    directory: Path,
) -> str:
    """The YAML. `engine` is mysql or mariadb; relay and reports go below `directory`."""
    parts = [
        f"""# RetailCore, taken apart into three stores.
version: 1
name: retailcore

source:
  engine: {engine}
  host: "{host}"
  port: {port}
  user: "{user}"
  password: "${{env:{SOURCE_PASSWORD}}}"
  databases: [{database}]

stores:
""",
        *(
            f'  {domain}: {{dsn: "${{env:{store_variable(domain)}}}", schema: {SCHEMAS[domain]}}}\n'
            for domain in Domain
        ),
        f"""
relay: {{directory: "{directory / "relay"}"}}
report: {{directory: "{directory / "reports"}"}}
""",
        """
defaults:
  zero_dates: infinity                # 0000-00-00 becomes -infinity: fits NOT NULL, and can go back
""",
        f'  mask_key: "${{env:{MASK_KEY}}}"   # one key: masked values of several stores can be joined\n',
        _READ_MODELS,
        "\ndomains:\n",
        *(f"  {domain}:\n    stores: [{domain}]\n    tables: [{', '.join(TABLES[domain])}]\n" for domain in Domain),
        "\ntables:\n",
        *(_rule(table, domain) for domain in Domain for table in TABLES[domain]),
    ]
    return "".join(parts)


def _rule(table: str, domain: Domain) -> str:
    rule = _RULES.get(table)
    if rule is None:
        return f"  {table}: {{store: {domain}}}\n"
    return f"  {table}:\n    store: {domain}\n{rule.removeprefix(chr(10))}"

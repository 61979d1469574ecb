"""The configuration that takes RetailCore apart: three stores, three domains, and one transform of every kind.

Secrets are never in the text: it refers to environment variables, and `environment` names their values.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from demo.retailcore.domains import TABLES, Domain

SCHEMAS: dict[Domain, str] = {domain: str(domain) for domain in Domain}
"""The PostgreSQL schema of each store."""

SOURCE_PASSWORD = "RETAILCORE_SOURCE_PASSWORD"
_STORE_DSN = "RETAILCORE_{}_DSN"

_RULES: dict[str, str] = {
    "user": """
    table: staff                      # another name in the store
    where: "retired = 0"              # only who still works here; rows move in and out
    rename: {desc: description, group: team}
""",
    "users": """
    exclude: [tmp_import_flag]        # left over since 2016
    types: {newsletter: boolean}      # a tinyint(1) that is a flag
    expr:
      display_name: {sql: "CONCAT(first_name, ' ', last_name)", type: text}
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


def store_variable(domain: Domain) -> str:
    """The environment variable with the DSN of a domain's store."""
    return _STORE_DSN.format(domain.name)


def environment(source_password: str, store_dsns: Mapping[Domain, str]) -> dict[str, str]:
    """The environment that the configuration needs: the only place where its secrets are."""
    return {SOURCE_PASSWORD: source_password} | {store_variable(domain): dsn for domain, dsn in store_dsns.items()}


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

domains:
""",
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

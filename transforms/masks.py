"""Masks: what a store gets in place of personal data. All but `hmac` are expressions that the source can compute too.

The HMAC (RFC 2104, with SHA-256) is computed here only: its key never goes into a statement, where logs would keep it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac

from pydantic import SecretStr

from config.reshaping import Mask
from model.errors import ConfigError
from model.rows import Field, Row
from model.tables import ColumnDef, TableDef
from transforms.expressions import Expression, compile_expression
from transforms.names import quoted_mysql
from transforms.plan import CompiledExpression
from transforms.source_types import family

DIGEST_LENGTH = 64
"""Hexadecimal digits of an HMAC."""
ONE_WAY = "masked on purpose; the source keeps its value"
_DEFAULT_TYPES = {Mask.HMAC: "text", Mask.LAST4: "text", Mask.YEAR: "smallint"}
_FINGERPRINT = b"crossfade: which key"


def default_type(mask: Mask) -> str:
    """The PostgreSQL type of masked values unless `types` says otherwise."""
    return _DEFAULT_TYPES[mask]


def compile_mask(mask: Mask, column: ColumnDef, table: TableDef, key: SecretStr | None, store: str) -> Expression:
    """The computation of `hmac`, `last4` or `year` of a column. Raises ConfigError."""
    if mask is Mask.HMAC:
        return _hmac(column, table.index_of(column.name), key, store)
    name = quoted_mysql(column.name)
    kind = family(column)
    if mask is Mask.YEAR:
        if kind not in ("date", "datetime", "timestamp"):
            raise ConfigError(
                f"the mask year needs a date, and the column is {column.column_type}",
                hint="Use hmac, last4 or null.",
                column=column.name,
            )
        return _named("masked: its year", compile_expression(f"YEAR({name})", table))
    if kind not in ("text", "enum", "integer", "decimal"):
        raise ConfigError(
            f"the mask last4 needs text or a number, and the column is {column.column_type}",
            hint="Use hmac or null.",
            column=column.name,
        )
    text = f"CAST({name} AS CHAR)"
    found = compile_expression(
        f"CASE WHEN {name} IS NULL THEN NULL WHEN CHAR_LENGTH({text}) > 4 THEN CONCAT('****', RIGHT({text}, 4))"
        " ELSE '****' END",
        table,
    )
    return _named("masked: **** and its last 4 characters", found)


def nothing(column: ColumnDef, table: TableDef) -> CompiledExpression:
    """NULL in place of every value."""
    return CompiledExpression(
        "masked: always NULL", lambda row: None, "NULL", "NULL", columns=(table.index_of(column.name),)
    )


def _named(text: str, expression: Expression) -> Expression:
    """The expression under a name that says what it does."""
    return Expression(dataclasses.replace(expression.compiled, text=text), expression.result)


def _hmac(column: ColumnDef, ordinal: int, key: SecretStr | None, store: str) -> Expression:
    if key is None:
        raise ConfigError(
            f"the mask hmac needs a key, and the store {store} has none",
            hint=f'Add defaults.mask_key, or stores.{store}.mask_key: "${{file:crossfade.secrets/mask_key}}" '
            "(16 characters or more; openssl rand -hex 32 makes one).",
            column=column.name,
        )
    keyed = hmac.new(key.get_secret_value().encode(), digestmod=hashlib.sha256)

    def digest(value: bytes) -> bytes:
        one = keyed.copy()
        one.update(value)
        return one.hexdigest().encode()

    def evaluate(row: Row) -> Field:
        value = row[ordinal]
        return digest(value) if isinstance(value, bytes) else None

    compiled = CompiledExpression(
        f"masked: HMAC-SHA256, key {digest(_FINGERPRINT)[:8].decode()}",
        evaluate,
        mysql="",
        postgres="",
        columns=(ordinal,),
        unpushable="the key of the mask does not leave crossfade",
    )
    return Expression(compiled, ColumnDef("result", "char", "char(64)", length=64, charset="ascii"))

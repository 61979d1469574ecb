"""A fingerprint of what a plan does to rows, so that a verdict says for which mapping it holds. No I/O."""

from __future__ import annotations

import hashlib
import json

from transforms.plan import ColumnPlan, TablePlan


def transform_hash(plan: TablePlan) -> str:
    """16 hex digits over source definition, target columns, casts, maps, constants, expressions, filter and key."""
    described = {
        "source": plan.source.fingerprint(),
        "target": str(plan.target),
        "columns": [_column(column) for column in plan.columns],
        "key": list(plan.key),
        "where": plan.where.text if plan.where else None,
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]


def _column(column: ColumnPlan) -> dict[str, object]:
    return {
        "name": column.target.name,
        "type": column.target.type,
        "kind": str(column.kind),
        "source": column.source,
        "casts": [cast.name for cast in column.casts],
        "map": sorted((repr(key), repr(value)) for key, value in (column.mapping or {}).items()),
        "otherwise": repr((column.strict, column.otherwise, column.constant)),
        "expression": column.expression.text if column.expression else None,
    }

"""JSON paths of expressions: keys and positions, nothing that finds several values."""

from __future__ import annotations

from sqlglot import exp

from model.errors import ConfigError
from transforms.sql_documents import Path


def plain_path(node: exp.Expression, name: str) -> Path:
    """Keys and positions of a JSON path. Raises ConfigError for wildcards and what else is not a plain path."""
    steps: list[str | int] = []
    path = node.args.get(name)
    for part in path.expressions if isinstance(path, exp.JSONPath) else [None]:
        step = part.this if isinstance(part, exp.JSONPathKey | exp.JSONPathSubscript) else None
        if isinstance(step, str) or (isinstance(step, int) and step >= 0):
            steps.append(step)
        elif not isinstance(part, exp.JSONPathRoot):
            raise ConfigError(
                f"{node.sql('mysql')}: a plain path is needed",
                hint="Write keys and positions, e.g. '$.address.lines[0]'.",
            )
    return steps

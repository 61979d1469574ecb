"""The JSON Schema of the configuration file, for editors: completion, checks and descriptions while one types.

Generated from the models, so it cannot fall behind them; added is what the loader understands before the models see
it: `source.url` and `${…}` references in place of numbers and choices.
"""

from __future__ import annotations

from typing import Any

from config.settings import Settings

_REFERENCE = {"type": "string", "pattern": r"\$\{(env|file|cred):"}
_NOT_TEXT = {"integer", "number", "boolean"}


def json_schema() -> dict[str, Any]:
    """The schema (draft 2020-12) as plain JSON values."""
    schema: dict[str, Any] = _with_references(Settings.model_json_schema(by_alias=True))
    source = schema["$defs"]["SourceSettings"]
    source["properties"]["url"] = {
        "type": "string",
        "description": "mysql://USER:PASSWORD@HOST:PORT/DATABASE, in place of engine, host, user and so on",
    }
    required = source.pop("required")
    source["anyOf"] = [{"required": ["url"]}, {"required": required}]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "crossfade configuration",
    }


def _with_references(node: Any) -> Any:
    """The schema with a reference allowed wherever a number, a switch or one of several words is asked for."""
    if isinstance(node, list):
        return [_with_references(item) for item in node]
    if not isinstance(node, dict):
        return node
    shaped: dict[str, Any] = {}
    for key, item in node.items():
        if key in ("properties", "$defs"):
            # Their keys are names, not keywords of the schema language.
            shaped[key] = {name: _with_references(part) for name, part in item.items()}
        else:
            shaped[key] = item if key in ("default", "enum") else _with_references(item)
    if shaped.get("type") in _NOT_TEXT or "enum" in shaped:
        outer = {key: shaped.pop(key) for key in ("title", "description", "default") if key in shaped}
        return {**outer, "anyOf": [shaped, _REFERENCE]}
    return shaped

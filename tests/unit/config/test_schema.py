"""The JSON Schema for editors keeps step with the models and with what the loader adds."""

from __future__ import annotations

import json
from typing import Any

from config.schema import json_schema


def property_of(schema: dict[str, Any], model: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = schema["$defs"][model]["properties"][name]
    return found


def test_it_is_json_and_refuses_unknown_keys() -> None:
    schema = json_schema()
    assert json.loads(json.dumps(schema)) == schema
    assert schema["additionalProperties"] is False
    assert all(part["additionalProperties"] is False for part in schema["$defs"].values() if "properties" in part)
    assert set(schema["required"]) == {"name", "source", "stores"}


def test_keys_are_those_of_the_file() -> None:
    schema = json_schema()
    assert "schema" in schema["$defs"]["StoreSettings"]["properties"]
    assert {"json", "set"} <= set(schema["$defs"]["Defaults"]["properties"])
    assert not any(name.endswith("_") for part in schema["$defs"].values() for name in part.get("properties", {}))


def test_source_may_be_a_url() -> None:
    source = json_schema()["$defs"]["SourceSettings"]
    assert {"required": ["url"]} in source["anyOf"]
    assert "url" in source["properties"]


def test_references_may_stand_for_numbers_and_words() -> None:
    schema = json_schema()
    reference = {"type": "string", "pattern": r"\$\{(env|file|cred):"}
    assert reference in property_of(schema, "SourceSettings", "port")["anyOf"]
    assert reference in schema["$defs"]["Flavour"]["anyOf"]
    assert property_of(schema, "SourceSettings", "port")["default"] == 3306


def test_a_field_called_type_is_no_keyword() -> None:
    assert property_of(json_schema(), "Constant", "type")["type"] == "string"

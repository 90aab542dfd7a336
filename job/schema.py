"""The JSON Schema of metrics.json, which ships with the package."""

import json
from importlib import resources
from typing import Any

SCHEMA_VERSION = 1


def schema() -> dict[str, Any]:
    """The JSON Schema of metrics.json."""
    value: dict[str, Any] = json.loads(resources.files("job").joinpath("metrics.schema.json").read_text("utf-8"))
    return value


def check_schema(metrics: dict[str, Any]) -> None:
    """Raises `jsonschema.ValidationError` where metrics do not follow the schema."""
    import jsonschema

    jsonschema.validate(metrics, schema())

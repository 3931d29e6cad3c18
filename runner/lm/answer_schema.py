"""The JSON Schema that an answer is held to."""

from collections.abc import Mapping
from typing import Any

# What a tiny model fills before it must close the text: it does not stop by itself.
MAX_TEXT = 240  # characters of a text output
MAX_ITEM = 40  # characters of a text within a list or an object
MAX_ITEMS = 5
MAX_REPEATS = 2_000  # what the grammar of the local model's server can count
NOTES = ("title", "description", "default", "examples")


def closed(schema: Any) -> Any:
    """Every object with named properties requires them all and takes no others."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    inner = {key: closed(value) for key, value in schema.items()}
    if schema.get("type") == "object" and "properties" in schema:
        inner |= {"required": list(schema["properties"]), "additionalProperties": False}
    return inner


def has_open_object(schema: Any) -> bool:
    """Whether somewhere an object's keys are free: strict modes of providers refuse that."""
    if isinstance(schema, list):
        return any(map(has_open_object, schema))
    if not isinstance(schema, Mapping):
        return False
    if schema.get("type") == "object" and "properties" not in schema:
        return True
    return any(map(has_open_object, schema.values()))


def bounded(schema: Any, *, within: bool = False) -> Any:
    """The schema with an end to every text and list, and without notes. A decimal is asked for as a
    number: the pattern of its text is more than the grammar of a small model's server takes."""
    if isinstance(schema, list):
        return [bounded(item, within=within) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    if _is_decimal(schema):
        return {"type": "number"}
    inner: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("properties", "$defs"):
            nested = within or key == "$defs"
            inner[key] = {name: bounded(item, within=nested) for name, item in value.items()}
        elif key not in NOTES:
            inner[key] = bounded(value, within=within or key in ("items", "prefixItems"))
    return inner | _limits(inner, within)


def _limits(schema: Mapping[str, Any], within: bool) -> dict[str, Any]:
    kind = schema.get("type")
    if kind == "string" and not {"enum", "const", "format", "pattern"}.intersection(schema):
        return _text_limits(schema, within)
    if kind == "array":
        return {"maxItems": min(MAX_ITEMS, schema.get("maxItems", MAX_ITEMS))}
    return {}


def _text_limits(schema: Mapping[str, Any], within: bool) -> dict[str, int]:
    """The field's own bounds go before ours. One that is more than can be counted is left to the check
    of the answer."""
    shortest = schema.get("minLength", 0)
    longest = max(shortest, MAX_ITEM if within else MAX_TEXT)
    longest = min(longest, schema.get("maxLength", longest))
    # Left free, a tiny model answers with nothing at all now and then.
    least = shortest if within else max(shortest, min(1, longest))
    limits = {} if within and not least else {"minLength": min(least, MAX_REPEATS)}
    return limits | ({"maxLength": longest} if longest <= MAX_REPEATS else {})


def _is_decimal(schema: Mapping[str, Any]) -> bool:
    kinds = [option.get("type") for option in schema.get("anyOf", ()) if "type" in option]
    return kinds == ["number", "string"]

"""The options of a DSPy module as controls of the inspector, from what its worker said of them.

What is stored under a name that the module does not have stays, with a control of its own that says so.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.views.inspector_fields import UNSET, BadValue, FormField, Widget, value_of
from runner.bridge.module_options import problem_of

_WIDGETS: Mapping[str, Widget] = {
    "integer": "number",
    "number": "number",
    "boolean": "switch",
    "string": "text",
    "array": "lines",
}


def option_fields(name: str, options: Mapping[str, Any], stored: Any) -> list[FormField]:
    """A control for each option of the module called `name`, those that must be set first. `options` is
    the JSON Schema of all of them, `stored` what a node has."""
    values = stored if isinstance(stored, dict) else {}
    known = options.get("properties", {})
    required = options.get("required", ())
    fields = [
        _known(option, schema, values, option in required) for option, schema in known.items()
    ]
    fields.sort(key=lambda field: field.optional)
    return [*fields, *_unknown(name, known, values)]


def read_option(name: str, options: Mapping[str, Any], option: str, text: str) -> tuple[Any, str]:
    """What the text in an option's control stands for (UNSET: the option is taken away), and what is wrong
    with it, if anything."""
    schema = options.get("properties", {}).get(option)
    if schema is None:
        return (UNSET, "") if not text.strip() else (None, _none_such(name, option))
    if not text.strip() and schema["type"] != "boolean":
        needed = option in options.get("required", ())
        return (None, _needed(name)) if needed else (UNSET, "")
    try:
        value = value_of(_WIDGETS[schema["type"]], text, whole=schema["type"] == "integer")
    except BadValue as bad:
        return None, str(bad)
    problem = problem_of(schema, value)
    return value, f"Not saved: it {problem}" if problem else ""


def _known(option: str, schema: Mapping[str, Any], values: Any, needed: bool) -> FormField:
    default, there = schema.get("default"), option in values
    value = values.get(option)
    problem = f"It {problem_of(schema, value)}" if there and problem_of(schema, value) else ""
    return FormField(
        name=option,
        label=option,
        widget=_WIDGETS[schema["type"]],
        text=_text(schema["type"], value if there else default if default is True else None),
        value=value,
        hint=_hint(schema),
        optional=not needed,
        placeholder="needed" if needed else "not set" if default is None else str(default),
        error=problem or ("" if there or not needed else "Needed. Set it."),
        whole=schema["type"] == "integer",
    )


def _unknown(name: str, known: Mapping[str, Any], values: Any) -> Iterator[FormField]:
    for option, value in values.items():
        if option not in known:
            yield FormField(
                name=option,
                label=option,
                widget="json",
                text=json.dumps(value, indent=2, ensure_ascii=False),
                value=value,
                error=_none_such(name, option),
            )


def _none_such(name: str, option: str) -> str:
    return f"{name} has no option '{option:.100}'. Empty it to remove it."


def _needed(name: str) -> str:
    return f"Not saved: {name} needs it."


def _text(type_: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if type_ == "array" and isinstance(value, list):
        return "\n".join(str(item) for item in value)
    return str(value) if isinstance(value, int | float | str) else json.dumps(value)


def _hint(schema: Mapping[str, Any]) -> str:
    limits = [
        f"{word} {schema[key]}"
        for key, word in (("minimum", "from"), ("maximum", "up to"))
        if key in schema
    ]
    of = {"integer": "A whole number", "number": "A number", "array": "One a line"}
    return " ".join([of.get(schema["type"], ""), *limits]).strip()

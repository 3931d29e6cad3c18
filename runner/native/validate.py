"""validate: typed checks of values, with a message per field in the words of DSPex's validator."""

import json
import re
from collections.abc import Mapping
from typing import Any

from pipelines.graph import signature as signatures
from pipelines.graph.field import Field, FieldError
from pipelines.graph.kinds.validate import Validate
from runner.engine.errors import InvalidInput
from runner.engine.executor import Call

SHOWN = 60  # characters of a value in a message
WORDS = {"str": "string", "int": "integer", "bool": "boolean"}


async def validate(call: Call) -> Mapping[str, Any]:
    """`value` holds the fields that fit, as their types; `problems` one {field, message} for each
    that doesn't. With `on_invalid: fail` any problem is an InvalidInput that has them in its details.
    """
    config: Validate = call.config
    fields = config.parsed().inputs
    unconstrained = signatures.parse(f"{config.fields} ->").inputs
    value: dict[str, Any] = {}
    problems: list[dict[str, str]] = []
    for name, field in fields.items():
        try:
            value[name] = _checked(field, unconstrained[name], call.inputs)
        except ValueError as error:
            problems.append({"field": name, "message": f"input field '{name}': {error}"})
    if problems and config.on_invalid == "fail":
        text = "; ".join(problem["message"] for problem in problems)
        raise InvalidInput(text, problems=problems)
    return {"value": value, "problems": problems}


def _checked(field: Field, unconstrained: Field, inputs: Mapping[str, Any]) -> Any:
    if field.name not in inputs:
        raise ValueError("is required")
    given = inputs[field.name]
    try:
        return field.check(given)
    except FieldError as error:
        cause = str(error)
    try:
        unconstrained.check(given)
    except FieldError:
        type_ = _seed_type(field.type)
        raise ValueError(f"invalid type, expected {type_}, got {_shown(given)}") from None
    raise ValueError(cause)


def _seed_type(text: str) -> str:
    if "Literal" in text:  # its quoted choices are nobody's type names
        return text
    return re.sub(r"\b(str|int|bool)\b", lambda found: WORDS[found[0]], text)


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"

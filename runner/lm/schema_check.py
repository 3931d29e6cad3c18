"""Whether an answer follows its JSON Schema. References lead nowhere but into the schema itself."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import msgspec

from runner.lm.errors import InvalidRequest
from runner.lm.patterns import pattern_in_linear_time

_FENCED = re.compile(r"\s*```[\w+-]*\s*\n(.*?)\n?\s*```\s*", re.DOTALL)
MAX_PROBLEM = 300  # characters


def read_json(text: str) -> Any:
    """The JSON of an answer, also out of a code fence; ValueError says what is wrong."""
    fenced = _FENCED.fullmatch(text)
    return msgspec.json.decode(fenced[1] if fenced else text)


def problems_of(value: Any, schema: Mapping[str, Any]) -> list[str]:
    """What breaks the schema, each with its place in the value; none where it follows. InvalidRequest
    where the schema itself can't be used."""
    try:
        found = list(_validator()(schema).iter_errors(value))
    except Exception as error:  # several kinds, of two libraries: all are about the schema
        message = f"The answer can't be checked by its JSON Schema: {error}"
        raise InvalidRequest(message[:MAX_PROBLEM]) from error
    return [_words(error) for error in sorted(found, key=_place)]


def _place(error: Any) -> list[str]:
    return [str(step) for step in error.path]


def _words(error: Any) -> str:
    place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.path)
    message = str(error.message)
    if len(message) > MAX_PROBLEM:
        message = message[:MAX_PROBLEM] + "…"
    return f"{place.lstrip('.')}: {message}" if place else message


@cache
def _validator() -> Any:
    """jsonschema, loaded when it is first needed: it takes a tenth of a second."""
    from jsonschema import (  # type: ignore[import-untyped]
        Draft202012Validator,
        ValidationError,
        validators,
    )
    from referencing import Registry

    def pattern(_: Any, expected: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
        # A pattern may be a user's: Python's engine could take for ever.
        if isinstance(value, str) and not pattern_in_linear_time(expected)(value):
            yield ValidationError(f"{value!r} does not match {expected!r}")

    kind = validators.extend(Draft202012Validator, {"pattern": pattern})
    # An empty registry: what a schema refers to is not fetched.
    return lambda schema: kind(schema, registry=Registry())

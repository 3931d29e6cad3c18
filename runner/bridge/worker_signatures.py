"""DSPy signature classes from the host's descriptions."""

from functools import lru_cache
from typing import Any

import dspy
import msgspec
from dspy.utils.constants import IS_TYPE_UNDEFINED

from pipelines.graph.custom_types import type_from_schema
from pipelines.graph.known_types import DSPY_TYPES
from pipelines.graph.types import resolve
from runner.bridge.payloads import FieldSpec, SignatureSpec


def build(spec: SignatureSpec) -> Any:
    """The signature class. The last 64 are kept: a run asks for few, and often, and one takes DSPy a
    millisecond."""
    return _build(msgspec.msgpack.encode(spec))


@lru_cache(maxsize=64)
def _build(encoded: bytes) -> Any:
    spec = msgspec.msgpack.decode(encoded, type=SignatureSpec)
    names = {name: getattr(dspy, name.partition(".")[2]) for name in DSPY_TYPES}
    names |= {name: type_from_schema(name, schema) for name, schema in spec.types.items()}
    fields = {
        **{
            field.name: (
                resolve(field.type, names),
                # As DSPy does it: an input without a type is free, an output without one is text.
                dspy.InputField(**_arguments(field), **{IS_TYPE_UNDEFINED: not field.declared}),
            )
            for field in spec.inputs
        },
        **{
            field.name: (resolve(field.type, names), dspy.OutputField(**_arguments(field)))
            for field in spec.outputs
        },
    }
    return dspy.Signature(fields, spec.instructions)


def _arguments(field: FieldSpec) -> dict[str, Any]:
    arguments = dict(field.constraints)
    if field.description:
        arguments["desc"] = field.description
    return arguments

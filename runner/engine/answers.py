"""A model's answer held to the outputs of its signature, in one way for every backend."""

from typing import Any

from pipelines.graph.field import Field
from runner.engine.errors import UnparsableAnswer

MAX_PROBLEM = 500  # characters


class AnswerError(ValueError):
    """The answer can't be taken. `fields` are the output fields that are missing or wrong."""

    def __init__(self, problem: str, fields: tuple[str, ...] = ()) -> None:
        super().__init__(problem)
        self.problem = problem
        self.fields = fields


def fitting(field: Field, value: Any) -> Any:
    """The value as its field has it, type and constraints; an AnswerError that names the field."""
    try:
        return field.check(value)
    except (ValueError, RecursionError) as error:
        raise AnswerError(f"output field '{field.name}': {error}", (field.name,)) from None


def unparsable(answer: str, error: AnswerError, *, second: bool) -> UnparsableAnswer:
    """The failure of an attempt. `second`: the model was asked once more, and this came of it."""
    asked = ", and the second one neither" if second else ""
    return UnparsableAnswer(
        f"The model's answer can't be read{asked}: {error.problem[:MAX_PROBLEM]}",
        answer=answer,
        problem=error.problem,
        fields=list(error.fields),
    )

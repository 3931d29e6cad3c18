"""The compact prompt: how predictors, native and DSPy's, speak to a small local model, which can't follow
the chat format.

One sentence, the inputs, and an answer held to a JSON Schema with an end to every text. Tried on the
embedded model: naming types, choices or JSON in the prompt makes it repeat those words, so the prompt
names none of them while the schema holds the answer.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from runner.lm.answer_schema import bounded, closed

MAX_DEMOS = 3  # more crowd the input out of a small context

# What DSPy writes where the user wrote nothing; it says nothing to a model of this size.
_DEFAULT_INSTRUCTIONS = re.compile(r"Given the fields .*, produce the fields .*\.", re.DOTALL)


def prompt_text(
    instructions: str, outputs: Mapping[str, str], inputs: Iterable[tuple[str, str]]
) -> str:
    """What the model is asked. `outputs` maps name to description (or ""), `inputs` are names with the
    text of their values."""
    given = "\n".join(f"{name}: {text}" for name, text in inputs)
    return f"{_objective(instructions, outputs)}\n\n{given}"


def answer_schema(outputs: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON Schema that the answer is held to, from that of the outputs."""
    schema: dict[str, Any] = bounded(closed(outputs))
    return schema


def _objective(instructions: str, outputs: Mapping[str, str]) -> str:
    described = [
        f"{_words(name)}: {description}." for name, description in outputs.items() if description
    ]
    if not _DEFAULT_INSTRUCTIONS.fullmatch(instructions):
        return "\n".join([instructions, *described])
    wanted = " and ".join(f"the {_words(name)}" for name in outputs)
    return "\n".join([f"Read this and write {wanted} in your own words.", *described])


def _words(name: str) -> str:
    return name.replace("_", " ")

"""Do the native formats and DSPy's adapters agree? Generated signatures and answers, read and written by
both; the figure is the share of cases in which they do, or differ as `DIFFERENCES` says they should.

A case is made from a source of chance, so that the benchmark (a seeded one) and the tests (hypothesis's)
draw from the same generator.
"""

import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

os.environ.setdefault("DSPY_CACHEDIR", tempfile.mkdtemp(prefix="dspex-bench-"))

import dspy
import json_repair
from dspy.utils.exceptions import AdapterParseError
from pydantic import ValidationError

from benchmarks.report import Report
from pipelines.graph.signature import Signature, parse
from runner.bridge.worker_values import plain
from runner.engine.answers import AnswerError, fitting
from runner.native.formats import FORMATS, Task
from runner.native.formats.answers import WRITTEN, loads

CASES = 1_000
ADAPTERS = {"chat": dspy.ChatAdapter(), "json": dspy.JSONAdapter()}
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["name", "age"],
}
type Outcome = Literal["read", "refused", "failed"]


# Deliberate differences


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One answer to one signature, and what became of it on both sides: values, or what refused it."""

    format: str
    signature: Signature
    answer: str
    theirs: Any
    ours: Any

    @property
    def refused_here(self) -> bool:
        return isinstance(self.ours, AnswerError)

    @property
    def refused_there(self) -> bool:
        return isinstance(self.theirs, Exception)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Something done otherwise on purpose, and how to know a case of it."""

    what: str
    applies: Callable[[Case], bool]


DIFFERENCES: Mapping[str, Difference] = {
    "not_json": Difference(
        what="NaN, Infinity and numbers beyond a float are refused wherever they are; where a type takes "
        "null, DSPy's cross as null.",
        applies=lambda case: (
            case.refused_here
            and not case.refused_there
            and any(_not_json(text) for text in _texts(case))
        ),
    ),
    "exact_texts": Difference(
        what="Dates, decimals and UUIDs are read from their text first, so 12.50 stays 12.50; DSPy "
        "goes through a number.",
        applies=lambda case: _differing(case) <= _written_as_texts(case.signature),
    ),
    "mended_json": Difference(
        what="Broken JSON is mended in one pass and within limits; json_repair reads more oddities, and "
        "takes seconds for some.",
        applies=lambda case: any(_mended_otherwise(text) for text in _texts(case)),
    ),
    "wrong_in_dspy": Difference(
        what="DSPy fails with an error of another kind (AttributeError, TypeError); here the answer is "
        "read, or refused like any other.",
        applies=lambda case: (
            case.refused_there
            and not isinstance(case.theirs, AdapterParseError | ValidationError | AnswerError)
        ),
    ),
}
"""What differs on purpose. docs/reference/native.md tells the same to readers."""


def _written_as_texts(signature: Signature) -> set[str]:
    return {name for name, one in signature.outputs.items() if one.annotation in WRITTEN}


def _differing(case: Case) -> set[str]:
    """The fields that are read otherwise; all of them when one side refuses the answer."""
    names = set(case.signature.outputs)
    if case.refused_here or case.refused_there:
        return set(case.ours.fields) if case.refused_here else names
    return {name for name in names if case.ours[name] != case.theirs.get(name)}


def _not_json(text: str) -> bool:
    try:
        json.dumps(loads(text), allow_nan=False)
    except (ValueError, RecursionError):
        return True
    return False


def _texts(case: Case) -> list[str]:
    """What may have been read as JSON: the answer, its object, the sections."""
    object_ = case.answer[case.answer.find("{") : case.answer.rfind("}") + 1]
    sections = [part.partition("]]")[2].strip() for part in case.answer.split("[[ ##")]
    return [case.answer, object_, *sections]


def _mended_otherwise(text: str) -> bool:
    try:
        return bool(loads(text) != json_repair.loads(text))
    except (ValueError, RecursionError):
        return True


# Generated signatures, values and answers

FURTHER: Mapping[str, tuple[Any, ...]] = {
    "date": ("2024-02-29",),
    "datetime": ("2024-02-29T10:00:00", "2024-02-29T10:00:00Z"),
    "Decimal": ("12.50", "3"),
    "UUID": ("12345678-1234-5678-1234-567812345678",),
    "Any": (None, 1, "3", "true", [1, "a"], {"k": None}),
    "Literal[1, 'two', True]": (1, "two", True),
    "Union[list[int], dict[str, int]]": ([1], {"a": 1}, []),
    "Union[float, bool]": (0.5, True, 3.0),
    "Union[int, str]": (5, "five"),
    "dict": ({"a": 1},),
    "list": ([1, "b"],),
}
"""Types of rarer kinds, with their values."""
SIMPLE = (
    *("str", "int", "float", "bool", "Literal['yes', 'no', 'it''s']", "Literal[1, 2, 3]"),
    *("date", *FURTHER),
)
WORDS = (
    "",
    "a",
    "two words",
    "it's",
    'say "hi"',
    "line\nbreak",
    "«x»",
    "[[ x ]]",
    "ü→",
    "{a: 1}",
    "3",
)


def a_type(chance: Random, depth: int = 2) -> str:
    """A type as a signature writes it."""
    shapes = ("list", "dict", "optional", "tuple", "person", *("simple",) * 6)
    match chance.choice(shapes) if depth else "simple":
        case "list":
            return f"list[{a_type(chance, depth - 1)}]"
        case "dict":
            return f"dict[str, {a_type(chance, depth - 1)}]"
        case "optional":
            return f"Optional[{a_type(chance, depth - 1)}]"
        case "tuple":
            return f"tuple[{a_type(chance, depth - 1)}, int]"
        case "person":
            return "Person"
        case _:
            return chance.choice(SIMPLE).replace("''", "\\'")


def a_value(chance: Random, type_: str) -> Any:
    """A JSON value of the type."""
    if type_ in FURTHER:
        return chance.choice(FURTHER[type_])
    outer, _, inner = type_.partition("[")
    inner = inner.removesuffix("]")
    match outer:
        case "str":
            return chance.choice(WORDS)
        case "int":
            return chance.choice((0, 1, -7, 10**12))
        case "float":
            return chance.choice((0.5, -2.25, 3.0, 1e20))
        case "bool":
            return chance.random() < 0.5
        case "Literal":
            return (
                chance.choice((1, 2, 3)) if inner[0].isdigit() else chance.choice(("yes", "it's"))
            )
        case "list":
            return [a_value(chance, inner) for _ in range(chance.randrange(3))]
        case "dict":
            keys = chance.sample(("k", "a b", 'q"'), chance.randrange(3))
            return {key: a_value(chance, inner.partition(", ")[2]) for key in keys}
        case "Optional":
            return None if chance.random() < 0.3 else a_value(chance, inner)
        case "tuple":
            return [a_value(chance, inner.rpartition(", ")[0]), 3]
        case _:
            return {"name": "Ada", "age": 36, **({"tags": ["x"]} if chance.random() < 0.5 else {})}


CONSTRAINTS: Mapping[str, Mapping[str, Any]] = {
    "int": {"ge": 0, "lt": 100},
    "float": {"gt": 0.0},
    "str": {"max_length": 5},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """A signature with values for its fields, and demos."""

    signature: Signature
    types: dict[str, str]
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    demos: list[dict[str, Any]] = field(default_factory=list)


def generated(chance: Random) -> Generated:
    asked = {f"in{n}": a_type(chance) for n in range(chance.randint(1, 3))}
    told = {f"out{n}": a_type(chance) for n in range(chance.randint(1, 3))}
    types = asked | told
    constraints = {
        name: CONSTRAINTS[types[name]]
        for name in types
        if types[name] in CONSTRAINTS and chance.random() < 0.2
    }
    described = {name: "What it « is »" for name in types if chance.random() < 0.3}
    sides = [", ".join(f"{n}: {t}" for n, t in side.items()) for side in (asked, told)]
    signature = parse(
        " -> ".join(sides),
        instructions=chance.choice(("", "Tag it.\n    Be brief.", "Say « yes ».")),
        descriptions=described,
        constraints=constraints,
        types={"Person": PERSON} if any("Person" in type_ for type_ in types.values()) else {},
    )
    demos = []
    for _ in range(chance.randrange(3)):
        names = [name for name in types if chance.random() < 0.8]
        demos.append({name: a_value(chance, types[name]) for name in names})
    return Generated(
        signature=signature,
        types=types,
        inputs={name: a_value(chance, asked[name]) for name in asked},
        outputs={name: a_value(chance, told[name]) for name in told},
        demos=demos,
    )


def in_dspy(signature: Signature) -> type[dspy.Signature]:
    """The same signature as a class of DSPy, made from the same annotations."""
    fields: dict[str, Any] = {}
    for side, make in ((signature.inputs, dspy.InputField), (signature.outputs, dspy.OutputField)):
        for one in side.values():
            extra = {"desc": one.description} if one.description else {}
            fields[one.name] = (one.annotation, make(**extra, **one.constraints))
    made: type[dspy.Signature] = dspy.Signature(fields, signature.instructions)
    return made


def damaged(chance: Random, answer: str) -> str:
    """An answer as models write it when they don't follow the format."""
    half = chance.randrange(len(answer) + 1)
    broken: tuple[Callable[[], str], ...] = (
        lambda: answer,
        lambda: f"Sure! Here it is:\n\n{answer}\n\nAnything else?",
        lambda: f"```json\n{answer}\n```",
        lambda: answer[:half],
        lambda: answer.replace('"', "'"),
        lambda: answer.replace("}", ",}", 1),
        lambda: answer.replace("[[ ## out0 ## ]]", "[[ ## other ## ]]", 1),
        lambda: answer.replace("out0", "out9"),
        lambda: answer.replace("\n", " "),
        lambda: answer.replace("true", "True").replace("null", "None"),
        lambda: answer + "\n" + answer,
        lambda: "I can't answer that.",
        lambda: "",
    )
    return chance.choice(broken)()


# Comparing


def compare_messages(name: str, made: Generated) -> bool | None:
    """Whether both write the same messages; None where DSPy fails to write any."""
    task = Task(signature=made.signature, demos=made.demos)
    ours = FORMATS[name].prompt(task, made.inputs, structured=True).messages
    try:
        theirs = ADAPTERS[name].format(in_dspy(made.signature), made.demos, dict(made.inputs))
    except (AttributeError, TypeError):
        return None  # a text field was given a list of something else than texts
    return bool([{"role": one.role, "content": one.content} for one in ours] == theirs)


def written_by_both(name: str, made: Generated) -> tuple[str, str]:
    """The answer with these outputs, as DSPy and as we write it."""
    theirs = ADAPTERS[name].format_assistant_message_content(in_dspy(made.signature), made.outputs)
    ours = FORMATS[name].answer(made.signature, made.outputs)  # type: ignore[attr-defined]
    return theirs, ours


def compare_answer(name: str, signature: Signature, answer: str) -> Case:
    """What both make of the answer."""
    ours: Any
    theirs: Any
    try:
        ours = FORMATS[name].read(Task(signature=signature), answer)
    except AnswerError as error:
        ours = error
    try:
        read = ADAPTERS[name].parse(in_dspy(signature), answer)
        # What the host takes of it, once it has crossed.
        theirs = {key: fitting(signature.outputs[key], plain(value)) for key, value in read.items()}
    except Exception as error:
        theirs = error
    return Case(format=name, signature=signature, answer=answer, theirs=theirs, ours=ours)


def verdict(case: Case) -> str:
    """`same`, the name of a deliberate difference, or `other`."""
    same = case.refused_here if case.refused_there else _equal(case.ours, case.theirs)
    if same:
        return "same"
    known = (name for name, each in DIFFERENCES.items() if each.applies(case))
    return next(known, "other")


def _equal(ours: Any, theirs: Any) -> bool:
    return not isinstance(ours, Exception) and json.dumps(ours) == json.dumps(theirs)


def verdicts(chance: Random) -> Counter[str]:
    """All comparisons of one generated case."""
    made = generated(chance)
    found: Counter[str] = Counter()
    for name in ADAPTERS:
        agrees = compare_messages(name, made)
        found["wrong_in_dspy" if agrees is None else "same" if agrees else "other"] += 1
        theirs, ours = written_by_both(name, made)
        found["same" if theirs == ours else "other"] += 1
        for answer in (theirs, damaged(chance, theirs)):
            found[verdict(compare_answer(name, made.signature, answer))] += 1
    return found


def run(report: Report) -> None:
    found: Counter[str] = Counter()
    for seed in range(CASES):
        found += verdicts(Random(seed))
    print("  " + ", ".join(f"{name} {count}" for name, count in found.most_common()))
    report("parity_percent", 100 * (1 - found["other"] / found.total()), "%")

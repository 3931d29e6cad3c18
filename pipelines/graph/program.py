"""Programs of DSPy: what `program.save("program.json")` writes, laid onto the nodes of a graph.

A program is instructions, descriptions and demos by predictor path (`retrieve.predict`). It has no types,
so it fits nodes that are there already. Only JSON is read: a pickle is a program in the other sense of
the word, and is refused by its first bytes, whatever the file is called.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.graph.codec import check_json
from pipelines.graph.field import infer_prefix
from pipelines.graph.graph import Graph, GraphError, Node
from pipelines.graph.kinds import KINDS
from pipelines.graph.kinds.predict import REASONING, Predict, with_reasoning
from pipelines.graph.ops import AnyOperation, Batch, SetConfig
from pipelines.graph.signature import Signature, SignatureError, parse

MAX_BYTES = 10_000_000
_LM_ADDRESSES = ("api_base", "base_url", "model_list", "api_key", "headers")
_NO_JSON = {
    b"\x80": "a pickle",
    b"(": "a pickle",
    b"c": "a pickle",
    b"]": "a pickle",
    b"}": "a pickle",
    b"\x1f\x8b": "a compressed file, which may hold a pickle",
    b"BZh": "a compressed file, which may hold a pickle",
    b"\xfd7zXZ": "a compressed file, which may hold a pickle",
    b"PK": "a ZIP archive, as torch and `save_program=True` make them",
}


class ProgramError(GraphError):
    """The program can't be used here."""

    code = "program"


class _SavedField(BaseModel):
    prefix: str = Field(max_length=1_000)
    description: str = Field("", max_length=10_000)


class _SavedSignature(BaseModel):
    instructions: str = Field(max_length=100_000)
    fields: list[_SavedField] = Field(max_length=400)


class _SavedPredictor(BaseModel):
    model_config = ConfigDict(extra="ignore")

    signature: _SavedSignature
    demos: list[dict[str, Any]] = Field([], max_length=1_000)
    lm: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictor:
    """One predictor's state. `fields` pairs label and description, in the signature's order."""

    path: str
    instructions: str
    fields: tuple[tuple[str, str], ...]
    demos: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What a file holds. `ignored` says in sentences what was left out of it, and why."""

    predictors: Mapping[str, Predictor]
    ignored: tuple[str, ...] = ()


# Reading


def read_program(data: bytes) -> Program:
    """The program of a file. Raises ProgramError, which names what is wrong and the mend."""
    if len(data) > MAX_BYTES:
        raise ProgramError(f"The program has {len(data):,} bytes; {MAX_BYTES:,} is the limit.")
    for start, what in _NO_JSON.items():
        if data.startswith(start):
            raise ProgramError(
                f"The file is {what}, and reading one can run code. Save the program as JSON: "
                'program.save("program.json").'
            )
    try:
        raw = json.loads(data)
    except RecursionError:
        raise ProgramError("The program is nested too deep to be one.") from None
    except ValueError as error:
        raise ProgramError(
            f'The program is not JSON: {error}. Save it with program.save("program.json").'
        ) from None
    if not isinstance(raw, dict):
        raise ProgramError("The program is not a JSON object of predictors by path.")
    try:
        check_json(raw)
    except GraphError as error:
        raise ProgramError(str(error).replace("The pipeline file", "The program")) from None
    return _program({path: state for path, state in raw.items() if path != "metadata"})


def _program(states: Mapping[str, Any]) -> Program:
    if not states:
        raise ProgramError("The program has no predictors.")
    predictors: dict[str, Predictor] = {}
    ignored: list[str] = []
    for path, state in states.items():
        try:
            saved = _SavedPredictor.model_validate(state)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, (path, *first["loc"])))
            raise ProgramError(
                f"The program is wrong at {place}: {first['msg']}. It should be what "
                "program.save writes."
            ) from None
        if saved.lm:
            ignored.append(_without_lm(path, saved.lm))
        predictors[path] = Predictor(
            path=path,
            instructions=saved.signature.instructions,
            fields=tuple((one.prefix, one.description) for one in saved.signature.fields),
            demos=tuple(saved.demos),
        )
    return Program(predictors=predictors, ignored=tuple(ignored))


def _without_lm(path: str, lm: Mapping[str, Any]) -> str:
    addresses = [name for name in _LM_ADDRESSES if lm.get(name)]
    more = f", {', '.join(addresses)} among them" if addresses else ""
    model = str(lm.get("model") or "a model")[:100]
    return (
        f"'{path}' was saved with settings of {model}{more}. They are left out: the node's LM profile "
        "says which model is asked, and where."
    )


# Laying it onto a graph


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """Which node takes which predictor, and the operation that gives it to them."""

    nodes: Mapping[str, str]
    operation: Batch


def fit(program: Program, graph: Graph, nodes: Mapping[str, str] | None = None) -> Fitted:
    """Lay a program onto the predictors of a graph.

    `nodes` names the node of a predictor path. Without it a predictor goes to the node whose id is its
    path (`gen.predict` goes to a chain of thought `gen`), and a lone predictor to a lone node. Raises
    ProgramError, which names every predictor that fits nothing, with the reason.
    """
    able = {node.id: node for node in graph.nodes.values() if _takes_program(node)}
    named = dict(nodes or {})
    problems = [
        f"there is no predictor '{path}'; there are {', '.join(program.predictors)}"
        for path in named
        if path not in program.predictors
    ]
    fitted: dict[str, str] = {}
    operations: list[AnyOperation] = []
    for path, predictor in program.predictors.items():
        node_id = named.get(path) or _node_for(path, able, alone=len(program.predictors) == 1)
        if node_id is None or node_id not in able:
            problems.append(_fits_nothing(path, node_id, able))
        elif node_id in fitted.values():
            problems.append(f"'{path}' would go to '{node_id}', which has another one already")
        elif problem := _misfit(predictor, able[node_id]):
            problems.append(problem)
        else:
            fitted[path] = node_id
            operations += _operations(predictor, able[node_id])
    if problems:
        raise ProgramError(f"The program does not fit: {'; '.join(problems)}.")
    return Fitted(nodes=fitted, operation=Batch(operations=tuple(operations)))


def _takes_program(node: Node) -> bool:
    kind = KINDS.get(node.kind)
    return kind is not None and issubclass(kind.config, Predict)


def _node_for(path: str, able: Mapping[str, Node], *, alone: bool) -> str | None:
    """`gen.predict`, `gen` and `steps[0]` are the nodes gen, gen and steps_0 (or steps-0)."""
    for name in (path, path.removesuffix(".predict")):
        slug = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
        for candidate in (slug, slug.replace("_", "-")):
            if candidate in able:
                return candidate
    return next(iter(able)) if alone and len(able) == 1 else None


def _fits_nothing(path: str, node_id: str | None, able: Iterable[str]) -> str:
    known = ", ".join(able) or "none"
    if node_id is None:
        return f"no node is called as the predictor '{path}' is; predictors here: {known}"
    return f"'{path}' is for '{node_id}', which is no predictor; predictors here: {known}"


def _signature(node: Node) -> Signature:
    """The signature that the node's module asks for, as the program may change it."""
    signature = Predict.model_validate(
        {name: value for name, value in node.config.items() if name in Predict.model_fields}
    ).parsed()
    reasons = node.kind == "chain_of_thought" or node.config.get("module") == "ChainOfThought"
    return with_reasoning(signature) if reasons else signature


def _misfit(predictor: Predictor, node: Node) -> str | None:
    try:
        signature = _signature(node)
    except (ValidationError, SignatureError):
        return f"'{predictor.path}' is for '{node.id}', whose own configuration has a mistake"
    here = [infer_prefix(name) + ":" for name in (*signature.inputs, *signature.outputs)]
    there = [prefix for prefix, _ in predictor.fields]
    if here != there:
        return f"'{predictor.path}' has the fields {_listed(there)} but '{node.id}' has {_listed(here)}"
    return None


def _listed(prefixes: Iterable[str]) -> str:
    return ", ".join(prefix.removesuffix(":") for prefix in prefixes) or "none"


def _operations(predictor: Predictor, node: Node) -> Iterable[AnyOperation]:
    """Set what the program says; take away what is the signature's own."""
    signature = _signature(node)
    names = (*signature.inputs, *signature.outputs)
    own = parse(node.config["signature"], types=node.config.get("types", {}))
    told = {
        name: description
        for name, (_, description) in zip(names, predictor.fields, strict=True)
        if description != f"${{{name}}}" and (name != REASONING or name in own.outputs)
    }
    demos = [{name: demo[name] for name in names if name in demo} for demo in predictor.demos]
    instructions = predictor.instructions
    wanted = {
        "instructions": "" if instructions == own.instructions else instructions,
        "descriptions": told,
        "demos": demos,
    }
    for name, value in wanted.items():
        if value:
            yield SetConfig(node=node.id, field=name, value=value)
        elif node.config.get(name):
            yield SetConfig(node=node.id, field=name)

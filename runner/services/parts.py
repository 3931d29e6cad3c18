"""Runs of a part of a pipeline: what a person pins, and what a step is given that is run alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec

from pipelines.graph.graph import Graph, Port
from pipelines.models import Person, Pipeline
from pipelines.models.errors import InvalidInput, TooLarge
from pipelines.permissions import Action, require
from runner.engine.events import EventType, StepStatus
from runner.engine.partial import PartialRun, step_inputs
from runner.models import Artifact, Event, PinnedOutput, Run, Step
from runner.recorder.payload import json_text, restored
from runner.recorder.steps import outputs_of

MAX_PIN = 1_000_000
MAX_PINS = 200
"""Bytes of one pinned output, and nodes that a person may pin in a pipeline."""
LOOKED_AT = 50
"""Runs in which a step's last outputs are looked for."""


def pin_output(
    *, pipeline: Pipeline, user: Person, node: str, outputs: Mapping[str, Any]
) -> PinnedOutput:
    """Let these outputs stand for the node's own, in this person's runs of parts. Raises NotAllowed,
    InvalidInput and TooLarge."""
    require(user, Action.RUN, pipeline)
    _check_pinnable(pipeline.draft.graph, node)
    text = json_text(dict(outputs))
    if len(text) > MAX_PIN:
        raise TooLarge(
            f"The output of '{node}' is larger than {MAX_PIN:,} bytes; it is not pinned."
        )
    mine = PinnedOutput.objects.filter(pipeline=pipeline, author=user.pk)
    if mine.exclude(node=node).count() >= MAX_PINS:
        raise TooLarge(f"You have pinned {MAX_PINS} outputs here. Unpin some of them.")
    pin, _ = PinnedOutput.objects.update_or_create(
        pipeline=pipeline, author_id=user.pk, node=node, defaults={"outputs": text}
    )
    return pin


def unpin_output(*, pipeline: Pipeline, user: Person, node: str) -> None:
    require(user, Action.RUN, pipeline)
    PinnedOutput.objects.filter(pipeline=pipeline, author=user.pk, node=node).delete()


def pins_of(pipeline: Pipeline, user: Person) -> dict[str, dict[str, Any]]:
    """What this person has pinned, by node."""
    if user.pk is None:
        return {}
    rows = PinnedOutput.objects.filter(pipeline=pipeline, author=user.pk)
    return {row.node: row.value for row in rows}


def read_partial(raw: Mapping[str, Any]) -> PartialRun:
    """What of a pipeline is to be run, from what somebody sent. Raises InvalidInput."""
    try:
        wish = msgspec.convert(dict(raw), PartialRun)
        if bool(wish.node) == (wish.mode == "all"):
            raise ValueError(f"the mode '{wish.mode}' has {'no' if wish.node else 'a'} node")
        if wish.base:
            wish = msgspec.structs.replace(wish, base=str(UUID(wish.base)))
    except (msgspec.ValidationError, ValueError) as error:
        raise InvalidInput(
            f"What is to be run was not understood: {error}. It is {{mode, node}}, where mode is from, "
            "to or only (or all, without a node), and as you like base (the id of a run) and pins (outputs "
            "by node)."
        ) from None
    return wish


def check_base(pipeline: Pipeline, wish: PartialRun) -> None:
    """Raise InvalidInput unless the run to take from is one of this pipeline."""
    if wish.base and not Run.objects.filter(pk=UUID(wish.base), pipeline=pipeline).exists():
        raise InvalidInput(
            f"The run {wish.base} is none of this pipeline: nothing is taken from it."
        )


def inputs_of_step(
    *,
    pipeline: Pipeline,
    graph: Graph,
    wish: PartialRun,
    given: Mapping[str, Any],
    edited: Mapping[str, Any],
) -> dict[str, Any]:
    """What a step is given that is run alone: what was edited, else pinned, else given to the pipeline,
    else recorded last. Raises InvalidInput that names each input nobody has a value for."""
    known = known_inputs(pipeline=pipeline, graph=graph, wish=wish, given=given)
    if unknown := edited.keys() - {each.port.name for each in known}:
        raise InvalidInput(f"'{wish.node}' has no input '{min(unknown)}'.")
    values = {each.port.name: each.value for each in known if each.is_known}
    values |= edited
    merges = graph.node(wish.node).kind == "merge"  # which makes do with what there is
    missing = [
        _missing(each)
        for each in known
        if (each.port.required or merges) and each.port.name not in values
    ]
    if missing and not (merges and values):
        raise InvalidInput(
            f"'{wish.node}' can't run alone: {'; '.join(missing)}. Run to here first, or type the value."
        )
    return values


_NOTHING: Any = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownInput:
    """An input of a step, the nodes that feed it, and the value that it has without being edited."""

    port: Port
    sources: tuple[tuple[str, str], ...]
    value: Any = _NOTHING

    @property
    def is_known(self) -> bool:
        return self.value is not _NOTHING


def known_inputs(
    *, pipeline: Pipeline, graph: Graph, wish: PartialRun, given: Mapping[str, Any]
) -> list[KnownInput]:
    """What a step would be given that is run alone now."""
    last = _Last(pipeline, graph, wish, given)
    return [
        KnownInput(port=port, sources=sources, value=last.at(port, sources))
        for port, sources in step_inputs(graph, wish.node)
    ]


class _Last:
    """The values that nodes gave last."""

    def __init__(
        self, pipeline: Pipeline, graph: Graph, wish: PartialRun, given: Mapping[str, Any]
    ) -> None:
        self._graph, self._wish, self._given = graph, wish, given
        rows = Run.objects.filter(pipeline=pipeline)
        if wish.base:
            rows = rows.filter(pk=UUID(wish.base))
        self._runs = list(rows.order_by("-created_at").values_list("pk", flat=True)[:LOOKED_AT])
        self._outputs: dict[str, Mapping[str, Any]] = {}

    def at(self, port: Port, sources: tuple[tuple[str, str], ...]) -> Any:
        """The value of an input that these outputs feed."""
        found = [value for source in sources if (value := self._value(*source)) is not _NOTHING]
        if port.many and sources:
            return found
        return found[0] if found else _NOTHING

    def _value(self, node: str, port: str) -> Any:
        if node not in self._outputs:
            self._outputs[node] = self._of(node)
        return self._outputs[node].get(port, _NOTHING)

    def _of(self, node: str) -> Mapping[str, Any]:
        if node in self._wish.pins:
            return self._wish.pins[node]
        if self._graph.node(node).kind == "input":
            return {**self._inputs(), **self._given}
        found = Step.objects.filter(run__in=self._runs, path=node, status=StepStatus.SUCCEEDED)
        step = found.order_by("-run__created_at").first()
        if step is None:
            return {}
        event = Event.objects.of_step(step).filter(type=EventType.STEP_SUCCEEDED).last()
        return outputs_of(event) if event else {}

    def _inputs(self) -> Mapping[str, Any]:
        """Of the newest run that the pipeline's inputs went into."""
        given = Run.objects.filter(pk__in=self._runs).given_pipeline_inputs()
        run = given.order_by("-created_at").first()
        if run is None:
            return {}
        aside = {place: key for place, key in run.artifacts.items() if place.startswith("inputs/")}
        rows = Artifact.objects.filter(run=run, hash__in=set(aside.values()))
        values = {row.hash: row.value for row in rows}
        found: Mapping[str, Any] = restored({"inputs": run.inputs}, aside, values)["inputs"]
        return found


def _missing(each: KnownInput) -> str:
    name = each.port.name
    if not each.sources:
        return f"nothing is joined to its input '{name}'"
    names = ", ".join(f"'{node}'" for node, _ in each.sources)
    return f"its input '{name}' has no value, as {names} has given none yet"


def is_pinnable(graph: Graph, node_id: str) -> bool:
    node = graph.nodes.get(node_id)
    return node is not None and node.parent is None and node.kind not in ("input", "output")


def _check_pinnable(graph: Graph, node_id: str) -> None:
    if not is_pinnable(graph, node_id):
        raise InvalidInput(
            f"'{node_id:.100}' is no step of the pipeline's top level: it can't be pinned."
        )

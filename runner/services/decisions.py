"""What people decide about steps that were under way when something died (`runner.engine.doubts`)."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from django.db import transaction

from pipelines.graph import signature as signatures
from pipelines.graph.graph import ANY, Graph, GraphError, Port
from pipelines.graph.ports import known_type, node_ports
from pipelines.models import Person
from pipelines.models.errors import InvalidInput, TooLarge
from pipelines.permissions import Action, require
from pipelines.services import resolve_references
from runner.engine.doubts import decision_key
from runner.engine.events import EventType, StepStatus
from runner.engine.resuming import TOOL
from runner.engine.waits import Answer
from runner.models import Event, Run, Step
from runner.recorder.payload import json_text
from runner.services.answers import MAX_COMMENT, MAX_VALUE, keep_answer

type Decision = Literal["happened", "again", "failed"]


def decide_step(
    *,
    run: Run,
    user: Person,
    path: str,
    decision: Decision,
    outputs: Mapping[str, Any] | None = None,
    comment: str = "",
) -> None:
    """Say what became of a step in doubt: it `happened`, with these outputs by port, it is to be done
    `again`, or it `failed`. Kept before this returns, and the run goes on.

    Raises NotAllowed, TooLarge, and InvalidInput when nobody asks (any more), or an output has another
    type than its port. The first decision counts.
    """
    require(user, Action.RUN, run)
    asked = question_about(run, path)
    if asked is None:
        raise InvalidInput(f"Nothing has to be decided about the step '{path:.200}' of this run.")
    value: Any = msgspec.UNSET
    if decision == "happened":
        value = _checked(decided_ports(run, asked["kind"], path), outputs or {})
    if len(comment) > MAX_COMMENT:
        raise TooLarge(f"The comment is longer than {MAX_COMMENT:,} characters. Shorten it.")
    answer = Answer(
        approved=decision != "failed",
        comment=comment,
        by=user.get_username(),
        value=value,
        decision=decision,
    )
    with transaction.atomic():
        keep_answer(run, decision_key(path, asked["begun"]), path, answer)


def question_about(run: Run, path: str) -> dict[str, Any] | None:
    """What its event asks about a step in doubt; None when there is nothing to decide."""
    step = Step.objects.filter(run=run, path=path, status=StepStatus.WAITING).first()
    if step is None:
        return None
    event = Event.objects.of_step(step).filter(type=EventType.STEP_WAITING).last()
    if event is None or "begun" not in event.value:
        return None
    return event.value


def decided_ports(run: Run, kind: str, path: str) -> tuple[Port, ...]:
    """What the step gives when it has happened."""
    if kind == TOOL:
        return (Port(name="result", required=False),)
    *outer, node_id = [name.partition("[")[0] for name in path.split("/")]
    graph = run.version.graph
    for name in outer:
        version = graph.node(name).config.get("version")
        if version is not None:  # a pipeline of its own
            graph = _pinned(run, graph)[str(version)]
    return node_ports(graph, graph.node(node_id)).outputs


def _pinned(run: Run, graph: Graph) -> Mapping[str, Graph]:
    assert run.author is not None, "A run whose author is gone asks nothing."
    project = run.pipeline.project
    return resolve_references(project=project, graph=graph, user=run.author).pipelines


def _checked(ports: tuple[Port, ...], outputs: Mapping[str, Any]) -> dict[str, Any]:
    """The outputs as JSON. One that is left out has no value."""
    known = {port.name: port for port in ports}
    values: dict[str, Any] = {}
    problems = [f"it has no output '{name:.100}'" for name in outputs if name not in known]
    for name, value in outputs.items():
        port = known.get(name)
        if port is None:
            continue
        try:
            values[name] = _typed(port, value)
        except (ValueError, GraphError) as error:
            problems.append(f"the output {str(error).rstrip('.')}")
    if problems:
        asked = ", ".join(f"{port.name}: {port.type}" for port in ports) or "none"
        text = "; ".join(problems)
        raise InvalidInput(f"{text[0].upper()}{text[1:]}. Outputs: {asked}.")
    if len(json_text(values)) > MAX_VALUE:
        raise TooLarge(f"The outputs are larger than {MAX_VALUE:,} bytes. Shorten them.")
    return values


def _typed(port: Port, value: Any) -> Any:
    type_ = known_type(port.type)  # what the node's signature alone declares is anything here
    if type_ == ANY:
        return value
    return signatures.parse(f"{port.name}: {type_} ->").inputs[port.name].check(value)

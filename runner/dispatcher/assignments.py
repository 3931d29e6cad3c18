"""What a runner needs to execute a run: read in one go when it has been claimed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from pipelines.graph.graph import Graph
from pipelines.models import LMProfile as ProfileRow
from pipelines.models import Project, Reference
from pipelines.models.errors import PipelinesError
from pipelines.permissions import Action, NotAllowed, require
from pipelines.services import key_for_calls, resolve_references
from pipelines.services.references import names_in
from runner.engine.events import EventType
from runner.engine.execute import Tally
from runner.host import InvalidPipeline
from runner.lm.local_model import LOCAL_PROFILE
from runner.lm.types import LMProfile
from runner.models import Artifact, Event, ReplayAnswer, Run, Stream
from runner.models.run import summary
from runner.recorder import RunState
from runner.recorder.payload import restored


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What the names in a project's graphs mean: LM profiles, with their keys, and collections."""

    profiles: Mapping[str, LMProfile] = field(default_factory=dict)
    default_profile: str = LOCAL_PROFILE.name
    collections: Mapping[str, UUID] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """A run, ready to be executed. `recorded` gives the outputs of steps that have ended, by path."""

    project_id: UUID
    graph: Graph
    inputs: dict[str, Any]
    names: Names
    recorded: dict[str, dict[str, Any]]


def state_of(run: Run) -> RunState:
    """What the recorder has to know of a run that was claimed. Closes what an earlier runner left."""
    answers = {}
    if run.last_seq:
        Stream.objects.close(run.pk, run.last_seq)
        rows = ReplayAnswer.objects.filter(run=run).values_list("key", "value")
        answers = {key: value.encode() for key, value in rows}
    return RunState(
        id=run.pk,
        project_id=run.project_id,
        owner=run.owner,
        epoch=run.epoch,
        last_seq=run.last_seq,
        tally=Tally(run.input_tokens, run.output_tokens, run.cost, run.lm_calls),
        answers=answers,
        artifacts={k: v for k, v in run.artifacts.items() if k.startswith("inputs/")},
        summary=summary(run),
    )


def assignment_of(run: Run) -> Assignment:
    """Read what the run needs, with what its author may use now, not when it was started.

    Raises what keeps it from running: NotAllowed, InvalidPipeline, GraphError, PipelinesError.
    """
    if run.author is None:
        raise NotAllowed("The account that started this run is gone. Start it again as yourself.")
    require(run.author, Action.RUN, run)
    graph = run.version.graph
    project = run.pipeline.project
    resolved = resolve_references(project=project, graph=graph, user=run.author)
    if resolved.problems:
        raise InvalidPipeline(list(resolved.problems))
    wrapped = restored({"inputs": run.inputs}, _of_inputs(run), _values(run, _of_inputs(run)))
    return Assignment(
        project_id=run.project_id,
        graph=graph,
        inputs=wrapped["inputs"],
        names=_names(run, graph, project, resolved.profiles, resolved.collections),
        recorded=_recorded(run),
    )


def _names(
    run: Run,
    graph: Graph,
    project: Project,
    rows: Mapping[str, ProfileRow],
    collections: Mapping[str, Any],
) -> Names:
    default = ProfileRow.objects.named(project, None)
    default_name = default.name if default else LOCAL_PROFILE.name
    named = {names_in(node).get(Reference.Kind.LM_PROFILE) for node in graph.nodes.values()}
    profiles = {LOCAL_PROFILE.name: LOCAL_PROFILE}
    for name, row in rows.items():
        try:
            profiles[name] = _profile(row, run)
        except PipelinesError:
            if name in named or name == default_name:
                raise
            # Somebody else's broken key is no reason not to run.
    return Names(
        profiles=profiles,
        default_profile=default_name if default_name in profiles else LOCAL_PROFILE.name,
        collections={name: collection.pk for name, collection in collections.items()},
    )


def _profile(row: ProfileRow, run: Run) -> LMProfile:
    assert run.author is not None
    shared = {name: getattr(row, name) for name in _SAME}
    return LMProfile(api_key=key_for_calls(profile=row, user=run.author), **shared)


# Fields that a row and the gateway's frozen value have alike.
_SAME = tuple(set(LMProfile.__struct_fields__) - {"api_key"})


def _recorded(run: Run) -> dict[str, dict[str, Any]]:
    """The outputs of the steps that have succeeded so far. Failed ones are tried again."""
    if not run.last_seq:
        return {}
    events = Event.objects.filter(run=run, type=EventType.STEP_SUCCEEDED).order_by("seq")
    outputs = {}
    for event in events.iterator():
        aside = event.artifact_hashes
        data = restored(event.value, aside, _values(run, aside)) if aside else event.value
        outputs[event.step] = data["outputs"]
    return outputs


def _of_inputs(run: Run) -> dict[str, str]:
    return {k: v for k, v in run.artifacts.items() if k.startswith("inputs/")}


def _values(run: Run, aside: Mapping[str, str]) -> dict[str, Any]:
    if not aside:
        return {}
    rows = Artifact.objects.filter(run=run, hash__in=set(aside.values()))
    return {row.hash: row.value for row in rows}

"""What a runner needs to execute a run: read in one go when it has been claimed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db.models import F, Q
from django.utils import timezone

from pipelines.graph import codec
from pipelines.graph.graph import Graph, Node
from pipelines.models import ApprovedHost, Budget, Credential, Person, Project, Reference
from pipelines.models import LMProfile as ProfileRow
from pipelines.models.errors import PipelinesError
from pipelines.permissions import Action, NotAllowed, can, require
from pipelines.services import resolve_references
from pipelines.services.references import names_in
from runner.engine.partial import PartialRun, concerned
from runner.engine.resuming import Earlier
from runner.engine.router import RouterSettings
from runner.engine.tally import Tally
from runner.engine.waits import Answer
from runner.host import InvalidPipeline
from runner.lm.budget import Budget as BudgetValue
from runner.lm.local_model import LOCAL_PROFILE
from runner.lm.types import LMProfile
from runner.models import Artifact, ReplayAnswer, Run, RunnerSettings, Stream
from runner.models.run import summary
from runner.native.http_request import Key, Site, Sites
from runner.recorder import RunState, catch_up, earlier_of, recorded_outputs
from runner.recorder.payload import restored
from runner.services import budgets_of, callable_profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What the names in a project's graphs mean: LM profiles, with their keys, collections, and where
    requests may go."""

    profiles: Mapping[str, LMProfile] = field(default_factory=dict)
    default_profile: str = LOCAL_PROFILE.name
    collections: Mapping[str, UUID] = field(default_factory=dict)
    sites: Sites = field(default_factory=Sites)
    router: RouterSettings = field(default_factory=RouterSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """A run, ready to be executed. `recorded` gives the outputs of steps that have ended, by path,
    `earlier` what else earlier runners left, and `answers` what people said to steps that asked them.
    `tools` may be called by DSPy modules; `run_code` lets those that run code do so. `partial` is what of
    the pipeline is run, `stops` what people stopped, and `timeout` the seconds that are left."""

    project_id: UUID
    pipeline_id: UUID
    graph: Graph
    inputs: dict[str, Any]
    names: Names
    recorded: dict[str, dict[str, Any]]
    earlier: Earlier = field(default_factory=Earlier)
    answers: dict[str, Answer] = field(default_factory=dict)
    budgets: Sequence[BudgetValue] = ()
    tools: frozenset[str] = frozenset()
    run_code: bool = False
    partial: PartialRun | None = None
    stops: dict[str, str] = field(default_factory=dict)
    timeout: float | None = None


def state_of(run: Run) -> RunState:
    """What the recorder has to know of a run that was claimed. Puts in order what an earlier runner left."""
    answers = {}
    if run.epoch > 1:
        catch_up(run)
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


def assignment_of(run: Run, commons: "Commons | None" = None) -> Assignment:
    """Read what the run needs, with what its author may use now, not when it was started.

    Runs that are read at the same time share `commons`, so that what many runs of one version need is
    read once. Raises what keeps it from running: NotAllowed, InvalidPipeline, GraphError,
    PipelinesError.
    """
    if run.author is None:
        raise NotAllowed("The account that started this run is gone. Start it again as yourself.")
    commons = {} if commons is None else commons
    key = (run.version_id, run.author_id, run.partial)
    common = commons.get(key)
    if common is None:
        common = commons[key] = _common(run, run.author)
    aside = _of_inputs(run)
    wrapped = restored({"inputs": run.inputs}, aside, _values(run, aside))
    return Assignment(
        project_id=run.project_id,
        graph=common.graph,
        inputs=wrapped["inputs"],
        names=common.names,
        recorded=recorded_outputs(run),
        earlier=earlier_of(run),
        answers=run.given_answers,
        budgets=budgets_of(run=run, now=timezone.localtime()) if common.budgeted else (),
        tools=common.tools,
        run_code=common.run_code,
        pipeline_id=run.pipeline_id,
        partial=run.whole_part,
        stops=run.given_stops,
        timeout=_seconds_left(run),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """What is the same for all runs of one version, or of one part of it, by one person, as long as nobody
    changes anything."""

    graph: Graph
    names: Names
    budgeted: bool
    tools: frozenset[str]
    run_code: bool


type Commons = dict[tuple[UUID, int | None, str], Common]
"""By version, author, and the part that is run."""


def _common(run: Run, author: Person) -> Common:
    require(author, Action.RUN, run)
    graph = _graph(run.version.text)
    project = run.pipeline.project
    resolved = resolve_references(project=project, graph=graph, user=author)
    part = run.part
    keep = concerned(graph, part) if part and part.node in graph.nodes else graph.nodes.keys()
    if problems := [each for each in resolved.problems if each.node is None or each.node in keep]:
        raise InvalidPipeline(problems)
    if resolved.pipelines:
        graph = replace(graph, pipelines=resolved.pipelines)
    held = RunnerSettings.current()
    return Common(
        graph=graph,
        names=replace(
            _names(run, graph, project, resolved.profiles, resolved.collections),
            router=held.router,
        ),
        budgeted=Budget.objects.filter(project=project).exists(),
        tools=frozenset(run.pipeline.allowed_tools.values_list("name", flat=True)),
        run_code=held.run_code,
    )


@lru_cache(maxsize=32)
def _graph(text: str) -> Graph:
    """One object for the runs of one version: the host knows it again, and plans it once."""
    return codec.load(text)


def _seconds_left(run: Run) -> float | None:
    if run.deadline_at is None:
        return None
    # What is late already has to begin to end.
    return max(0.001, (run.deadline_at - timezone.now()).total_seconds())


def _names(
    run: Run,
    graph: Graph,
    project: Project,
    rows: Mapping[str, ProfileRow],
    collections: Mapping[str, Any],
) -> Names:
    assert run.author is not None
    default = ProfileRow.objects.named(project, None)
    default_name = default.name if default else LOCAL_PROFILE.name
    nodes = [n for each in (graph, *graph.pipelines.values()) for n in each.nodes.values()]
    named = {names_in(node).get(Reference.Kind.LM_PROFILE) for node in nodes}
    profiles = {LOCAL_PROFILE.name: LOCAL_PROFILE}
    for name, row in rows.items():
        try:
            profiles[name] = callable_profile(row=row, user=run.author)
        except PipelinesError:
            if name in named or name == default_name:
                raise
            # Somebody else's broken key is no reason not to run.
    return Names(
        profiles=profiles,
        default_profile=default_name if default_name in profiles else LOCAL_PROFILE.name,
        collections={name: collection.pk for name, collection in collections.items()},
        sites=_sites(run.author, project, nodes),
    )


def _sites(user: Person | None, project: Project, nodes: Iterable[Node]) -> Sites:
    """Where the graph's nodes may send requests to, with the keys that they name: those of the
    project, else those of the installation."""
    configs = [node.config for node in nodes if node.kind in ("http_request", "colbert")]
    configs = [config for config in configs if config.get("url")]
    if not configs or user is None:
        return Sites()
    named = {str(config["credential"]) for config in configs if config.get("credential")}
    keys: dict[str, Key] = {}
    rows = Credential.objects.filter(Q(project=project) | Q(project=None), name__in=named)
    for row in rows.select_related("host").order_by(F("project").desc(nulls_last=True)):
        if row.name not in keys and can(user, Action.USE_CREDENTIAL, row):
            origin = row.host.origin
            keys[row.name] = Key(origin=origin, secret=row.reveal(origin))
    approved = ApprovedHost.objects.all()
    return Sites(
        approved={
            host.origin: Site(origin=host.origin, private_network=host.private_network)
            for host in approved
        },
        keys=keys,
    )


def _of_inputs(run: Run) -> dict[str, str]:
    return {k: v for k, v in run.artifacts.items() if k.startswith("inputs/")}


def _values(run: Run, aside: Mapping[str, str]) -> dict[str, Any]:
    if not aside:
        return {}
    rows = Artifact.objects.filter(run=run, hash__in=set(aside.values()))
    return {row.hash: row.value for row in rows}

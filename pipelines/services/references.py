"""What graphs name outside themselves: kept in step with drafts and versions, and resolved."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError as DjangoValidationError
from django.db.models import Q
from pydantic import ValidationError

from pipelines.graph.graph import Graph, Node
from pipelines.graph.kinds import KINDS
from pipelines.graph.kinds.http_request import HttpRequest
from pipelines.graph.kinds.predict import LMConfig, Predict
from pipelines.graph.kinds.references import rewarding_pipeline
from pipelines.graph.kinds.sub_pipeline import pinned
from pipelines.graph.validate import Problem
from pipelines.models import (
    ApprovedHost,
    Collection,
    Credential,
    LMProfile,
    Person,
    Pipeline,
    PipelineVersion,
    Project,
    Reference,
)
from pipelines.models.credential import origin_of
from pipelines.models.errors import InvalidInput
from pipelines.permissions import Action, can, require

# These come with every installation and need no row; a row of the same name goes before them.
BUILT_IN_PROFILES = frozenset({"local"})
BUILT_IN_COLLECTIONS = frozenset({"docs"})
_LONGEST = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What the names in a graph mean to one person in one project, and those that mean nothing.
    `pipelines` has the graphs that it pins, and those that they pin, by version."""

    profiles: dict[str, LMProfile] = field(default_factory=dict)
    collections: dict[str, Collection] = field(default_factory=dict)
    pipelines: dict[str, Graph] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


def names_in(node: Node) -> dict[Reference.Kind, str]:
    """What a node names. Of a config with mistakes, what can be told."""
    kind = KINDS.get(node.kind)
    if kind is None:
        return {}
    found: dict[Reference.Kind, object] = {}
    if issubclass(kind.config, LMConfig):
        found[Reference.Kind.LM_PROFILE] = node.config.get("lm")
    if (declared := kind.config.model_fields.get("collection")) is not None:
        found[Reference.Kind.COLLECTION] = node.config.get("collection", declared.default)
    if issubclass(kind.config, Predict):
        found[Reference.Kind.SIGNATURE] = _signature_hash(kind.config, node)
    return {
        kind: key
        for kind, key in found.items()
        if isinstance(key, str) and 0 < len(key) <= _LONGEST
    }


def _signature_hash(config: type[Predict], node: Node) -> str | None:
    try:
        return config.model_validate(node.config).parsed().hash
    except ValidationError:
        return None


def note_references(pipeline: Pipeline, before: Graph, after: Graph) -> None:
    """Bring the draft's references up to date. Looks only at nodes that an operation touched: the
    others are the same objects."""
    touched = [
        node_id
        for node_id in before.nodes.keys() | after.nodes.keys()
        if before.nodes.get(node_id) is not after.nodes.get(node_id)
    ]
    stale = [node for node in touched if _names(before, node) != _names(after, node)]
    if stale:
        pipeline.references.filter(version=None, node__in=stale).delete()
        nodes = (after.nodes[node] for node in stale if node in after.nodes)
        Reference.objects.bulk_create(_rows(pipeline, None, nodes))


def _names(graph: Graph, node_id: str) -> dict[Reference.Kind, str]:
    node = graph.nodes.get(node_id)
    return {} if node is None else names_in(node)


def note_version_references(version: PipelineVersion, graph: Graph) -> None:
    Reference.objects.bulk_create(_rows(version.pipeline, version, graph.nodes.values()))


def _rows(
    pipeline: Pipeline, version: PipelineVersion | None, nodes: Iterable[Node]
) -> list[Reference]:
    return [
        Reference(pipeline=pipeline, version=version, node=node.id, kind=kind, key=key)
        for node in nodes
        for kind, key in names_in(node).items()
    ]


def resolve_references(*, project: Project, graph: Graph, user: Person) -> Resolved:
    """What the graph's names mean, in this project, to this person. Asked when a pipeline is checked
    and again when it is run: a name never leads into another project."""
    profiles = _usable(user, Action.USE_CREDENTIAL, project, LMProfile.objects.serving(project))
    collections = _usable(user, Action.VIEW, project, Collection.objects.within(project))
    known = {
        Reference.Kind.LM_PROFILE: profiles.keys() | BUILT_IN_PROFILES,
        Reference.Kind.COLLECTION: collections.keys() | BUILT_IN_COLLECTIONS,
    }
    pipelines, problems = _pinned(project, graph)
    for each in (graph, *pipelines.values()):
        found = [
            _unknown(node, kind, key)
            for node in each.nodes.values()
            for kind, key in names_in(node).items()
            if kind in known and key not in known[kind]
        ]
        found += _unreachable(project, each)
        # A node of a pinned pipeline is none that this graph could show.
        problems += found if each is graph else [replace(problem, node=None) for problem in found]
    return Resolved(
        profiles=profiles,
        collections=collections,
        pipelines=pipelines,
        problems=tuple(problems),
    )


def _unreachable(project: Project, graph: Graph) -> Iterator[Problem]:
    """Requests that would go where no administrator lets them, or with a key that is not here."""
    nodes = [node for node in graph.nodes.values() if node.kind == "http_request"]
    if not nodes:
        return
    approved = set(ApprovedHost.objects.values_list("origin", flat=True))
    keys = Credential.objects.filter(Q(project=project) | Q(project=None))
    bound = dict(keys.values_list("name", "host__origin"))
    bound |= dict(keys.filter(project=project).values_list("name", "host__origin"))
    for node in nodes:
        try:
            config = HttpRequest.model_validate(node.config)
            origin = origin_of(config.site)
        except (ValidationError, DjangoValidationError):
            continue  # reported at the node
        if origin not in approved:
            yield Problem(
                code="host_not_approved",
                node=node.id,
                field="url",
                message=f"Node '{node.id}' asks {origin}, which is not an approved host. Ask an "
                "administrator to approve it.",
            )
        if config.credential is not None and bound.get(config.credential) != origin:
            yield Problem(
                code="unknown_credential",
                node=node.id,
                field="credential",
                message=f"Node '{node.id}' names the credential '{config.credential}', which this "
                f"project does not have for {origin}. Store one of that name, or choose another.",
            )


MAX_PINNED = 200
"""Versions that one graph may lead to."""


def _pinned(project: Project, graph: Graph) -> tuple[dict[str, Graph], list[Problem]]:
    """The graphs that this one leads to, within its project, by version as the nodes write it."""
    found: dict[str, Graph] = {}
    problems: list[Problem] = []
    looking = [graph]
    while looking:
        nodes = [
            node
            for each in looking
            for node in each.nodes.values()
            if node.kind == "pipeline" or rewarding_pipeline(node.config)
        ]
        wanted = {_version(node) for node in nodes} - found.keys()
        rows = PipelineVersion.objects.filter(
            pipeline__project=project, pk__in=filter(None, map(_as_uuid, wanted))
        )
        by_id = {row.pk: row.graph for row in rows[:MAX_PINNED]}
        made = {v: by_id[pk] for v in wanted if (pk := _as_uuid(v)) in by_id}
        problems += [_not_here(node) for node in nodes if _version(node) not in {**found, **made}]
        found |= made
        looking = list(made.values()) if len(found) <= MAX_PINNED else []
    return found, problems


def _version(node: Node) -> str:
    return rewarding_pipeline(node.config) or str(node.config.get("version", ""))


def _as_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _not_here(node: Node) -> Problem:
    return Problem(
        code="unknown_pipeline",
        node=node.id,
        field="version",
        message=f"Node '{node.id}' pins the version '{_version(node):.100}', which this project does "
        "not have. Choose a pipeline of this project.",
    )


def pinned_config(*, version: PipelineVersion, into: Pipeline, user: Person) -> dict[str, Any]:
    """The config of a node of `into` that runs this version. Raises NotAllowed, and InvalidInput for
    a version of another project and for one that `into` is part of."""
    require(user, Action.VIEW, version)
    require(user, Action.EDIT, into)
    if version.pipeline.project_id != into.project_id:
        raise InvalidInput(
            f"'{version.pipeline}' belongs to another project. Copy it into this one to use it here."
        )
    graph = version.graph
    below, _ = _pinned(into.project, graph)
    inside = PipelineVersion.objects.filter(pk__in=filter(None, map(_as_uuid, below)))
    if version.pipeline_id == into.pk or inside.filter(pipeline=into).exists():
        raise InvalidInput(f"'{into}' can't be a part of itself. Choose another pipeline.")
    number = f" {version.number}" if version.number else ""
    return pinned(str(version.pk), graph, title=f"{version.pipeline.name}{number}"[:200])


def _usable[M: (LMProfile, Collection)](
    user: Person, action: Action, project: Project, rows: Iterable[M]
) -> dict[str, M]:
    """By name. The rows of the project come first, so a shared one does not replace them."""
    allowed = {project.pk: can(user, action, project), None: can(user, action, None)}
    usable: dict[str, M] = {}
    for row in rows:
        if allowed[row.owning_project_id]:
            usable.setdefault(row.name, row)
    return usable


def _unknown(node: Node, kind: Reference.Kind, key: str) -> Problem:
    thing = "LM profile" if kind is Reference.Kind.LM_PROFILE else "collection"
    field_name = "lm" if kind is Reference.Kind.LM_PROFILE else "collection"
    return Problem(
        code=f"unknown_{kind.value}",
        node=node.id,
        field=field_name,
        message=f"Node '{node.id}' names the {thing} '{key}', which this project does not have. "
        f"Choose another, or make one of that name.",
    )

"""What graphs name outside themselves: kept in step with drafts and versions, and resolved."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from pydantic import ValidationError

from pipelines.graph.graph import Graph, Node
from pipelines.graph.kinds import KINDS
from pipelines.graph.kinds.predict import LMConfig, Predict
from pipelines.graph.validate import Problem
from pipelines.models import (
    Collection,
    LMProfile,
    Person,
    Pipeline,
    PipelineVersion,
    Project,
    Reference,
)
from pipelines.permissions import Action, can

# These come with every installation and need no row; a row of the same name goes before them.
BUILT_IN_PROFILES = frozenset({"local"})
BUILT_IN_COLLECTIONS = frozenset({"docs"})
_LONGEST = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What the names in a graph mean to one person in one project, and those that mean nothing."""

    profiles: dict[str, LMProfile] = field(default_factory=dict)
    collections: dict[str, Collection] = field(default_factory=dict)
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
    problems = [
        _unknown(node, kind, key)
        for node in graph.nodes.values()
        for kind, key in names_in(node).items()
        if kind in known and key not in known[kind]
    ]
    return Resolved(profiles=profiles, collections=collections, problems=tuple(problems))


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

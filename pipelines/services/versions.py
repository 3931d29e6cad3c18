"""Versions: graphs that stay as they were, for runs and for publishing."""

import hashlib
from dataclasses import replace

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from pipelines.graph.graph import Graph
from pipelines.graph.validate import Problem, validate
from pipelines.models import Draft, Person, Pipeline, PipelineVersion
from pipelines.models.errors import InvalidInput
from pipelines.permissions import Action, require
from pipelines.services.conflicts import graph_before
from pipelines.services.edits import MAX_BEHIND
from pipelines.services.graph_text import graph_text
from pipelines.services.references import note_version_references, resolve_references


class NotPublishable(InvalidInput):
    """The pipeline has problems. Mend them first."""

    code = "not_publishable"

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(f"The pipeline has {len(problems)} problems. The first: {problems[0]}")
        self.problems = problems


def freeze_version(
    *, pipeline: Pipeline, user: Person, revision: int | None = None
) -> PipelineVersion:
    """The version that holds the draft as it is, or as it was at `revision`. The same content is the
    same version, however often it is run. Problems don't matter here: a run names them."""
    require(user, Action.RUN, pipeline)
    return _frozen(pipeline, user, graph_at(pipeline=pipeline, revision=revision))


def publish_version(
    *, pipeline: Pipeline, user: Person, revision: int | None = None, note: str = ""
) -> PipelineVersion:
    """Freeze the draft and give it the next number. What is published already stays as it is, note
    and all. Raises NotPublishable."""
    require(user, Action.PUBLISH, pipeline)
    graph = graph_at(pipeline=pipeline, revision=revision)
    if problems := _problems(pipeline, user, graph):
        raise NotPublishable(problems)
    with transaction.atomic():
        version = _frozen(pipeline, user, graph)
        # Numbers are given out one at a time.
        Pipeline.objects.select_for_update().get(pk=pipeline.pk)
        last = pipeline.versions.aggregate(last=Max("number"))["last"] or 0
        PipelineVersion.objects.filter(pk=version.pk, number=None).update(
            number=last + 1, note=note[:2_000], published_at=timezone.now(), published_by_id=user.pk
        )
        version.refresh_from_db()
    return version


def problems_of(*, pipeline: Pipeline, user: Person, revision: int | None = None) -> list[Problem]:
    """Everything that is wrong with a draft, what it names included, for this person."""
    require(user, Action.VIEW, pipeline)
    return _problems(pipeline, user, graph_at(pipeline=pipeline, revision=revision))


def graph_at(*, pipeline: Pipeline, revision: int | None = None) -> Graph:
    """The draft's graph, now or at an earlier revision (up to 1,000 operations back)."""
    draft = Draft.objects.get(pipeline=pipeline)
    if revision is None or revision == draft.revision:
        return draft.graph
    if not max(0, draft.revision - MAX_BEHIND) <= revision < draft.revision:
        raise InvalidInput(
            f"Revision {revision} can't be had any more or yet; the draft is at {draft.revision}."
        )
    since = list(pipeline.operations.between(revision, draft.revision))
    return graph_before(draft.graph, since)


def _problems(pipeline: Pipeline, user: Person, graph: Graph) -> list[Problem]:
    resolved = resolve_references(project=pipeline.project, graph=graph, user=user)
    return [*validate(replace(graph, pipelines=resolved.pipelines)), *resolved.problems]


def _frozen(pipeline: Pipeline, user: Person, graph: Graph) -> PipelineVersion:
    text = graph_text(graph)
    with transaction.atomic():
        version, made = PipelineVersion.objects.get_or_create(
            pipeline=pipeline,
            content_hash=hashlib.sha256(text.encode()).hexdigest(),
            defaults={"text": text, "author_id": user.pk},
        )
        if made:
            note_version_references(version, graph)
    return version

"""How pipelines come into being, and into the archive."""

import secrets
from dataclasses import replace

from django.db import transaction
from django.utils.text import slugify

from pipelines.graph.graph import Graph
from pipelines.models import Draft, Person, Pipeline, Project
from pipelines.models.errors import InvalidInput
from pipelines.permissions import Action, require
from pipelines.services.graph_text import graph_text, read_graph
from pipelines.services.references import note_references

UNNAMED = "Untitled pipeline"


def create_pipeline(
    *,
    project: Project,
    user: Person,
    name: str = "",
    description: str = "",
    graph: Graph | None = None,
) -> Pipeline:
    """A pipeline with this draft, at revision 0. What is given goes before the graph's own name and
    description. Raises GraphError, InvalidInput or TooLarge for a graph that can't be kept."""
    require(user, Action.EDIT, project)
    graph = graph or Graph()
    graph = replace(
        graph,
        name=name.strip() or graph.name.strip() or UNNAMED,
        description=description or graph.description,
    )
    text = graph_text(graph)
    with transaction.atomic():
        # Slugs are given out one at a time in a project.
        Project.objects.select_for_update().get(pk=project.pk)
        pipeline = Pipeline.objects.create(
            project=project,
            name=graph.name,
            slug=_free_slug(project, graph.name),
            description=graph.description,
            created_by=user if user.is_authenticated else None,
        )
        Draft.objects.create(pipeline=pipeline, text=text)
        note_references(pipeline, Graph(), graph)
    return pipeline


def copy_pipeline(
    *, pipeline: Pipeline, user: Person, project: Project | None = None, name: str = ""
) -> Pipeline:
    """A pipeline of its own with the same draft and no history. What the graph names is looked up
    where the copy is; no key and no document comes along."""
    require(user, Action.VIEW, pipeline)
    return create_pipeline(
        project=project or pipeline.project,
        user=user,
        name=name or f"{pipeline.name[:190]} (copy)",
        graph=Draft.objects.get(pipeline=pipeline).graph,
    )


def import_pipeline(
    *, project: Project, user: Person, text: str | bytes, name: str = ""
) -> Pipeline:
    """A pipeline from a pipeline file. Only its graph is taken: a file can't say whose it is."""
    require(user, Action.EDIT, project)
    try:
        text = text.decode() if isinstance(text, bytes) else text
    except UnicodeDecodeError:
        raise InvalidInput("A pipeline file is text in UTF-8; this one is not.") from None
    return create_pipeline(project=project, user=user, name=name, graph=read_graph(text))


def archive_pipeline(*, pipeline: Pipeline, user: Person, archived: bool = True) -> None:
    """Put a pipeline out of sight, or back. In the archive it can't be edited; nothing is lost."""
    require(user, Action.EDIT, pipeline)
    pipeline.archived = archived
    pipeline.save(update_fields=["archived", "updated_at"])


def _free_slug(project: Project, name: str) -> str:
    slug = slugify(name)[:70].strip("-") or "pipeline"
    taken = Pipeline.objects.filter(project=project, slug=slug).exists()
    return f"{slug}-{secrets.token_hex(4)}" if taken else slug

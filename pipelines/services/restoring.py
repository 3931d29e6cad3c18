"""Taking a draft back to a graph that it had before, as an edit like any other."""

from uuid import UUID

import msgspec

from pipelines.graph import diff
from pipelines.graph.graph import Graph
from pipelines.models import Person, Pipeline
from pipelines.permissions import Action, require
from pipelines.services.conflicts import Refused
from pipelines.services.edits import Applied, apply_operation
from pipelines.services.versions import graph_at


def restore(
    *, pipeline: Pipeline, user: Person, operation_id: UUID, base_revision: int, graph: Graph
) -> Applied | Refused | None:
    """Turn the draft, as its person knew it at `base_revision`, into `graph`; None: it is the same.

    One operation: it is refused when others wrote since what it would write, and undone like any
    other. Raises InvalidInput for a revision that can't be had.
    """
    require(user, Action.EDIT, pipeline)
    operation = diff.operations_between(graph_at(pipeline=pipeline, revision=base_revision), graph)
    if not operation.operations:
        return None
    return apply_operation(
        pipeline=pipeline,
        user=user,
        operation_id=operation_id,
        base_revision=base_revision,
        operation=msgspec.to_builtins(operation),
    )

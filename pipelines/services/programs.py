"""Programs that DSPy saved, imported onto a pipeline's nodes."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

import msgspec

from pipelines.graph.graph import GraphError
from pipelines.graph.ops import apply
from pipelines.graph.program import fit, read_program
from pipelines.graph.validate import validate
from pipelines.models import Draft, Person, Pipeline
from pipelines.models.errors import InvalidInput
from pipelines.permissions import Action, require
from pipelines.services.conflicts import Refused
from pipelines.services.edits import Applied, apply_operation


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What became of it: the operation, which node took which predictor, and what was left out."""

    result: Applied | Refused
    nodes: Mapping[str, str]
    ignored: tuple[str, ...]


def import_program(
    *,
    pipeline: Pipeline,
    user: Person,
    data: bytes,
    operation_id: UUID,
    nodes: Mapping[str, str] | None = None,
) -> Imported:
    """Give the draft's predictors what a program file says, as one operation, which can be undone.

    `nodes` names the node of a predictor path where the ids differ. Raises NotAllowed, and InvalidInput
    for what is no program or fits nothing, naming each predictor.
    """
    require(user, Action.EDIT, pipeline)
    draft = Draft.objects.get(pipeline=pipeline)
    try:
        program = read_program(data)
        fitted = fit(program, draft.graph, nodes)
        changed = apply(draft.graph, fitted.operation)
    except GraphError as error:
        raise InvalidInput(str(error)) from None
    touched = fitted.nodes.values()
    if problems := [one for one in validate(changed) if one.node in touched and one.field]:
        raise InvalidInput(f"The program does not fit: {problems[0]}")
    result = apply_operation(
        pipeline=pipeline,
        user=user,
        operation_id=operation_id,
        base_revision=draft.revision,
        operation=msgspec.to_builtins(fitted.operation),
    )
    return Imported(result=result, nodes=fitted.nodes, ignored=program.ignored)

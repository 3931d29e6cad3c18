"""Which host tools the modules of a pipeline may call."""

from pipelines.models import Person, Pipeline
from pipelines.models.errors import InvalidInput
from pipelines.permissions import Action, require
from runner.bridge.tools import REGISTERED
from runner.models import AllowedTool


def allow_tool(*, pipeline: Pipeline, user: Person, name: str) -> AllowedTool:
    """Let a pipeline call a tool that an installed app has registered; a second time changes nothing."""
    require(user, Action.ALLOW_TOOLS, pipeline)
    if name not in REGISTERED:
        known = ", ".join(sorted(REGISTERED)) or "none"
        raise InvalidInput(f"No installed app has a tool '{name}'. Registered: {known}.")
    return AllowedTool.objects.get_or_create(pipeline=pipeline, name=name)[0]

"""template: text with values filled in, in the sandbox of `pipelines/graph/sandbox.py`."""

import asyncio
from collections.abc import Mapping
from typing import Any

from pipelines.graph.kinds.template import Template
from pipelines.graph.sandbox import SandboxError, render
from runner.engine.errors import InvalidConfig
from runner.engine.executor import Call


async def fill_template(call: Call) -> Mapping[str, Any]:
    """The text as `text`. A template with a loop may take a second and leaves the event loop; the
    others take microseconds."""
    config: Template = call.config
    try:
        if "{%" in config.template:
            return {"text": await asyncio.to_thread(render, config.template, call.inputs)}
        return {"text": render(config.template, call.inputs)}
    except SandboxError as error:
        message = f"The template can't be filled in. {error}"
        raise InvalidConfig(message, line=error.line) from None

"""lm: a prompt in, the model's text out."""

from collections.abc import Mapping
from typing import Any

from pipelines.graph.kinds.lm import LM
from runner.engine.errors import InvalidInput
from runner.engine.executor import Call
from runner.lm.types import LMRequest, Message
from runner.native.predict import Gateway


async def call_lm(gateway: Gateway, call: Call) -> Mapping[str, Any]:
    """The answer as `text`, whatever it is."""
    config: LM = call.config
    prompt = call.inputs.get("prompt")
    if not isinstance(prompt, str):
        raise InvalidInput("input field 'prompt': invalid type, expected str.")
    system = (Message(role="system", content=config.system),) if config.system else ()
    request = LMRequest(
        messages=(*system, Message(role="user", content=prompt)),
        temperature=config.temperature,
        max_tokens=config.max_tokens,
    )
    response = await gateway.complete(request, call, profile=config.lm)
    return {"text": response.text}

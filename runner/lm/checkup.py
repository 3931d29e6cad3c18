"""Whether the embedded model answers."""

import asyncio
import time
from contextlib import aclosing

from runner.engine.errors import RunnerError
from runner.engine.findings import Finding, broken, ok
from runner.lm.adapters.local import LocalAdapter
from runner.lm.local_model import LOCAL_PROFILE, model_file
from runner.lm.types import LMProfile, LMRequest, LMResponse, Message

PART = "Local model"
_QUESTION = LMRequest(messages=(Message(role="user", content="Say ok."),), max_tokens=4)


def local_model(profile: LMProfile = LOCAL_PROFILE) -> list[Finding]:
    """Have it answer, in a child of its own that ends at once. Blocks for a second or two."""
    try:
        path, began = model_file(), time.monotonic()
        answer = asyncio.run(_asked(profile))
    except RunnerError as error:
        mend = "" if "make setup" in error.message else "Run `make setup`."
        return [broken(PART, error.message, mend or "Pipelines on other LM profiles run.")]
    took = time.monotonic() - began
    size = path.stat().st_size / 1e6
    tokens = answer.usage.output_tokens
    return [ok(PART, f"{profile.model} ({size:.0f} MB) gave {tokens} tokens, {took:.1f} s in all.")]


async def _asked(profile: LMProfile) -> LMResponse:
    adapter = LocalAdapter()
    try:
        async with aclosing(adapter.stream(_QUESTION, profile)) as parts:
            async for part in parts:
                if isinstance(part, LMResponse):
                    return part
    finally:
        await adapter.aclose()
    raise RunnerError("The local model's answer had no end.")

"""The embedded model: the chat-completions API of our own child process."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec

from runner.engine.errors import RunnerError
from runner.lm.adapters.adapter import Part
from runner.lm.adapters.openai_compatible import OpenAICompatibleAdapter
from runner.lm.errors import TransportError
from runner.lm.local_model import LocalModel, LocalSettings, model_file, settings_of
from runner.lm.types import LMProfile, LMRequest

# Without it the model repeats itself until the answer is cut: of nine schema-bound answers of at most
# 160 tokens seven were cut, with it none, in half the time; classification was the same.
SENT = {"extra": {"repeat_penalty": 1.1}}


class LocalAdapter:
    """One child for each distinct setting; profiles that differ in other things share it."""

    def __init__(self) -> None:
        self._http = OpenAICompatibleAdapter()
        self._models: dict[LocalSettings, LocalModel] = {}

    def model(self, profile: LMProfile) -> LocalModel:
        """The supervisor of the profile's child."""
        settings = settings_of(profile)
        if settings not in self._models:
            self._models[settings] = LocalModel(settings)
        return self._models[settings]

    async def stream(self, request: LMRequest, profile: LMProfile) -> AsyncGenerator[Part, None]:
        model = self.model(profile)
        endpoint = model.running()
        if endpoint is None:
            # A cancelled caller leaves the start going on in its thread: the next one finds it done.
            endpoint = await asyncio.to_thread(model.endpoint)
        there = msgspec.structs.replace(
            profile, base_url=endpoint.base_url, api_key=endpoint.key, settings=SENT
        )
        try:
            async with aclosing(self._http.stream(request, there)) as parts:
                async for part in parts:
                    yield part
        except TransportError:
            # Its connections close before a dying child is seen to be dead; the next attempt must see it.
            await asyncio.to_thread(model.wait, 1.0)
            raise

    def health(self, profile: LMProfile) -> tuple[bool, str]:
        try:
            model_file()
            pid = self.model(profile).pid
        except RunnerError as error:
            return False, error.message
        return True, f"Running as process {pid}." if pid else "Starts on first use."

    async def aclose(self) -> None:
        await self._http.aclose()
        for model in self._models.values():
            # Blocks for a few ms. Not in a thread: at the interpreter's exit there is none to be had.
            model.stop()

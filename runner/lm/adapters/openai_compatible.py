"""Providers that speak OpenAI's APIs over HTTP with server-sent events."""

from runner.lm.adapters.chat_completions import ChatCompletions
from runner.lm.adapters.http_adapter import HTTPAdapter
from runner.lm.adapters.openai_settings import Settings
from runner.lm.adapters.responses import Responses
from runner.lm.adapters.wire import Wire, settings_of
from runner.lm.types import LMProfile


class OpenAICompatibleAdapter(HTTPAdapter):
    """Chat completions, which everybody speaks, or the Responses API."""

    def wire(self, profile: LMProfile) -> Wire:
        settings = settings_of(profile, Settings)
        return Responses(settings) if settings.api == "responses" else ChatCompletions(settings)

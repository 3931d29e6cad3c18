"""The settings of an openai_compatible profile, and which models reason. No I/O."""

import re
from typing import Any, Literal

import msgspec

from runner.lm.types import LMProfile, LMRequest

# OpenAI's models that reason before they answer, by name; a provider's prefix may go before it.
# `gpt-5-chat-latest` and its like do not.
_REASONS = re.compile(r"(?:.*/)?(?:o[1-9](?:-|$)|gpt-[5-9](?!.*-chat))")


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The settings of an openai_compatible profile.

    `api` is which of the two APIs is spoken. `max_tokens_field` is the name that the provider gives the
    limit of a chat completion; `strict` is sent with a JSON Schema. `reasoning` says whether the model
    reasons (None: by its name), `reasoning_effort` how much. `extra` is merged into every request as
    it is.
    """

    api: Literal["chat_completions", "responses"] = "chat_completions"
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] | None = None
    strict: bool = True
    reasoning: bool | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    extra: dict[str, Any] = {}

    def reasons(self, profile: LMProfile) -> bool:
        if self.reasoning is not None:
            return self.reasoning
        return _REASONS.match(profile.model) is not None

    def sampling(self, request: LMRequest, profile: LMProfile) -> dict[str, Any]:
        """Temperature and its like: a model that reasons refuses a request that has them. With effort
        `none` it does not reason."""
        if self.reasons(profile) and self.reasoning_effort != "none":
            return {}
        return {"temperature": request.temperature, "top_p": request.top_p}


def bearer(profile: LMProfile) -> dict[str, str]:
    return {"authorization": f"Bearer {profile.api_key}"} if profile.api_key else {}

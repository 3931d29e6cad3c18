"""The one typed request and response of the gateway. Values are JSON all the way down."""

from typing import Any, Literal

import msgspec

type AdapterName = Literal[
    "local", "scripted", "openai_compatible", "anthropic", "instructor", "litellm"
]


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One turn. `content` is text, or parts in the shape of the chat-completions API."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[dict[str, Any]] = ""
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None


class LMRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is asked of a language model. None leaves a setting to the profile.

    `response_schema` is a JSON Schema that the answer must follow; `json_object` asks for any JSON
    object. `rollout_id` and `candidate` tell apart calls that are equal in all else and are meant to
    be answered anew (BestOfN, n > 1); both are part of every key of a stored answer.
    """

    messages: tuple[Message, ...]
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    response_schema: dict[str, Any] | None = None
    json_object: bool = False
    tools: tuple[dict[str, Any], ...] = ()
    tool_choice: str | dict[str, Any] | None = None
    rollout_id: int | None = None
    candidate: int = 0
    fresh: bool = False  # skip the response cache: this is a retry after a bad answer
    predictor: str = ""  # which predictor of the step asks, for the trace; no part of any key


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens, and cost in US dollars where the profile has prices.

    `cached_input_tokens` are those of `input_tokens` that the provider had in its own cache,
    `reasoning_tokens` those of `output_tokens` that the model thought with, where the provider says so.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    cached_input_tokens: int = 0
    reasoning_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cost=self.cost + other.cost,
            cached_input_tokens=self.cached_input_tokens + other.cached_input_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
        )


class LMResponse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An answer. `usage` is zero when `source` is not `provider`: a stored answer costs nothing."""

    text: str
    model: str = ""
    finish_reason: str = "stop"
    usage: Usage = Usage()
    tool_calls: list[dict[str, Any]] | None = None
    logprobs: Any = None
    source: Literal["provider", "response_cache", "replay_log"] = "provider"


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that an adapter did not accept, and asks again for: what was wrong with it."""

    response: LMResponse
    problem: str


class LMProfile(msgspec.Struct, frozen=True, kw_only=True):
    """A stored configuration of a language model, as a frozen value.

    `format` is how native predictors write and read (see runner/native/formats); `structured` says
    whether the provider can hold an answer to a JSON Schema. `settings` are the adapter's own
    (the scripted adapter's answers, the local one's context size). The key is never in a repr.

    `timeout` is seconds for one attempt, `connect_timeout` and `first_token_timeout` (None: no limit of
    its own) for its beginnings; `retries` further attempts after an outage. `concurrency` calls at a
    time, `requests_per_minute` and `tokens_per_minute` (None: no limit) hold wherever the profile is
    used in a process: it is known by its `id`, or by its name where it has none. Prices are US dollars
    per million tokens; without `cached_input_price` cached tokens cost as much as others.

    With `private_network` the name in `base_url` may lead to an address that is not public. `revision`
    rises with every edit, and is part of the response cache's keys.
    """

    name: str
    adapter: AdapterName
    id: str = ""
    model: str = ""
    base_url: str = ""
    private_network: bool = False
    api_key: str = ""
    format: Literal["chat", "json", "compact"] = "chat"
    structured: bool = True
    temperature: float | None = None
    max_tokens: int | None = None
    connect_timeout: float = 10.0
    first_token_timeout: float | None = None
    timeout: float = 120.0
    retries: int = 3
    concurrency: int = 8
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    input_price: float = 0.0
    cached_input_price: float | None = None
    output_price: float = 0.0
    settings: dict[str, Any] = {}
    revision: int = 1

    @property
    def identity(self) -> str:
        """What tells the profile from those of other projects, which may have its name."""
        return self.id or self.name

    def cost(self, usage: Usage) -> float:
        """US dollars by the prices of the profile."""
        cached = usage.cached_input_tokens
        cached_price = (
            self.input_price if self.cached_input_price is None else self.cached_input_price
        )
        fresh = max(0, usage.input_tokens - cached)
        millionths = (
            fresh * self.input_price
            + cached * cached_price
            + usage.output_tokens * self.output_price
        )
        return millionths / 1e6

    def __repr__(self) -> str:
        return f"LMProfile(name={self.name!r}, adapter={self.adapter!r}, model={self.model!r})"


class ProfileHealth(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a profile could be called now, as far as can be told without spending a token."""

    name: str
    adapter: str
    ok: bool
    detail: str

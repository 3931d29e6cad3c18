"""What may be set on every node: how long a step may take, how often it is tried, what a failure does."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class StepPolicy(BaseModel):
    """The step policy. A node stores only what differs from these defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backend: Literal["auto", "native", "dspy"] = Field(
        "auto", description="Which implementation runs this step; auto lets the router choose."
    )
    timeout: float | None = Field(
        None, gt=0, le=86_400, description="Seconds one attempt may take; none when empty."
    )
    retries: int = Field(0, ge=0, le=10, description="Further attempts after a retryable failure.")
    backoff: float = Field(
        0.5, ge=0, le=600, description="Seconds before the first retry; doubles."
    )
    jitter: float = Field(0.1, ge=0, le=1, description="Random share added to each wait.")
    retry: Literal["auto", "allowed", "never"] = Field(
        "auto",
        description="never: a step with side effects, which nobody repeats by itself; auto: as its "
        "kind is, unless retries are set.",
    )
    on_error: Literal["stop", "continue", "fallback_value", "fallback_backend"] = Field(
        "stop",
        description="stop ends the run; continue leaves the outputs dead and lists the error; "
        "fallback takes the value below, or the other backend.",
    )
    fallback: dict[str, Any] | None = Field(
        None, description="Outputs by port name, for on_error: fallback_value."
    )
    cache: bool = Field(True, description="Take a recorded answer of the response cache.")

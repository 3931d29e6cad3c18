"""What LM calls of a run have used."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Tally:
    """Tokens and US dollars that LM calls reported."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    lm_calls: int = 0

    def add(self, usage: Mapping[str, Any]) -> None:
        self.input_tokens += usage["input_tokens"]
        self.output_tokens += usage["output_tokens"]
        self.cost += usage["cost"]
        self.lm_calls += 1

    def as_dict(self) -> dict[str, Any]:
        return {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cost": self.cost,
            "lm_calls": self.lm_calls,
        }

"""The seam to a provider: a typed request in, pieces of text and then the whole answer out."""

from collections.abc import AsyncGenerator
from typing import Protocol

from runner.lm.types import LMProfile, LMRequest, LMResponse, Rejected

type Part = str | Rejected | LMResponse


class Adapter(Protocol):
    """Speaks to the providers of one kind. One instance serves every profile that names it."""

    def stream(self, request: LMRequest, profile: LMProfile) -> AsyncGenerator[Part, None]:
        """Make ONE attempt: yield the text as it comes, then the `LMResponse`, which ends it.

        The pieces joined are `LMResponse.text`; an adapter that can't stream yields one piece. One that
        checks answers and asks again yields `Rejected` in between: what streamed before it does not
        count. Cost is left at zero: the gateway knows the prices. Closing the generator, or cancelling
        its task, closes the connection at once. Raises an LMError (or MissingPackages), never repeats
        after an outage.
        """
        ...

    def health(self, profile: LMProfile) -> tuple[bool, str]:
        """Whether a call could be made, and a sentence about it. Quick, spends no token."""
        ...

    async def aclose(self) -> None:
        """Release connections and processes."""
        ...

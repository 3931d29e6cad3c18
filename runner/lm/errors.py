"""What can go wrong between the gateway and a provider.

Each failure has one owner (docs/reference/gateway.md): the gateway repeats what is `retryable` and
then raises `Exhausted`; what `suspends` waits for a person; the rest goes to whoever asked.
Cancellation is no error: it is `asyncio.CancelledError`.
"""

from typing import Any

from runner.engine.errors import RunnerError


class LMError(RunnerError):
    """The language model could not be called."""

    code = "lm"


class AuthError(LMError):
    """The provider refused the key. Check the credential of the LM profile."""

    code = "auth"
    suspends = True


class BillingError(LMError):
    """The provider's account has no credit left."""

    code = "billing"
    suspends = True


class BudgetExceeded(LMError):
    """The call would spend more than the budget allows."""

    code = "budget_exceeded"
    suspends = True


class RateLimited(LMError):
    """The provider limits the rate of calls. `details.retry_after` is its wish in seconds."""

    code = "rate_limit"
    retryable = True


class LMTimeout(LMError):
    """The provider did not answer in time."""

    code = "timeout"
    retryable = True


class ServerError(LMError):
    """The provider failed."""

    code = "server"
    retryable = True


class TransportError(LMError):
    """The connection to the provider failed or was cut."""

    code = "transport"
    retryable = True


class Exhausted(LMError):
    """The provider kept failing and the gateway gave up. `details.cause` is the code of the last failure.

    Nobody repeats it at once. It follows only what an outage looks like (rate_limit, timeout, server,
    transport), so the run waits.
    """

    code = "exhausted"
    suspends = True


class AddressRefused(LMError):
    """The provider's name leads where no connection may be made."""

    code = "address_refused"
    suspends = True


class ContextWindowExceeded(LMError):
    """The messages are longer than the model's context window."""

    code = "context_window_exceeded"


class InvalidRequest(LMError):
    """The provider does not accept the request."""

    code = "invalid_request"


class Refusal(LMError):
    """The model or the provider's filter refused to answer."""

    code = "refusal"


class UnexpectedResponse(LMError):
    """The provider's answer is not in the expected form."""

    code = "unexpected_response"
    retryable = True  # by the step's policy: the gateway does not repeat it


BY_CODE: dict[str, type[LMError]] = {
    error.code: error
    for error in (
        AuthError,
        BillingError,
        BudgetExceeded,
        RateLimited,
        LMTimeout,
        ServerError,
        TransportError,
        Exhausted,
        AddressRefused,
        ContextWindowExceeded,
        InvalidRequest,
        Refusal,
        UnexpectedResponse,
    )
}

# What the gateway itself repeats.
OUTAGES = (RateLimited, LMTimeout, ServerError, TransportError)


def error_of(code: str, message: str = "", **details: Any) -> LMError:
    """The error of this code; an unknown code is an `UnexpectedResponse` that names it."""
    known = BY_CODE.get(code)
    if known is None:
        return UnexpectedResponse(f"Unknown error code '{code}'. {message}".strip(), **details)
    return known(message, **details)

"""One call in one worker, to its end: its result, the end of its time, or its caller's giving up."""

import asyncio

from runner.bridge.messages import ErrorMessage, ResultMessage
from runner.bridge.proxy import CallTicket
from runner.engine.errors import StepTimeout

_LAST_WAIT = 1.0
"""Seconds that a killed worker's end is waited for."""


class OutOfTime(StepTimeout):
    """The call's time was up."""


async def answer_of(
    ticket: CallTicket, *, deadline: float | None, grace: float
) -> ResultMessage | ErrorMessage:
    """How the call ended. Raises WorkerLost, and OutOfTime at the deadline (in the loop's time). When it
    does not return, the worker was told to stop; if it did not within `grace` seconds it was killed, or,
    where others are at work in it, gets no further step."""
    timer = None
    if deadline is not None:
        timer = ticket.outcome.get_loop().call_at(deadline, _expire, ticket)
    try:
        return await ticket.outcome
    except (asyncio.CancelledError, OutOfTime):
        stopping = asyncio.create_task(_stop(ticket, grace))
        try:
            await asyncio.shield(stopping)
        except asyncio.CancelledError:
            # No time left to ask: it must not get the next step as well.
            ticket.worker.give_up(ticket.number, "its step was cancelled twice")
            await stopping
            raise
        raise
    finally:
        if timer is not None:
            timer.cancel()


def _expire(ticket: CallTicket) -> None:
    if not ticket.outcome.done():
        ticket.outcome.set_exception(OutOfTime())
        ticket.outcome.exception()  # seen, should its caller give up in this moment


async def _stop(ticket: CallTicket, grace: float) -> None:
    """Have the worker stop a call: told first, and killed when it does not."""
    stopped = ticket.worker.cancel(ticket.number)
    if stopped is None:
        return
    done, _ = await asyncio.wait({stopped}, timeout=grace)
    if not done:
        ticket.worker.give_up(ticket.number, "it did not stop when told to")
        await asyncio.wait({stopped}, timeout=_LAST_WAIT)
    if stopped.done():
        stopped.exception()  # seen: that the worker was lost is what was wanted

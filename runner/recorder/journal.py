"""The journal of one run, as the engine, the gateway and the dispatcher see it."""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import structs

from runner.engine.errors import Failure, RunnerError, ValueTooLarge
from runner.engine.events import Chunk, Event, EventType, RunStatus
from runner.engine.resuming import TOOL
from runner.live.streams import HERE, OpenStreams, StreamText
from runner.recorder.cursor import Row
from runner.recorder.payload import LARGE, column_text, size_above, size_at_most
from runner.recorder.projection import Projection, RunState
from runner.recorder.rows import REPLAY_ANSWERS, STREAMS, Table

if TYPE_CHECKING:
    from runner.recorder.recorder import Recorder

_CARRIES = frozenset(
    {
        *(EventType.RUN_STARTED, EventType.LM_CALL, EventType.STEP_ANSWERED, EventType.TRACE),
        *(EventType.ATTEMPT_FAILED, EventType.STEP_FAILED, EventType.STEP_CANCELLED),
        *(EventType.RUN_FINISHED, EventType.RETRACT),
    }
)
"""What may hold large values, besides those that steps give each other: their outputs are checked."""
_BULKY = 4 * LARGE
"""The bound of a value's size that makes a run bulky. It is up to six times the size."""
_ENDS_STEP = frozenset({EventType.STEP_SUCCEEDED, EventType.STEP_FAILED, EventType.STEP_CANCELLED})


class LeaseLost(RunnerError):
    """Another runner has taken this run over; what this one does is not recorded any more."""

    code = "lease_lost"


class NotRecorded(RunnerError):
    """The database did not take what the run told."""

    code = "not_recorded"


type Lost = Callable[[RunnerError], None]


class RunJournal:
    """Takes what happens in a run, in order. Used on the event loop; nothing in it blocks.

    Numbers go on where an earlier runner ended: those of the engine, which counts each of its
    executions from 1, are not used.
    """

    def __init__(self, state: RunState, recorder: "Recorder", on_lost: Lost) -> None:
        self.state = state
        self.on_lost = on_lost
        self.seq = state.last_seq
        self.streams = HERE[state.id] = OpenStreams(state.epoch)
        self.projection = Projection(state)
        self.error: RunnerError | None = None
        self.pending: list[Event] = []
        self.rows: dict[Table, list[Row]] = {}
        self.untold: list[Row] = []
        self.shows = False
        self.is_bulky = bool(state.last_seq)  # what it is given again may be large
        self._recorder = recorder
        self._closed = False
        self._finished = False

    def append(self, event: Event) -> None:
        if self._closed:
            return
        self.seq += 1
        data = event.data
        if event.type in _CARRIES or data.get("taken_from") or data.get("kind") == TOOL:
            self._weigh(data)
        if event.type is EventType.RUN_STARTED and self.state.last_seq:
            data = {"resumed": True, "epoch": self.state.epoch}
        if event.seq != self.seq or data is not event.data:
            event = structs.replace(event, seq=self.seq, data=data)
        self.pending.append(event)
        if event.type in _ENDS_STEP:
            self._store(self.streams.close(self.seq, event.step), closed_seq=self.seq)
        elif event.type is EventType.RETRACT:
            closed = self.streams.close(self.seq, event.step, data["call"])
            self._store(closed, closed_seq=self.seq)
        elif event.type is EventType.RUN_FINISHED:
            self._closed = self._finished = self.shows = True
        self._recorder.appended(self)

    async def check(self, outputs: Mapping[str, Any]) -> None:
        """Raise ValueTooLarge for an output of more bytes than the recorder keeps of one value."""
        most = self._recorder.largest
        bound = self._weigh(outputs)
        if (bound is not None and bound <= most) or await size_above(outputs, most) is None:
            return
        for name, value in outputs.items():
            if (size := await size_above(value, most)) is not None:
                raise ValueTooLarge(
                    f"The output '{name}' has {size / 1e6:,.0f} MB as JSON; {most / 1e6:,.0f} MB is the "
                    "most that is recorded of a value. Give less, or have DSPEX_MAX_VALUE_MB raised."
                )

    def _weigh(self, value: Mapping[str, Any]) -> int | None:
        """No fewer bytes than the value has as JSON, None for many. Where one is large, writing what the
        run tells takes longer than the event loop has."""
        bound = size_at_most(value)
        if bound is None or bound > _BULKY:
            self.is_bulky = True
        return bound

    async def commit(self) -> None:
        """Return when every event appended so far is durable. Raises NotRecorded, and LeaseLost, also when
        the run was released: nothing may go on that counts on what was not taken any more."""
        if self._closed and not self._finished:
            raise self.error or LeaseLost()
        await self._recorder.commit(self)

    @property
    def finished(self) -> bool:
        """Whether the run's end was appended."""
        return self._finished

    @property
    def has_pending(self) -> bool:
        return bool(self.pending or self.rows)

    def chunk(self, chunk: Chunk) -> None:
        if not self._closed:
            self.streams.take(chunk)
            self._recorder.streamed(self, chunk)

    async def answer(self, key: str, value: str) -> None:
        """Keep an answer of a language model for this run; durable on return."""
        if not self._closed:
            self.is_bulky |= len(value) > _BULKY
            self.rows.setdefault(REPLAY_ANSWERS, []).append((self.state.id.hex, key, value))
            self._recorder.appended(self)
            await self._recorder.commit(self)

    async def finish(self, status: RunStatus, failure: Failure | None = None) -> None:
        """End a run that is not executed here: it can't be, or nobody wants it any more."""
        self.append(
            Event(
                run_id=str(self.state.id),
                seq=0,
                type=EventType.RUN_FINISHED,
                at=time.time(),
                data={
                    "status": status,
                    "outputs": {},
                    "errors": [],
                    "failure": failure,
                    "failed_step": "",
                    "usage": self.state.tally.as_dict(),
                    "seconds": 0.0,
                },
            )
        )
        await self.commit()

    def release(self) -> None:
        """Take nothing more: the run is left to another runner."""
        self._closed = True

    def snapshot(self) -> None:
        """Have the text that came since the last snapshot stored with the next batch."""
        if not self._closed:
            self._store(self.streams.grown(), closed_seq=None)

    def _store(self, streams: list[StreamText], closed_seq: int | None) -> None:
        if not streams:
            return
        self.is_bulky |= sum(stream.length for stream in streams) > LARGE
        self.rows.setdefault(STREAMS, []).extend(
            (
                self.state.id.hex,
                self.state.epoch,
                stream.step,
                stream.attempt,
                stream.call,
                stream.field,
                column_text(stream.text),
                closed_seq,
            )
            for stream in streams
        )

"""The journal of one run, as the engine, the gateway and the dispatcher see it."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from runner.engine.errors import Failure, RunnerError, ValueTooLarge
from runner.engine.events import Chunk, Event, EventType, RunStatus
from runner.live.streams import HERE, OpenStreams, StreamText
from runner.recorder.payload import size_above
from runner.recorder.projection import Projection, RunState
from runner.recorder.rows import Row

if TYPE_CHECKING:
    from runner.recorder.recorder import Recorder

_ENDS_STEP = frozenset({EventType.STEP_SUCCEEDED, EventType.STEP_FAILED, EventType.STEP_CANCELLED})


class LeaseLost(RunnerError):
    """Another runner has taken this run over; what this one does is not recorded any more."""

    code = "lease_lost"


class NotRecorded(RunnerError):
    """The database did not take what the run told."""

    code = "not_recorded"


class RunJournal:
    """Takes what happens in a run, in order. Used on the event loop; nothing in it blocks.

    Numbers go on where an earlier runner ended: those of the engine, which counts each of its
    executions from 1, are not used.
    """

    def __init__(self, state: RunState, recorder: "Recorder") -> None:
        self.state = state
        self.seq = state.last_seq
        self.streams = HERE[state.id] = OpenStreams(state.epoch)
        self.projection = Projection(state)
        self.error: RunnerError | None = None
        self.pending: list[Event] = []
        self.stream_rows: list[Row] = []
        self.answer_rows: list[Row] = []
        self._recorder = recorder
        self._closed = False
        self._finished = False

    def append(self, event: Event) -> None:
        if self._closed:
            return
        self.seq += 1
        data = event.data
        if event.type is EventType.RUN_STARTED and self.state.last_seq:
            data = {"resumed": True, "epoch": self.state.epoch}
        self.pending.append(
            Event(
                run_id=event.run_id,
                seq=self.seq,
                type=event.type,
                at=event.at,
                step=event.step,
                attempt=event.attempt,
                data=data,
            )
        )
        if event.type in _ENDS_STEP:
            self._store(self.streams.close(self.seq, event.step), closed_seq=self.seq)
        elif event.type is EventType.RETRACT:
            closed = self.streams.close(self.seq, event.step, data["call"])
            self._store(closed, closed_seq=self.seq)
        elif event.type is EventType.RUN_FINISHED:
            self._closed = self._finished = True
        self._recorder.appended(self)

    async def check(self, outputs: Mapping[str, Any]) -> None:
        """Raise ValueTooLarge for an output of more bytes than the recorder keeps of one value."""
        most = self._recorder.largest
        if await size_above(outputs, most) is None:
            return
        for name, value in outputs.items():
            if (size := await size_above(value, most)) is not None:
                raise ValueTooLarge(
                    f"The output '{name}' has {size / 1e6:,.0f} MB as JSON; {most / 1e6:,.0f} MB is the "
                    "most that is recorded of a value. Give less, or have DSPEX_MAX_VALUE_MB raised."
                )

    async def commit(self) -> None:
        """Return when everything appended so far is durable. Raises LeaseLost or NotRecorded."""
        await self._recorder.commit(self)

    @property
    def finished(self) -> bool:
        """Whether the run's end was appended."""
        return self._finished

    @property
    def has_pending(self) -> bool:
        return bool(self.pending or self.stream_rows or self.answer_rows)

    def chunk(self, chunk: Chunk) -> None:
        if not self._closed:
            self.streams.take(chunk)
            self._recorder.streamed(self, chunk)

    async def answer(self, key: str, value: str) -> None:
        """Keep an answer of a language model for this run; durable on return."""
        if not self._closed:
            self.answer_rows.append((self.state.id.hex, key, value))
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
        self._store(self.streams.grown(), closed_seq=None)

    def _store(self, streams: list[StreamText], closed_seq: int | None) -> None:
        self.stream_rows += [
            (
                self.state.id.hex,
                self.state.epoch,
                stream.step,
                stream.attempt,
                stream.call,
                stream.field,
                stream.text,
                closed_seq,
            )
            for stream in streams
        ]

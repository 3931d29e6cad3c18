from runner.recorder.answers import DatabaseReplayLog, DatabaseResponseCache
from runner.recorder.catching_up import catch_up
from runner.recorder.database_thread import DatabaseThread
from runner.recorder.figures import DatabaseFigures
from runner.recorder.journal import LeaseLost, NotRecorded, RunJournal
from runner.recorder.projection import RunState
from runner.recorder.recorder import Recorder
from runner.recorder.steps import DatabaseStepStore, earlier_of, outputs_of, recorded_outputs

__all__ = [
    "DatabaseFigures",
    "DatabaseReplayLog",
    "DatabaseResponseCache",
    "DatabaseStepStore",
    "DatabaseThread",
    "LeaseLost",
    "NotRecorded",
    "Recorder",
    "RunJournal",
    "RunState",
    "catch_up",
    "earlier_of",
    "outputs_of",
    "recorded_outputs",
]

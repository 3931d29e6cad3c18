from runner.recorder.answers import DatabaseReplayLog, DatabaseResponseCache
from runner.recorder.database_thread import DatabaseThread
from runner.recorder.figures import DatabaseFigures
from runner.recorder.journal import LeaseLost, NotRecorded, RunJournal
from runner.recorder.projection import RunState
from runner.recorder.recorder import Recorder

__all__ = [
    "DatabaseFigures",
    "DatabaseReplayLog",
    "DatabaseResponseCache",
    "DatabaseThread",
    "LeaseLost",
    "NotRecorded",
    "Recorder",
    "RunJournal",
    "RunState",
]

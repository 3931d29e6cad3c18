from runner.models.answers import CachedAnswer, ReplayAnswer
from runner.models.event import Artifact, Event, Stream
from runner.models.pins import PinnedOutput
from runner.models.pools import PoolOrder, RunnerFigures
from runner.models.router import (
    AllowedTool,
    DSPyModule,
    RouterChange,
    RouterSubject,
    RunnerSettings,
)
from runner.models.run import FINAL, Attempt, Run, RunQuerySet, Step

__all__ = [
    "FINAL",
    "AllowedTool",
    "Artifact",
    "Attempt",
    "CachedAnswer",
    "DSPyModule",
    "Event",
    "PinnedOutput",
    "PoolOrder",
    "ReplayAnswer",
    "RouterChange",
    "RouterSubject",
    "Run",
    "RunQuerySet",
    "RunnerFigures",
    "RunnerSettings",
    "Step",
    "Stream",
]

from runner.models.answers import CachedAnswer, ReplayAnswer
from runner.models.event import Artifact, Event, Stream
from runner.models.run import FINAL, Attempt, Run, RunQuerySet, Step

__all__ = [
    "FINAL",
    "Artifact",
    "Attempt",
    "CachedAnswer",
    "Event",
    "ReplayAnswer",
    "Run",
    "RunQuerySet",
    "Step",
    "Stream",
]

"""A run once more: the same version with the same inputs, or the same part of it."""

import msgspec

from pipelines.models import Person
from runner.engine.partial import PartialRun
from runner.models import Run
from runner.recorder.payload import restored
from runner.services import start_run
from runner.views.values import values_of


def start_again(*, run: Run, user: Person, part: PartialRun | None = None) -> Run:
    """A new run, of `part` or of what this one ran. Raises what `start_run` raises."""
    aside = {place: key for place, key in run.artifacts.items() if place.startswith("inputs/")}
    inputs = restored({"inputs": run.inputs}, aside, values_of(run, aside))["inputs"]
    ran = run.whole_part
    wish = ran if part is None else msgspec.structs.replace(part, pins=ran.pins if ran else {})
    alone = ran is not None and ran.mode == "only"
    return start_run(
        user=user,
        inputs={} if alone else inputs,
        edited=inputs if alone else None,
        version=run.version,
        part=wish,
        timeout=run.timeout,
    )

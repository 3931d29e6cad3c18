"""A run once more: the same version with the same inputs."""

from pipelines.models import Person
from runner.models import Run
from runner.recorder.payload import restored
from runner.services import start_run
from runner.views.values import values_of


def start_again(*, run: Run, user: Person) -> Run:
    """A new run. Raises what `start_run` raises."""
    aside = {place: key for place, key in run.artifacts.items() if place.startswith("inputs/")}
    inputs = restored({"inputs": run.inputs}, aside, values_of(run, aside))["inputs"]
    return start_run(user=user, inputs=inputs, version=run.version)

"""Inputs, outputs and the like as pages show them: readable text, and cut where it is endless."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runner.models import Artifact, Event, Run
from runner.recorder.payload import restored

SHOWN = 20_000
"""Characters of one value on a page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """`is_text`: it is what a person reads; the rest is JSON."""

    name: str
    text: str
    is_text: bool
    note: str = ""


def shown(name: str, value: Any) -> Value:
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    note = f"{len(text):,} characters"
    if len(text) > SHOWN:
        note = f"the first {SHOWN:,} of {note}"
    return Value(name=name, text=text[:SHOWN], is_text=isinstance(value, str), note=note)


def all_shown(values: Mapping[str, Any] | None) -> list[Value]:
    return [shown(name, value) for name, value in (values or {}).items()]


def run_values(run: Run) -> tuple[list[Value], list[Value]]:
    """The run's inputs and outputs, with large values back in place."""
    data = {"inputs": dict(run.inputs), "outputs": dict(run.outputs)}
    aside = {place: key for place, key in run.artifacts.items() if place.split("/")[0] in data}
    whole = restored(data, aside, values_of(run, aside))
    return all_shown(whole["inputs"]), all_shown(whole["outputs"])


def event_value(event: Event) -> dict[str, Any]:
    """What an event holds, with large values back in place."""
    aside = event.artifact_hashes
    whole: dict[str, Any] = restored(event.value, aside, values_of(event.run, aside))
    return whole


def values_of(run: Run, aside: Mapping[str, str]) -> dict[str, Any]:
    """Large values by hash. One that is gone counts as null."""
    if not aside:
        return {}
    rows = Artifact.objects.filter(run=run, hash__in=set(aside.values()))
    found = {row.hash: row.value for row in rows}
    return {digest: found.get(digest) for digest in aside.values()}

"""Inputs, outputs and the like as pages show them: readable text, and cut where it is endless."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runner.models import Artifact, Event, Run
from runner.recorder.payload import restored
from runner.views.value_tree import tree

SHOWN = 20_000
"""Characters of one value on a page."""
FOLDED = 12
LINE = 90
"""Lines from which a value is folded, and characters of a line, about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """`is_text`: it is what a person reads, in `text`; the rest is drawn in `html`. `place` is where it
    is kept (`outputs/text`), for those who want all of it. `folded`: it is longer than one looks at."""

    name: str
    text: str
    is_text: bool
    html: str = ""
    note: str = ""
    place: str = ""
    folded: bool = False
    cut: bool = False


def shown(name: str, value: Any, place: str = "") -> Value:
    is_text = isinstance(value, str)
    text = value if is_text else json.dumps(value, indent=2, ensure_ascii=False)
    lines = sum(1 + len(line) // LINE for line in text[:SHOWN].split("\n"))
    cut = len(text) > SHOWN
    note = _note(value, text)
    return Value(
        name=name,
        text=text[:SHOWN] if is_text else "",
        is_text=is_text,
        html="" if is_text else tree(value, SHOWN),
        note=f"the first {SHOWN:,} of {note}" if cut and is_text else note,
        place=place,
        folded=lines > FOLDED,
        cut=cut,
    )


def _note(value: Any, text: str) -> str:
    if isinstance(value, list | dict):
        return counted(value)
    if not isinstance(value, str):
        return ""
    return "1 character" if len(text) == 1 else f"{len(text):,} characters"


def counted(value: Any) -> str:
    """How much there is of it: 48 characters, 10 passages, 3 items, 2 keys; of one number, the number."""
    if isinstance(value, str):
        count, word = len(value), "character"
    elif isinstance(value, list):
        passages = value and all(isinstance(each, dict) and "text" in each for each in value)
        count, word = len(value), "passage" if passages else "item"
    elif isinstance(value, dict):
        count, word = len(value), "key"
    else:
        return "none" if value is None else str(value)[:20].lower()
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def brief(values: Mapping[str, Any]) -> str:
    """A step's inputs or outputs in two words."""
    if len(values) == 1:
        return counted(next(iter(values.values())))
    return f"{len(values)} values" if values else ""


def all_shown(values: Mapping[str, Any] | None, side: str = "") -> list[Value]:
    """`side` is where they are kept: `inputs` or `outputs`."""
    return [
        shown(name, value, f"{side}/{name}" if side else "")
        for name, value in (values or {}).items()
    ]


def run_values(run: Run) -> dict[str, dict[str, Any]]:
    """The run's `inputs` and `outputs`, with large values back in place."""
    data = {"inputs": dict(run.inputs), "outputs": dict(run.outputs)}
    aside = {place: key for place, key in run.artifacts.items() if place.split("/")[0] in data}
    whole: dict[str, dict[str, Any]] = restored(data, aside, values_of(run, aside))
    return whole


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

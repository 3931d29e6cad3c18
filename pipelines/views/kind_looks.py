"""How the kinds of nodes appear on pages: icon, place in the palette, a first config, one line of
summary. What a kind means is in `pipelines.graph.kinds`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.graph.graph import Node
from pipelines.graph.kinds import KINDS, Kind

type Config = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """`start` is a config that a new node can begin with, so that it has ports from the first moment.
    `body` is what a new container holds, as configs by kind. `offered`: can be added from nothing."""

    icon: str
    start: Config = field(default_factory=dict)
    body: Mapping[str, Config] = field(default_factory=dict)
    offered: bool = True
    summary: Callable[[Config], str] = lambda config: ""


GROUPS = {
    "language model": "Language model",
    "retrieval": "Retrieval",
    "control": "Flow",
    "data": "Data",
    "interface": "Input and output",
}
"""Titles of the palette's sections, in their order."""


def _profile(config: Config) -> str:
    return str(config.get("lm") or "")


def _fields(config: Config) -> str:
    return _count(config.get("fields"), "field")


def _lines(config: Config) -> str:
    return _count(str(config.get("template", "")).splitlines(), "line")


def _search(config: Config) -> str:
    return f"{config.get('collection', 'docs')} · top {config.get('k', 5)}"


def _spaced(name: Any) -> str:
    return str(name).replace("_", " ")


def _takes(*names: str) -> Config:
    return {"fields": [{"name": name, "type": "str"} for name in names]}


def _count(things: Any, word: str) -> str:
    count = len(things) if isinstance(things, list | tuple) else 0
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


_LOOKS = {
    "input": Look(
        icon="input", start={"fields": [{"name": "text", "type": "str"}]}, summary=_fields
    ),
    "output": Look(
        icon="output", start={"fields": [{"name": "answer", "type": "str"}]}, summary=_fields
    ),
    "predict": Look(icon="predict", start={"signature": "question -> answer"}, summary=_profile),
    "chain_of_thought": Look(
        icon="cot", start={"signature": "question -> answer"}, summary=_profile
    ),
    "dspy_module": Look(
        icon="react",
        start={"module": "Predict", "signature": "question -> answer"},
        summary=lambda config: str(config.get("module", "")),
    ),
    "lm": Look(icon="lm", summary=_profile),
    "template": Look(icon="template", start={"template": "{{ text }}"}, summary=_lines),
    "validate": Look(
        icon="shield",
        start={"fields": "value: str"},
        summary=lambda config: str(config.get("fields", "")),
    ),
    "metric": Look(
        icon="opt", summary=lambda config: _spaced(config.get("measure", "exact_match"))
    ),
    "http_request": Look(
        icon="globe",
        start={"url": "https://api.example.com/items/{{ id }}"},
        summary=lambda config: f"{config.get('method', 'GET')} {config.get('url', '')}",
    ),
    "search": Look(icon="docs", summary=_search),
    "colbert": Look(icon="retrieve", summary=_search),
    "condition": Look(
        icon="branch",
        start={"expression": "value == 'yes'"},
        summary=lambda config: str(config.get("expression", "")),
    ),
    "switch": Look(
        icon="switch",
        start={"expression": "value", "cases": ["first", "second"]},
        summary=lambda config: _count(config.get("cases"), "case"),
    ),
    "merge": Look(
        icon="merge",
        start={"inputs": ["a", "b"]},
        summary=lambda config: str(config.get("strategy", "first")),
    ),
    "map": Look(
        icon="map",
        body={"input": _takes("item"), "output": _takes("result")},
        summary=lambda config: f"{config.get('concurrency', 8)} at once",
    ),
    "reduce": Look(
        icon="filter",
        body={"input": _takes("item", "total"), "output": _takes("total")},
        summary=lambda config: "in pairs" if config.get("order") == "pairs" else "item by item",
    ),
    "loop": Look(
        icon="loop",
        start={"until": "round >= 3"},
        body={"input": _takes("text"), "output": _takes("text")},
        summary=lambda config: f"until {config.get('until', '')}",
    ),
    "approve": Look(icon="human", summary=lambda config: str(config.get("question", ""))),
    "pipeline": Look(
        icon="graph", offered=False, summary=lambda config: str(config.get("title", ""))
    ),
}
_UNKNOWN = Look(icon="code")


def look_of(kind: str) -> Look:
    """Of a kind that has none here, a plain one: a new kind needs no page to be usable."""
    return _LOOKS.get(kind, _UNKNOWN)


def backend_of(node: Node) -> str:
    """What the node's badge says; `engine` for what nobody has to choose."""
    kind = KINDS.get(node.kind)
    if kind is None or not kind.routed:
        return "engine"
    if len(kind.backends) == 1:
        return next(iter(kind.backends))
    wanted = str(node.policy.get("backend", "auto"))
    return wanted if wanted in ("native", "dspy") else "auto"


def palette() -> list[tuple[str, list[Kind]]]:
    """Sections with their kinds, for a menu of what can be added. A group that has no title here comes
    last, under its own name."""
    offered = [kind for kind in KINDS.values() if look_of(kind.name).offered]
    others = {kind.group: kind.group.capitalize() for kind in offered if kind.group not in GROUPS}
    return [
        (title, [kind for kind in offered if kind.group == group])
        for group, title in (GROUPS | others).items()
    ]

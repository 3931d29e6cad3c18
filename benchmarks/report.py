"""What was measured, against which goal and which peer."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

RESULTS = Path(__file__).parent / "results.jsonl"
# Of these units less is better, of every other one more.
LESS_IS_BETTER = ("us", "ms", "s", "kb", "mb", "points", "calls", "lost")


class Report(Protocol):
    """What a benchmark calls with each figure. A figure with two peers is two calls: the second name
    says `_vs_` and the peer, since a reader of results.jsonl finds a figure by its name."""

    def __call__(
        self,
        name: str,
        value: float,
        unit: str,
        peer: str | None = None,
        peer_value: float | None = None,
    ) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """The figure to reach, and how many times better than the peer to be."""

    value: float | None = None
    ratio: float | None = None


GOALS = {
    "engine_step_us": Goal(value=50, ratio=8),
    "engine_step_vs_haystack_us": Goal(value=50, ratio=3),
    "signature_parse_us": Goal(value=60, ratio=15),
    "signature_parse_vs_bare_us": Goal(value=60, ratio=1),
    "signature_parse_cached_us": Goal(value=2),
    "native_predict_us": Goal(value=60, ratio=5),
    "parity_percent": Goal(value=100),
    "bridge_echo_p50_us": Goal(value=150, ratio=1),
    "bridge_tasks_per_s": Goal(value=8_000, ratio=1),
    "bridge_chunks_per_s": Goal(value=50_000, ratio=1),
    "bridge_echo_vs_grpc_us": Goal(value=150, ratio=1),
    "bridge_tasks_vs_grpc_per_s": Goal(value=8_000, ratio=1),
    "bridge_chunks_vs_grpc_per_s": Goal(value=50_000, ratio=1),
    "worker_ready_ms": Goal(value=60),
    "worker_replace_ms": Goal(value=80),
    "worker_private_mb": Goal(value=15),
    "table_100mb_ms": Goal(value=300, ratio=1),
    "splitter_chunk_us": Goal(value=5),
    "router_regret_percent": Goal(value=5),
    "router_settles_calls": Goal(value=30),
    "dspy_step_us": Goal(value=1_200, ratio=1),
    "dspy_step_over_http_us": Goal(ratio=1),
    "worker_threads_steps_per_s": Goal(ratio=5),
    "runs_1000_s": Goal(ratio=3),
    "runs_1000_vs_langgraph_s": Goal(ratio=3),
    "runs_1000_kb": Goal(value=50),
    "durable_step_us": Goal(value=300, ratio=9),
    "durable_step_vs_normal_us": Goal(value=300),
    "durable_worker_step_us": Goal(value=600),
    "durable_steps_per_s": Goal(value=2_000),
    "up_to_first_page_s": Goal(value=5),
    "first_token_s": Goal(value=3),
    "first_token_after_start_s": Goal(value=3),
    "pss_mb": Goal(value=450),
    "paint_1000_tokens_ms": Goal(value=300),
    "token_to_paint_p95_ms": Goal(value=60),
    "streams_40_busy_ms": Goal(value=500),
    "watchers_50_p95_ms": Goal(value=250),
    "watched_run_s": Goal(ratio=0.95),
    "editor_500_interactive_ms": Goal(value=1_500),
    "editor_500_drag_ms": Goal(value=16),
    "editor_500_drag_far_ms": Goal(value=16),
    "page_kb": Goal(value=100),
    "page_with_code_kb": Goal(value=175),
    "page_p50_ms": Goal(value=50),
    "fast_test_ms": Goal(value=15),
    "install_mb": Goal(value=700),
    "kills": Goal(value=200),
    "kills_lost": Goal(value=0),
    "kills_recorded_twice": Goal(value=0),
    "kills_paid_twice": Goal(value=0),
    "kills_repeated_in_a_life": Goal(value=0),
    "soak_runs": Goal(value=10_000),
    "soak_growth_percent": Goal(value=10),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured value; the peer's was measured in the same run."""

    name: str
    value: float
    unit: str
    peer: str | None = None
    peer_value: float | None = None

    @property
    def ratio(self) -> float | None:
        """How many times better than the peer: above 1 is better, whatever the unit."""
        if self.peer_value is None:
            return None
        better, worse = self.value, self.peer_value
        if self.unit not in LESS_IS_BETTER:
            better, worse = worse, better
        return worse / better if better else None


def misses(figure: Figure) -> list[str]:
    """The parts of the figure's goal that it does not reach, in words."""
    goal = GOALS.get(figure.name, Goal())
    missed = []
    if goal.value is not None:
        less = figure.unit in LESS_IS_BETTER
        if figure.value > goal.value if less else figure.value < goal.value:
            missed.append(f"{'≤' if less else '≥'} {_number(goal.value)}")
    if goal.ratio is not None and figure.ratio is not None and figure.ratio < goal.ratio:
        missed.append(f"{_number(goal.ratio)}×")
    return missed


def save(figures: Sequence[Figure], path: Path = RESULTS) -> None:
    """Write one JSON object a line. Figures measured now replace older ones of the same name."""
    measured = {figure.name for figure in figures}
    kept = [entry for entry in _load(path) if entry["name"] not in measured]
    entries = kept + [_entry(figure) for figure in figures]
    order = {name: position for position, name in enumerate(GOALS)}
    entries.sort(key=lambda entry: (order.get(str(entry["name"]), len(order)), str(entry["name"])))
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))


def _load(path: Path) -> list[dict[str, object]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def _entry(figure: Figure) -> dict[str, object]:
    return {
        key: round(value, 3) if isinstance(value, float) else value
        for key, value in (asdict(figure) | {"ratio": figure.ratio}).items()
    }


HEADER = ("figure", "value", "goal", "peer", "its value", "ratio", "goal", "")


def table(figures: Iterable[Figure]) -> str:
    """The figures for people to read."""
    rows = [HEADER, *(_row(figure) for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _row(figure: Figure) -> tuple[str, ...]:
    goal = GOALS.get(figure.name)
    missed = misses(figure)
    return (
        figure.name,
        f"{_number(figure.value)} {figure.unit}",
        _number(goal.value if goal else None),
        figure.peer or "",
        _number(figure.peer_value),
        "" if figure.ratio is None else f"{_number(figure.ratio)}×",
        "" if goal is None or goal.ratio is None else f"{_number(goal.ratio)}×",
        "no goal" if goal is None else f"missed {', '.join(missed)}" if missed else "met",
    )


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"

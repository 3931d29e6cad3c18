"""The figures that `make bench` keeps: what counts as better, and which lines it replaces."""

import json
from pathlib import Path

import pytest

from benchmarks.report import GOALS, Figure, Goal, misses, save, table


@pytest.mark.parametrize(
    ("unit", "value", "peer_value", "ratio"),
    [("us", 50, 400, 8), ("mb", 20, 10, 0.5), ("per_s", 8_000, 2_000, 4), ("us", 0, 10, None)],
)
def test_a_ratio_above_one_is_better(
    unit: str, value: float, peer_value: float, ratio: float | None
) -> None:
    figure = Figure(name="any", value=value, unit=unit, peer="peer", peer_value=peer_value)
    assert figure.ratio == ratio


def test_a_figure_without_a_peer_has_no_ratio() -> None:
    assert Figure(name="any", value=1, unit="us").ratio is None


def test_both_parts_of_a_goal_are_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GOALS, "step_us", Goal(value=50, ratio=8))
    met = Figure(name="step_us", value=50, unit="us", peer="peer", peer_value=400)
    missed = Figure(name="step_us", value=51, unit="us", peer="peer", peer_value=400)
    assert misses(met) == []
    assert misses(missed) == ["≤ 50", "8×"]


def test_more_is_better_for_a_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GOALS, "tasks_per_s", Goal(value=8_000))
    assert misses(Figure(name="tasks_per_s", value=8_001, unit="per_s")) == []
    assert misses(Figure(name="tasks_per_s", value=7_999, unit="per_s")) == ["≥ 8,000"]


def test_only_the_figures_measured_now_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    save([Figure(name="a", value=1, unit="us"), Figure(name="b", value=2, unit="us")], path)
    save([Figure(name="b", value=3, unit="us", peer="peer", peer_value=9)], path)
    kept = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(entry["name"], entry["value"], entry["ratio"]) for entry in kept] == [
        ("a", 1, None),
        ("b", 3, 3),
    ]
    assert set(kept[1]) == {"name", "value", "unit", "peer", "peer_value", "ratio"}


def test_the_table_says_what_was_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GOALS, "step_us", Goal(value=50))
    lines = table([Figure(name="step_us", value=51, unit="us")]).splitlines()
    assert lines[1].split() == ["step_us", "51", "us", "50", "missed", "≤", "50"]

"""What the router loses against always choosing right, when one backend is slower, flakier or dearer than
the other, or becomes so half-way. In simulated time, so that it measures the router and not this machine:
durations are lognormal, as those of language models are. The peer explores one call in ten, for ever.
"""

import random
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.report import Report
from pipelines.graph.graph import Backend
from runner.engine.errors import UnparsableAnswer
from runner.engine.figures import Figures, Outcome, Subject
from runner.engine.router import Router, score

CALLS = 1_000
SEEDS = 20
SPREAD = 0.4  # sigma of the durations' logarithms
SUBJECT = Subject("", "predict", "question -> answer", "m")
BACKENDS: tuple[Backend, ...] = ("native", "dspy")


@dataclass(frozen=True, slots=True)
class Speed:
    """How a backend does: median seconds, share of failures, dollars a call."""

    seconds: float = 0.5
    failing: float = 0.0
    dollars: float = 0.0

    def expected(self) -> float:
        """Seconds that a call costs on average, as the router counts."""
        figures = Figures(seconds=self.seconds, error_rate=self.failing, cost=self.dollars)
        return score(figures)


type World = Callable[[int], dict[Backend, Speed]]
type Choose = Callable[["Play"], Backend]


def _steady(native: Speed, dspy: Speed) -> World:
    return lambda call: {"native": native, "dspy": dspy}


def _turning(before: Speed, after: Speed) -> World:
    return lambda call: {"native": before if call < CALLS // 2 else after, "dspy": Speed(0.6)}


WORLDS: dict[str, World] = {
    "native 2x slower": _steady(Speed(1.0), Speed()),
    "native 10x slower": _steady(Speed(5.0), Speed()),
    "dspy 3x slower": _steady(Speed(), Speed(1.5)),
    "native fails 30 %": _steady(Speed(failing=0.3), Speed()),
    "dspy fails 60 %": _steady(Speed(), Speed(failing=0.6)),
    "native dearer": _steady(Speed(dollars=0.01), Speed()),
    "native turns 4x slower": _turning(Speed(), Speed(2.0)),
    "native turns flaky": _turning(Speed(), Speed(failing=0.5)),
}


def run(report: Report) -> None:
    losses, settled = {}, []
    for name, world in WORLDS.items():
        plays = [_played(world, seed, _routed) for seed in range(SEEDS)]
        losses[name] = statistics.mean(play.loss for play in plays)
        settled += [play.settled(CALLS // 2 if "turns" in name else 0) for play in plays]
        print(f"  {name}: {losses[name]:.1f} %")
    peer = max(
        statistics.mean(_played(world, seed, _one_in_ten).loss for seed in range(SEEDS))
        for world in WORLDS.values()
    )
    report("router_regret_percent", max(losses.values()), "points", "one call in ten", peer)
    report("router_settles_calls", statistics.quantiles(settled, n=20)[-1], "calls")


class Play:
    """One run of calls in a world: what they cost, and what the right ones would have cost."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.random = random.Random(seed)
        self.now = 0.0
        self.router = Router(clock=lambda: self.now, chance=self.random.random)
        self.chosen: list[tuple[Backend, Backend]] = []  # what was chosen, what was right
        self.paid = self.right = 0.0

    @property
    def loss(self) -> float:
        """Percent more than always choosing right."""
        return 100 * (self.paid / self.right - 1)

    def step(self, number: int, choose: Choose) -> None:
        speeds = self.world(number)
        best = min(BACKENDS, key=lambda each: speeds[each].expected())
        chosen = choose(self)
        self.chosen.append((chosen, best))
        # The mean cost, not what chance made of it: luck is no merit.
        self.paid += speeds[chosen].expected()
        self.right += speeds[best].expected()

    def outcome(self, speed: Speed) -> dict[str, Any]:
        """What one call comes to."""
        seconds = speed.seconds * self.random.lognormvariate(-(SPREAD**2) / 2, SPREAD)
        self.now += seconds
        failed = self.random.random() < speed.failing
        return {
            "seconds": seconds,
            "cost": speed.dollars,
            "error": UnparsableAnswer() if failed else None,
        }

    def settled(self, since: int) -> int:
        """Calls after `since` until it is right nine times in ten."""
        rights = [chosen == best for chosen, best in self.chosen[since:]]
        return next(
            (
                at
                for at in range(len(rights) - 20)
                if rights[at] and sum(rights[at : at + 20]) >= 18
            ),
            len(rights),
        )


def _played(world: World, seed: int, choose: Choose) -> Play:
    play = Play(world, seed)
    for number in range(CALLS):
        play.step(number, choose)
    return play


def _routed(play: Play) -> Backend:
    decision = play.router.choose("predict", SUBJECT, "auto", BACKENDS, BACKENDS)
    play.router.begin(SUBJECT, decision)
    speed = play.world(len(play.chosen))[decision.backend]
    play.router.end(SUBJECT, decision, **play.outcome(speed))
    return decision.backend


def _one_in_ten(play: Play) -> Backend:
    """The better one by plain means so far, and one call in ten at random."""
    entry = play.router.figures.entry(SUBJECT)
    if play.random.random() < 0.1 or not all(entry.of(each).calls for each in BACKENDS):
        backend = play.random.choice(BACKENDS)
    else:
        backend = min(BACKENDS, key=lambda each: score(entry.of(each)))
    made = play.outcome(play.world(len(play.chosen))[backend])
    outcome = Outcome(
        seconds=made["seconds"], at=play.now, failed=made["error"] is not None, cost=made["cost"]
    )
    play.router.figures.add(SUBJECT, backend, outcome)
    return backend

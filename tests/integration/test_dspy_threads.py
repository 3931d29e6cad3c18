"""DSPy's modules side by side in one process: each has its own settings, language model and output."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from runner.bridge.pool import Pool, PoolSettings
from runner.engine.errors import RemoteError
from runner.lm.types import LMRequest
from tests.dspy_steps import House, ScriptedGateway, chat

pytestmark = pytest.mark.asyncio(loop_scope="module")

STEPS = 8


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[Pool]:
    pool = Pool(PoolSettings(size=1, spares=0, reuse=True, threads=STEPS))
    await pool.start()
    yield pool
    await pool.aclose()


class Together:
    """Answers what was asked, when so many have asked: the last one first."""

    def __init__(self, number: int) -> None:
        self.requests: list[LMRequest] = []
        self._barrier = asyncio.Barrier(number)

    async def answer(self, request: LMRequest) -> str:
        self.requests.append(request)
        place = await self._barrier.wait()
        await asyncio.sleep(0.002 * (STEPS - place))
        asked = str(request.messages[-1].content).partition("[[ ## question ## ]]\n")[2]
        return chat(reasoning="as asked", answer=asked.partition("\n")[0])


async def side_by_side(pool: Pool, answer: Any, *configs: dict[str, Any]) -> list[Any]:
    """The steps of several runs at once; each one's house, and its outputs or why it failed."""
    houses = [House(pool, f"run-{number}") for number in range(len(configs))]
    async with asyncio.timeout(30):
        found = await asyncio.gather(
            *(
                house.run(ScriptedGateway(answer), config.pop("inputs"), **config)
                for house, config in zip(houses, configs, strict=True)
            ),
            return_exceptions=True,
        )
    return list(zip(houses, found, strict=True))


async def test_each_step_gets_the_answer_to_its_own_question(pool: Pool) -> None:
    together = Together(STEPS)
    configs = [
        {
            "module": "ChainOfThought",
            "inputs": {"question": f"q{number}"},
            "options": {"temperature": number / 10},
        }
        for number in range(STEPS)
    ]
    found = await side_by_side(pool, together.answer, *configs)
    assert [outputs["answer"] for _, outputs in found] == [f"q{n}" for n in range(STEPS)]
    assert len({house.traces("bridge")[0]["worker"] for house, _ in found}) == 1
    for request in together.requests:
        number = int(str(request.messages[-1].content).partition("]]\nq")[2][0])
        assert request.temperature == number / 10


async def test_threads_that_a_module_starts_belong_to_its_step(pool: Pool) -> None:
    """Two steps of Parallel, each with two threads of its own."""
    together = Together(4)
    configs = [
        {
            "module": "Parallel",
            "inner": "Predict",
            "options": {"num_threads": 2},
            "inputs": {"examples": [{"question": f"{name}{n}"} for n in range(2)]},
        }
        for name in "xy"
    ]
    found = await side_by_side(pool, together.answer, *configs)
    answers = [[each["answer"] for each in outputs["predictions"]] for _, outputs in found]
    assert answers == [["x0", "x1"], ["y0", "y1"]]


async def test_what_a_step_prints_is_its_own(pool: Pool) -> None:
    """BestOfN prints why an attempt failed, with the answer that could not be read."""
    both = asyncio.Barrier(2)

    async def nonsense(request: LMRequest) -> str:
        await both.wait()
        return "first!" if "q-first" in str(request.messages) else "second!"

    configs = [
        {
            "module": "BestOfN",
            "inner": "Predict",
            "options": {"N": 1, "threshold": 1.0},
            "reward": "1",
            "inputs": {"question": f"q-{name}"},
        }
        for name in ("first", "second")
    ]
    found = await side_by_side(pool, nonsense, *configs)
    assert all(isinstance(error, RemoteError) for _, error in found)
    first, second = (house.traces("printed")[0]["text"] for house, _ in found)
    assert "Attempt 1 failed" in first and "first!" in first and "second!" not in first
    assert "Attempt 1 failed" in second and "second!" in second and "first!" not in second

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.pool_bench import Bench, MakeBench


@pytest.fixture
async def make() -> AsyncIterator[MakeBench]:
    """Pools with scripted workers, closed in the end."""
    made: list[Bench] = []

    def make_bench(**settings: Any) -> Bench:
        made.append(Bench(**settings))
        return made[-1]

    yield make_bench
    for bench in made:
        await bench.aclose()

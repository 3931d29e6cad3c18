"""The modules that run code, in DSPy's real sandbox: Deno and Pyodide, which `make sandbox` brings."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from runner.bridge.nursery import ForkNursery
from runner.bridge.pool import Pool, PoolSettings
from runner.bridge.references import RunScope
from runner.engine.errors import RemoteError
from tests.dspy_steps import ADD, House, ScriptedGateway, chat

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.needs("deno")]

# Each line tries one thing that code from a language model has no business with.
ATTEMPTS = """
import js, json
found = {}
def attempt(name, what):
    try:
        found[name] = str(what())
    except BaseException as error:
        found[name] = type(error).__name__ + ": " + str(error)[:60]
attempt("file", lambda: open("/etc/passwd").read())
attempt("host file", lambda: js.Deno.readTextFileSync("/etc/passwd"))
attempt("environment", lambda: js.Deno.env.get("PATH"))
attempt("network", lambda: js.Deno.listen(js.Object.fromEntries([["port", 0]])))
attempt("program", lambda: js.Deno.Command.new("id").outputSync())
attempt("memory", lambda: len(bytearray(1500 * 1024 * 1024)))
SUBMIT(found)
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[Pool]:
    pool = Pool(PoolSettings(size=2, spares=1))
    yield pool
    await pool.aclose()


@pytest_asyncio.fixture(loop_scope="module")
async def house(pool: Pool, request: pytest.FixtureRequest) -> AsyncIterator[House]:
    house = House(pool, request.node.name)
    house.scope = RunScope(tools={"add": ADD}, run_code=True)
    yield house
    await pool.release_run(request.node.name)


async def test_program_of_thought_computes_and_is_kept_from_all_else(house: House) -> None:
    gateway = ScriptedGateway(
        chat(reasoning="try", generated_code=ATTEMPTS),
        chat(reasoning="seen", answer="nothing"),
    )
    await house.run(gateway, {"question": "?"}, module="ProgramOfThought")
    said = str(gateway.requests[-1].messages[-1].content)
    assert '"file": "FileNotFoundError' in said
    for name in ("host file", "environment", "network", "program"):
        assert f'"{name}": "JsException: NotCapable' in said
    assert '"memory": "MemoryError' in said


async def test_rlm_explores_asks_and_submits(house: House) -> None:
    gateway = ScriptedGateway(
        chat(reasoning="look", code="print(len(question), llm_query('Which?'), add(a=41))"),
        "the sub-model's word",
        chat(reasoning="done", code="SUBMIT(answer=question.upper())"),
    )
    outputs = await house.run(gateway, {"question": "why"}, module="RLM", tools=["add"])
    assert outputs["answer"] == "WHY"
    assert outputs["trajectory"][0]["output"].strip() == "3 the sub-model's word 42"


async def test_code_act_calls_a_host_tool_and_hears_of_its_mistakes(house: House) -> None:
    gateway = ScriptedGateway(
        chat(generated_code="print(undefined)", finished="False"),
        chat(generated_code="print(add(a=1))", finished="True"),
        chat(reasoning="saw it", answer="2"),
    )
    outputs = await house.run(gateway, {"question": "?"}, module="CodeAct", tools=["add"])
    assert "NameError" in str(outputs["trajectory"])
    assert outputs["trajectory"]["code_output_1"].strip('"\\n') == "2"


# Code that does not end


@pytest_asyncio.fixture(loop_scope="module")
async def hasty() -> AsyncIterator[House]:
    """A house whose sandbox waits three seconds for a piece of code."""
    nursery = ForkNursery("bridge_deno", paths=(Path(__file__).parent,))
    pool = Pool(PoolSettings(size=1, spares=0), nursery)
    house = House(pool, "hasty")
    house.scope = RunScope(tools={"add": ADD}, run_code=True)
    yield house
    await pool.aclose()


FOREVER = chat(reasoning="r", generated_code="while True: pass")


async def test_code_that_does_not_end_is_ended(hasty: House) -> None:
    with pytest.raises(RemoteError, match="ran for more than 3 s and was ended") as raised:
        await hasty.run(ScriptedGateway(FOREVER), {"question": "?"}, module="ProgramOfThought")
    assert raised.value.failure.code == "code_timeout"
    assert list(sandboxes(hasty)) == []


async def test_the_sandbox_ends_with_its_worker(house: House) -> None:
    step = asyncio.create_task(
        house.run(ScriptedGateway(FOREVER), {"question": "?"}, module="ProgramOfThought")
    )
    async with asyncio.timeout(20):
        while not (found := list(sandboxes(house))):
            await asyncio.sleep(0.05)
        step.cancel()  # the worker does not hear of it, and is killed
        while any(process.exists() for process in found):
            await asyncio.sleep(0.05)


def sandboxes(house: House) -> Iterator[Path]:
    """The processes of Deno that the house's workers have."""
    for worker in house.pool.stats()["workers"]:
        children = Path(f"/proc/{worker['pid']}/task/{worker['pid']}/children")
        for pid in children.read_text().split() if children.exists() else ():
            yield Path(f"/proc/{pid}")


async def test_flex_runs_its_program_and_its_predictor_asks_the_host(house: House) -> None:
    gateway = ScriptedGateway(chat(answer="yes"))
    assert await house.run(gateway, {"question": "why"}, module="Flex") == {"answer": "yes"}
    assert len(gateway.requests) == 1

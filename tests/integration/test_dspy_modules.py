"""Every DSPy module that can be a node, in real workers, with a language model that answers by rule."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from runner.bridge.nursery import ForkNursery
from runner.bridge.pool import Pool, PoolSettings
from runner.bridge.references import RunScope
from runner.bridge.tables import Table
from runner.bridge.tools import HostTool
from runner.engine.errors import InvalidConfig, RemoteError
from runner.engine.executor import Call
from runner.lm.errors import BillingError
from runner.lm.types import LMRequest
from tests.dspy_steps import ADD, House, ScriptedGateway, chat

pytestmark = pytest.mark.asyncio(loop_scope="module")

BEST = {"module": "BestOfN", "inner": "Predict", "options": {"N": 3, "threshold": 1.0}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[Pool]:
    here = Path(__file__).parent
    nursery = ForkNursery("bridge_sandbox", paths=(here,))
    pool = Pool(PoolSettings(size=3, spares=1), nursery)
    await pool.start()
    yield pool
    await pool.aclose()


@pytest_asyncio.fixture(loop_scope="module")
async def house(pool: Pool, request: pytest.FixtureRequest) -> AsyncIterator[House]:
    yield House(pool, request.node.name)
    await pool.release_run(request.node.name)


def by_rule(*rules: tuple[str, Any]) -> Callable[[LMRequest], Any]:
    """Answers with the first rule whose text is in the messages; a list is taken in turn."""

    async def answer(request: LMRequest) -> str:
        text = str(request.messages)
        for words, said in rules:
            if words in text:
                return str(said.pop(0) if isinstance(said, list) else said)
        raise AssertionError(f"no rule for {text}")

    return answer


def predictors(gateway: ScriptedGateway) -> list[str]:
    return [request.predictor for request in gateway.requests]


# Predict and its like


async def test_predict_and_chain_of_thought(house: House) -> None:
    gateway = ScriptedGateway(chat(reasoning="r", answer="yes"))
    predicted = await house.run(gateway, {"question": "?"}, module="Predict")
    reasoned = await house.run(gateway, {"question": "?"}, module="ChainOfThought")
    assert predicted == {"answer": "yes"}
    assert reasoned == {"reasoning": "r", "answer": "yes"}
    assert predictors(gateway) == ["self", "predict"]
    assert [chunk.predictor for chunk in house.observer.chunks] == ["self", "predict"]


async def test_multi_chain_comparison_compares_what_its_port_gives(house: House) -> None:
    gateway = ScriptedGateway(chat(rationale="the second", answer="4"))
    completions = [{"reasoning": "a", "answer": "5"}, {"reasoning": "b", "answer": "4"}]
    inputs = {"question": "2+2?", "completions": completions}
    outputs = await house.run(gateway, inputs, module="MultiChainComparison")
    assert outputs == {"rationale": "the second", "answer": "4"}
    assert "my prediction is 5" in str(gateway.requests[0].messages)


async def test_an_attempt_to_compare_without_its_answer_is_named(house: House) -> None:
    inputs = {"question": "?", "completions": [{"reasoning": "a", "answer": "5"}, {"answer": "4"}]}
    with pytest.raises(RemoteError, match="Attempt 2 of 'completions' needs a text 'reasoning'"):
        await house.run(ScriptedGateway(""), inputs, module="MultiChainComparison")


async def test_parallel_answers_each_example_in_order(house: House) -> None:
    gateway = ScriptedGateway(by_rule(("alpha", chat(answer="1")), ("beta", chat(answer="2"))))
    examples = [{"question": text} for text in ("alpha", "beta", "alpha")]
    outputs = await house.run(
        gateway,
        {"examples": examples},
        module="Parallel",
        inner="Predict",
        options={"num_threads": 2},
    )
    assert outputs == {"predictions": [{"answer": "1"}, {"answer": "2"}, {"answer": "1"}]}
    assert await house.run(gateway, {"examples": []}, module="Parallel") == {"predictions": []}


# Rewards


async def test_best_of_n_takes_the_best_by_an_expression(house: House) -> None:
    gateway = ScriptedGateway(*(chat(answer=said) for said in ("long answer", "no", "also long")))
    outputs = await house.run(
        gateway, {"question": "?"}, **BEST, reward="1 if answer|length < 3 else 0.5"
    )
    assert outputs == {"answer": "no"}
    assert [trace["reward"] for trace in house.traces("reward")] == [0.5, 1.0]
    assert [request.rollout_id for request in gateway.requests] == [0, 1]
    assert predictors(gateway) == ["module", "module"]


async def test_best_of_n_keeps_the_best_when_none_is_good_enough(house: House) -> None:
    gateway = ScriptedGateway(*(chat(answer=said) for said in ("a", "abc", "ab")))
    outputs = await house.run(gateway, {"question": "?"}, **BEST, reward="answer|length / 10")
    assert outputs == {"answer": "abc"}
    assert len(gateway.requests) == 3


async def test_a_metric_rewards_as_the_metric_kind_does(house: House) -> None:
    gateway = ScriptedGateway(chat(answer="x"))
    reward = "metric: f1(answer, question)"
    await house.run(gateway, {"question": "q"}, **BEST, reward=reward)
    measured = house.native.calls[0]
    assert measured.config.measure == "f1"
    assert measured.inputs == {"prediction": "x", "expected": "q"}
    assert [trace["reward"] for trace in house.traces("reward")] == [0.25] * 3


async def test_a_pipeline_rewards_with_its_score(house: House) -> None:
    asked: list[Any] = []

    async def judge(call: Call, version: str, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        asked.append((version, dict(inputs)))
        return {"score": 1}

    house.scope = RunScope(pipeline=judge)
    outputs = await house.run(
        ScriptedGateway(chat(answer="x")), {"question": "q"}, **BEST, reward="pipeline: v1"
    )
    assert outputs == {"answer": "x"}
    assert asked == [("v1", {"question": "q", "answer": "x"})]


async def test_refine_tries_again_with_advice_and_tells_what_is_rewarded(house: House) -> None:
    answers = [chat(answer="far too long"), chat(answer="ok")]
    advice = chat(discussion="it was long", advice=json.dumps({"self": "Be brief."}))
    gateway = ScriptedGateway(by_rule(("assign blame", advice), ("", answers)))
    outputs = await house.run(
        gateway,
        {"question": "?"},
        **{**BEST, "module": "Refine"},
        reward="answer|length < 5",
    )
    assert outputs == {"answer": "ok"}
    assert predictors(gateway) == ["module", "OfferFeedback", "module"]
    assert "score = answer|length < 5" in str(gateway.requests[1].messages)
    assert "Be brief." in str(gateway.requests[2].messages)


async def test_a_reward_that_is_no_number_ends_the_step(house: House) -> None:
    with pytest.raises(InvalidConfig, match="a reward is a number or true or false, not 'x'"):
        await house.run(
            ScriptedGateway(chat(answer="x")), {"question": "?"}, **BEST, reward="answer"
        )


async def test_attempts_that_all_fail_are_told_with_their_reasons(house: House) -> None:
    with pytest.raises(RemoteError, match="gave no prediction") as raised:
        best = {**BEST, "options": {"N": 2, "threshold": 1.0}}
        await house.run(ScriptedGateway("nonsense"), {"question": "?"}, **best, reward="1")
    assert raised.value.failure.code == "output_not_produced"
    assert "Attempt 1 failed" in raised.value.failure.details["printed"]


async def test_billing_ends_best_of_n_at_its_first_request(house: House) -> None:
    gateway = ScriptedGateway(BillingError("No credit left."))
    with pytest.raises(BillingError):
        await house.run(gateway, {"question": "?"}, **BEST, reward="1")
    assert len(gateway.requests) == 1


# Tools


def acts(tool: str, **arguments: Any) -> str:
    return chat(next_thought="t", next_tool_name=tool, next_tool_args=arguments)


async def test_react_calls_a_host_tool_and_streams_each_predictor(house: House) -> None:
    gateway = ScriptedGateway(
        acts("add", a=40, b=2), acts("finish"), chat(reasoning="added", answer="42")
    )
    outputs = await house.run(gateway, {"question": "40+2?"}, module="ReAct", tools=["add"])
    assert outputs["answer"] == "42" and outputs["reasoning"] == "added"
    assert outputs["trajectory"]["observation_0"] == 42
    (told,) = house.traces("tool")
    assert told == {"name": "tool", "tool": "add", "arguments": {"a": 40, "b": 2}, "result": 42}
    assert predictors(gateway) == ["react", "react", "extract.predict"]
    assert "Add two numbers." in str(gateway.requests[0].messages)


async def test_arguments_that_do_not_fit_are_an_observation_that_names_them(house: House) -> None:
    gateway = ScriptedGateway(
        acts("add", a="many"), acts("add", c=1), acts("finish"), chat(reasoning="r", answer="?")
    )
    outputs = await house.run(gateway, {"question": "?"}, module="ReAct", tools=["add"])
    seen = outputs["trajectory"]
    assert seen["observation_0"].startswith(
        "Error: The tool 'add' was called with wrong arguments: 'a'"
    )
    assert "'c': Extra inputs are not permitted. It takes: a, b." in seen["observation_1"]
    assert "Traceback" not in str(gateway.requests[-1].messages)


async def test_a_tool_that_fails_is_an_observation(house: House) -> None:
    def divide(a: int) -> float:
        return 1 / a

    house.scope = RunScope(tools={"divide": HostTool.of(divide)})
    gateway = ScriptedGateway(acts("divide", a=0), acts("finish"), chat(reasoning="r", answer="?"))
    outputs = await house.run(gateway, {"question": "?"}, module="ReAct", tools=["divide"])
    assert outputs["trajectory"]["observation_0"] == "Error: ZeroDivisionError: division by zero"
    assert house.traces("tool")[0]["error"] == "ZeroDivisionError: division by zero"


async def test_a_tool_in_parts_is_shown_as_it_comes_and_the_model_gets_the_whole(
    house: House,
) -> None:
    async def tail() -> AsyncIterator[str]:
        for line in ("one\n", "two\n"):
            yield line

    async def orders() -> Table:
        return Table.of_records([{"order": 7, "paid": True}])

    house.scope = RunScope(tools={"tail": HostTool.of(tail), "orders": HostTool.of(orders)})
    gateway = ScriptedGateway(
        acts("tail"), acts("orders"), acts("finish"), chat(reasoning="r", answer="2")
    )
    outputs = await house.run(gateway, {"question": "?"}, module="ReAct", tools=["tail", "orders"])
    trajectory = outputs["trajectory"]
    assert trajectory["observation_0"] == "one\ntwo\n"
    assert trajectory["observation_1"] == [{"order": 7, "paid": True}]
    streamed = [chunk.text for chunk in house.observer.chunks if chunk.field == "tail"]
    assert streamed == ["one\n", "two\n"]
    assert house.traces("tool")[0]["result"] == "one\ntwo\n"


async def test_a_small_model_is_held_to_the_arguments_of_the_tools(house: House) -> None:
    said = {"next_thought": "t", "next_tool_name": "add", "next_tool_args": {"a": 1, "b": 2}}
    gateway = ScriptedGateway(
        json.dumps(said),
        json.dumps({**said, "next_tool_name": "finish", "next_tool_args": {}}),
        json.dumps({"reasoning": "r", "answer": "3"}),
        format="compact",
    )
    outputs = await house.run(gateway, {"question": "?"}, module="ReAct", tools=["add"])
    assert outputs["answer"] == "3"
    schema = gateway.requests[0].response_schema
    assert schema is not None and not gateway.requests[0].json_object
    first, nothing = schema["properties"]["next_tool_args"]["anyOf"]
    assert (first["required"], nothing["properties"]) == (["a", "b"], {})


async def test_a_tool_that_the_pipeline_may_not_use_is_refused_before_anything_runs(
    house: House,
) -> None:
    gateway = ScriptedGateway("")
    with pytest.raises(InvalidConfig, match=r"may not use the tool 'rm'.*Allowed here: add"):
        await house.run(gateway, {"question": "?"}, module="ReAct", tools=["rm"])
    assert not gateway.requests


async def test_a_module_without_tools_takes_none(house: House) -> None:
    with pytest.raises(RemoteError, match="Predict takes no tools"):
        await house.run(ScriptedGateway(""), {"question": "?"}, module="Predict", tools=["add"])


async def test_react_v2_submits_its_answer(house: House) -> None:
    calls = {"tool_calls": [{"name": "submit", "args": {"answer": "42"}}]}
    gateway = ScriptedGateway(chat(next_thought="t", tool_calls=json.dumps(calls)))
    outputs = await house.run(gateway, {"question": "?"}, module="ReActV2", tools=["add"])
    assert outputs["answer"] == "42" and outputs["termination_reason"]


async def test_tools_may_be_slow_and_are_stopped_with_the_step(house: House) -> None:
    began, stopped = asyncio.Event(), asyncio.Event()

    async def wait(seconds: float) -> None:
        began.set()
        try:
            await asyncio.sleep(seconds)
        finally:
            stopped.set()

    house.scope = RunScope(tools={"wait": HostTool.of(wait)})
    gateway = ScriptedGateway(acts("wait", seconds=60))
    running = asyncio.create_task(
        house.run(gateway, {"question": "?"}, module="ReAct", tools=["wait"])
    )
    await asyncio.wait_for(began.wait(), 10)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert stopped.is_set()


# Modules that run code


@pytest.mark.parametrize("module", ["RLM", "ProgramOfThought", "CodeAct", "Flex"])
async def test_code_is_not_run_unless_an_administrator_says_so(house: House, module: str) -> None:
    with pytest.raises(InvalidConfig, match=f"{module} runs code.*an administrator may turn it on"):
        await house.run(ScriptedGateway(""), {"question": "?"}, module=module)


async def test_code_is_not_run_inside_a_wrapper_either(house: House) -> None:
    wrapped = {**BEST, "inner": "ProgramOfThought"}
    with pytest.raises(InvalidConfig, match="ProgramOfThought runs code"):
        await house.run(ScriptedGateway(""), {"question": "?"}, **wrapped, reward="1")


async def test_rlm_explores_with_tools_and_submits(house: House) -> None:
    house.scope = RunScope(tools={"add": ADD}, run_code=True)
    gateway = ScriptedGateway(
        chat(reasoning="try", code="print(add(a=41))"),
        chat(reasoning="done", code='SUBMIT(answer="42")'),
    )
    outputs = await house.run(gateway, {"question": "?"}, module="RLM", tools=["add"])
    assert outputs["answer"] == "42" and outputs["final_reasoning"] == "done"
    assert "42" in outputs["trajectory"][0]["output"]
    assert predictors(gateway) == ["generate_action"] * 2
    assert [told["result"] for told in house.traces("tool")] == [42]


async def test_program_of_thought_mends_its_code(house: House) -> None:
    house.scope = RunScope(run_code=True)
    gateway = ScriptedGateway(
        chat(reasoning="r", generated_code="fail()"),
        chat(reasoning="r", generated_code='SUBMIT(answer="6")'),
        chat(reasoning="read it", answer="6"),
    )
    outputs = await house.run(gateway, {"question": "?"}, module="ProgramOfThought")
    assert outputs == {"reasoning": "read it", "answer": "6"}
    assert predictors(gateway) == [
        f"{name}.predict" for name in ("code_generate", "code_regenerate", "generate_output")
    ]


async def test_code_act_calls_host_tools_from_its_code(house: House) -> None:
    house.scope = RunScope(tools={"add": ADD}, run_code=True)
    gateway = ScriptedGateway(
        chat(generated_code="print(add(a=1))", finished="True"),
        chat(reasoning="saw it", answer="2"),
    )
    outputs = await house.run(gateway, {"question": "?"}, module="CodeAct", tools=["add"])
    assert outputs["answer"] == "2"
    assert outputs["trajectory"]["code_output_0"] == '"2"'
    assert [told["arguments"] for told in house.traces("tool")] == [{"a": 1}]


async def test_a_sandbox_without_its_runtime_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("DSPEX_SANDBOX_DIR", str(tmp_path))
    pool = Pool(PoolSettings(size=1, spares=0))
    try:
        house = House(pool, "no-deno")
        house.scope = RunScope(run_code=True)
        gateway = ScriptedGateway(chat(reasoning="r", generated_code="print(1)"))
        with pytest.raises(
            RemoteError, match=r"Deno 2.* is not installed\. Run `make sandbox`"
        ) as raised:
            await house.run(gateway, {"question": "?"}, module="ProgramOfThought")
        assert raised.value.failure.code == "missing_packages"
    finally:
        await pool.aclose()

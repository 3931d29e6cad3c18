"""DSPy in real worker processes, with a gateway that answers from a script."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from pipelines.graph.graph import Node
from pipelines.graph.kinds import kind_named
from pipelines.graph.kinds.predict import with_reasoning
from pipelines.graph.policy import StepPolicy
from pipelines.graph.signature import parse
from runner.bridge.executor import DSPyExecutor
from runner.bridge.pool import Pool, PoolSettings
from runner.bridge.pools import OnePool
from runner.engine.errors import RemoteError, UnparsableAnswer
from runner.engine.events import EventType
from runner.engine.executor import Call
from runner.lm.errors import BillingError, ContextWindowExceeded
from runner.lm.types import LMRequest
from runner.native.formats import Task
from runner.native.formats.compact import COMPACT
from runner.native.predict import Predictor
from tests.dspy_steps import Observer, ScriptedGateway, chat

pytestmark = pytest.mark.asyncio(loop_scope="module")

CANARY = "canary-4711"


async def retrieve(call: Call, arguments: dict[str, Any]) -> list[dict[str, Any]]:
    rows = [(f"about {arguments['query']}", 0.9), ("something else", 0.1)]
    return [
        {"text": text, "pid": rank, "rank": rank, "score": score * 10, "prob": score}
        for rank, (text, score) in enumerate(rows, 1)
    ]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[Pool]:
    os.environ["OPENAI_API_KEY"] = CANARY
    pool = Pool(PoolSettings(size=3))
    await pool.start()
    yield pool
    await pool.aclose()
    del os.environ["OPENAI_API_KEY"]


@pytest.fixture
def observer() -> Observer:
    return Observer()


type Run = Callable[..., Any]


@pytest.fixture
def run(pool: Pool, observer: Observer, request: pytest.FixtureRequest) -> Run:
    """Run one node in the pool; its outputs."""

    async def run_node(
        gateway: ScriptedGateway,
        kind: str,
        inputs: Mapping[str, Any],
        policy: StepPolicy | None = None,
        **config: Any,
    ) -> Any:
        call = Call(
            run_id=request.node.name,
            path="n1",
            attempt=1,
            node=Node(id="n1", kind=kind, config=config),
            config=kind_named(kind).config(**config),
            policy=policy or StepPolicy(),
            inputs=inputs,
            observer=observer,
        )
        return await DSPyExecutor(OnePool(pool), gateway, {"retrieve": retrieve}).execute(call)

    return run_node


KEYWORDS = "query -> keywords: list[str]"
ANSWER = "question -> answer"


async def test_ready_announces_what_was_loaded(pool: Pool) -> None:
    ready = await pool.start()
    names = {info.name for info in ready.modules}
    assert {"Predict", "ReAct", "BestOfN", "RLM", "ColBERTv2"} <= names
    assert ready.versions["dspy"].startswith("3.")
    assert (await pool.health())["ok"]


async def test_predict_runs_in_a_worker_without_keys(
    run: Run, pool: Pool, observer: Observer
) -> None:
    gateway = ScriptedGateway(chat(keywords=["dspy", "graph"]))
    assert await run(gateway, "predict", {"query": "hi"}, signature=KEYWORDS) == {
        "keywords": ["dspy", "graph"]
    }
    (trace,) = observer.of(EventType.TRACE)
    assert trace["worker"] != os.getpid()
    assert trace["format"] == "messagepack"
    assert trace["bytes_out"] > 100 and trace["bytes_in"] > 100 and trace["ms"] >= 0
    assert CANARY not in Path(f"/proc/{trace['worker']}/environ").read_text()


async def test_chain_of_thought_gives_its_reasoning(run: Run) -> None:
    gateway = ScriptedGateway(chat(reasoning="because", answer="42"))
    outputs = await run(gateway, "chain_of_thought", {"question": "?"}, signature=ANSWER)
    assert outputs == {"reasoning": "because", "answer": "42"}


async def test_request_carries_settings_instructions_demos_and_constraints(run: Run) -> None:
    gateway = ScriptedGateway(chat(score=3))
    await run(
        gateway,
        "predict",
        {"text": "hello"},
        signature="text -> score: int",
        instructions="Rate the text.",
        descriptions={"score": "how good"},
        constraints={"score": {"ge": 0, "le": 5}},
        demos=[{"text": "good", "score": 5}],
        temperature=0.3,
        max_tokens=50,
    )
    (request,) = gateway.requests
    prompt = str(request.messages)
    for expected in ("Rate the text.", "how good", "less than or equal to: 5", "good"):
        assert expected in prompt
    assert [message.role for message in request.messages] == ["system", "user", "assistant", "user"]
    assert (request.temperature, request.max_tokens) == (0.3, 50)


async def test_compact_profile_gets_json_with_a_schema(run: Run) -> None:
    gateway = ScriptedGateway('{"keywords": ["a"]}', format="compact")
    assert await run(gateway, "predict", {"query": "hi"}, signature=KEYWORDS) == {"keywords": ["a"]}
    schema = gateway.requests[0].response_schema
    assert schema is not None
    assert schema["properties"]["keywords"]["type"] == "array"
    assert schema["required"] == ["keywords"]


async def test_compact_profile_is_asked_in_the_words_of_the_native_predictor(run: Run) -> None:
    gateway = ScriptedGateway('{"reasoning": "r", "b": "x"}', format="compact")
    demo = {"a": ["1", "2"], "reasoning": "r", "b": "y"}
    await run(gateway, "chain_of_thought", {"a": ["3"]}, signature="a -> b", demos=(demo,))
    (asked,) = gateway.requests
    task = Task(signature=with_reasoning(parse("a -> b")), demos=(demo,))
    native = COMPACT.prompt(task, {"a": ["3"]}, structured=True)
    assert asked.messages == native.messages
    assert native.schema is not None and asked.response_schema is not None
    assert native.schema["properties"] == asked.response_schema["properties"]


async def test_profile_without_structured_output_gets_no_schema(run: Run) -> None:
    gateway = ScriptedGateway('{"keywords": ["a"]}', format="json", structured=False)
    await run(gateway, "predict", {"query": "hi"}, signature=KEYWORDS)
    assert gateway.requests[0].response_schema is None


async def test_unreadable_chat_answer_is_asked_again_in_json_and_taken_back(
    run: Run, observer: Observer
) -> None:
    gateway = ScriptedGateway("nonsense", '{"keywords": ["a"]}')
    assert await run(gateway, "predict", {"query": "hi"}, signature=KEYWORDS) == {"keywords": ["a"]}
    assert len(gateway.requests) == 2
    assert observer.of(EventType.RETRACT) == [
        {"call": 1, "reason": "unparsable_answer", "predictor": "self"}
    ]


async def test_unreadable_json_answer_is_asked_once_more_past_the_cache(run: Run) -> None:
    gateway = ScriptedGateway("nonsense", '{"keywords": ["a"]}', format="json")
    assert await run(gateway, "predict", {"query": "hi"}, signature=KEYWORDS) == {"keywords": ["a"]}
    assert [request.fresh for request in gateway.requests] == [False, True]


@pytest.mark.parametrize("format_", ["chat", "json"])
async def test_nonsense_twice_is_a_parse_error_with_the_raw_answer(run: Run, format_: str) -> None:
    gateway = ScriptedGateway("utter nonsense", format=format_)
    with pytest.raises(RemoteError, match="does not have the fields keywords") as raised:
        await run(gateway, "predict", {"query": "hi"}, signature=KEYWORDS)
    failure = raised.value.failure
    assert failure.code == "unparsable_answer"
    assert failure.details["answer"] == "utter nonsense"
    assert len(gateway.requests) == 2


async def test_infrastructure_error_ends_the_step_as_the_host_s_own_error(run: Run) -> None:
    gateway = ScriptedGateway(BillingError("No credit left."))
    with pytest.raises(BillingError, match="No credit left") as raised:
        await run(gateway, "predict", {"query": "hi"}, signature=KEYWORDS)
    assert raised.value.suspends
    assert len(gateway.requests) == 1


async def test_error_that_a_module_may_handle_comes_back_with_its_code(run: Run) -> None:
    gateway = ScriptedGateway(ContextWindowExceeded("Too long."))
    with pytest.raises(ContextWindowExceeded, match="Too long"):
        await run(gateway, "predict", {"query": "hi"}, signature=KEYWORDS)


async def test_defect_of_the_gateway_is_told_as_internal(run: Run) -> None:
    gateway = ScriptedGateway(ZeroDivisionError("oops"))
    with pytest.raises(RemoteError, match="ZeroDivisionError: oops") as raised:
        await run(gateway, "predict", {"query": "hi"}, signature=KEYWORDS)
    assert raised.value.failure.code == "internal"


async def test_candidates_are_told_apart(run: Run) -> None:
    gateway = ScriptedGateway(chat(answer="1"), chat(answer="2"), chat(answer="3"))
    module = {"module": "Predict", "options": {"n": 3}}
    outputs = await run(gateway, "dspy_module", {"question": "?"}, signature=ANSWER, **module)
    assert outputs == {"answer": "1"}
    assert [request.candidate for request in gateway.requests] == [0, 1, 2]
    assert gateway.requests[0].temperature == 0.7  # DSPy's own, where several are asked for


async def test_colbert_asks_the_host_for_its_rows(run: Run, observer: Observer) -> None:
    outputs = await run(ScriptedGateway(""), "colbert", {"query": "dspy"}, collection="docs", k=1)
    assert outputs == {
        "passages": [{"text": "about dspy", "pid": 1, "rank": 1, "score": 9.0, "prob": 0.9}]
    }


@pytest.mark.parametrize("module", ["Module", "LM", "Evaluate", "Unheard"])
async def test_what_is_no_module_is_not_there(run: Run, pool: Pool, module: str) -> None:
    node = Node(id="n1", kind="dspy_module")
    config = kind_named("dspy_module").config(module=module, signature=ANSWER)
    assert not DSPyExecutor(OnePool(pool), ScriptedGateway("")).can(node, config)
    with pytest.raises(RemoteError, match=f"no module '{module}'"):
        await run(
            ScriptedGateway(""), "dspy_module", {"question": "?"}, module=module, signature=ANSWER
        )


@pytest.mark.parametrize("option", ["api_base", "callbacks", "engine", "rationale_field_type"])
async def test_option_that_is_no_plain_setting_is_refused(run: Run, option: str) -> None:
    with pytest.raises(RemoteError, match=f"no option '{option}'"):
        await run(
            ScriptedGateway(""),
            "dspy_module",
            {"question": "?"},
            module="ChainOfThought",
            signature=ANSWER,
            options={option: "x"},
        )


async def test_types_cross_in_both_directions(run: Run) -> None:
    person = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"],
    }
    gateway = ScriptedGateway(
        chat(who={"name": "Ada", "age": 36}, born="1815-12-10", code="print(1)", ratio="0.5")
    )
    outputs = await run(
        gateway,
        "predict",
        {"day": "2026-01-02", "picture": {"url": "https://example.org/a.png"}, "any": {"x": [1]}},
        signature="day: date, picture: dspy.Image, any -> "
        "who: Person, born: date, code: dspy.Code['python'], ratio: Decimal",
        types={"Person": person},
    )
    assert outputs == {
        "who": {"name": "Ada", "age": 36},
        "born": "1815-12-10",
        "code": "print(1)",
        "ratio": "0.5",
    }
    content = gateway.requests[0].messages[-1].content
    assert isinstance(content, list)
    assert {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}} in content


async def test_input_that_is_not_its_type_is_refused(run: Run) -> None:
    with pytest.raises(RemoteError, match="Input 'day' is not a valid") as raised:
        await run(ScriptedGateway(""), "predict", {"day": "soon"}, signature="day: date -> answer")
    assert raised.value.failure.code == "invalid_input"


async def test_cancelled_step_stops_its_lm_call_and_keeps_the_worker(
    run: Run, observer: Observer
) -> None:
    asked = asyncio.Event()

    async def never(request: LMRequest) -> str:
        asked.set()
        await asyncio.sleep(60)
        return ""

    gateway = ScriptedGateway(never, chat(answer="now"))
    task = asyncio.create_task(run(gateway, "predict", {"question": "?"}, signature=ANSWER))
    await asyncio.wait_for(asked.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert gateway.cancelled == 1
    again = await run(gateway, "predict", {"question": "?"}, signature=ANSWER)
    assert again == {"answer": "now"}


async def test_worker_killed_in_a_step_is_replaced_and_what_it_streamed_taken_back(
    run: Run, pool: Pool, observer: Observer, request: pytest.FixtureRequest
) -> None:
    async def kill_the_worker(asked: LMRequest) -> str:
        (pid,) = [
            worker["pid"]
            for worker in pool.stats()["workers"]
            if worker["run_id"] == request.node.name
        ]
        os.kill(pid, signal.SIGKILL)
        return chat(answer="lost")

    gateway = ScriptedGateway(kill_the_worker, chat(answer="found"))
    assert await run(gateway, "predict", {"question": "?"}, signature=ANSWER) == {"answer": "found"}
    assert {"call": 1, "reason": "worker_lost", "predictor": "self"} in observer.of(
        EventType.RETRACT
    )
    (lost,) = observer.of(EventType.ATTEMPT_FAILED)
    assert lost["failure"].code == "worker_lost"


async def test_parallel_steps_of_a_run_use_several_workers(
    run: Run, pool: Pool, observer: Observer
) -> None:
    async def slow(request: LMRequest) -> str:
        await asyncio.sleep(0.1)
        return chat(answer="x")

    gateway = ScriptedGateway(slow)
    steps = (run(gateway, "predict", {"question": "?"}, signature=ANSWER) for _ in range(2))
    assert await asyncio.gather(*steps) == [{"answer": "x"}] * 2
    assert len({trace["worker"] for trace in observer.of(EventType.TRACE)}) == 2


async def test_output_keeps_what_json_keeps(run: Run) -> None:
    gateway = ScriptedGateway(chat(text='ü "quoted"\n\nand more'))
    outputs = await run(gateway, "predict", {"q": "?"}, signature="q -> text")
    assert outputs == {"text": 'ü "quoted"\n\nand more'}


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def _release(pool: Pool, request: pytest.FixtureRequest) -> AsyncIterator[None]:
    yield
    await pool.release_run(request.node.name)


async def test_an_answer_that_breaks_a_constraint_fails_as_it_does_natively(
    run: Run, observer: Observer
) -> None:
    """And the worker, which did its part, has the next step."""
    config = {"signature": "query -> story", "constraints": {"story": {"min_length": 2_000}}}
    gateway = ScriptedGateway(chat(story="Once upon a time"))
    with pytest.raises(UnparsableAnswer, match="should have at least 2000 characters") as raised:
        await run(gateway, "predict", {"query": "hi"}, StepPolicy(retries=1), **config)
    assert raised.value.details["answer"] == '{"story": "Once upon a time"}'
    call = Call(
        run_id="native",
        path="n1",
        attempt=1,
        node=Node(id="n1", kind="predict", config=config),
        config=kind_named("predict").config(**config),
        policy=StepPolicy(),
        inputs={"query": "hi"},
        observer=observer,
    )
    with pytest.raises(UnparsableAnswer) as natively:
        await Predictor(ScriptedGateway('{"story": "Once upon a time"}', format="json")).predict(
            call
        )
    told, native = raised.value, natively.value
    assert (told.code, told.retryable) == (native.code, native.retryable)
    assert told.details["problem"] == native.details["problem"]
    story = "x" * 2_000
    gateway = ScriptedGateway(chat(reasoning="r", story=story))
    outputs = await run(gateway, "chain_of_thought", {"query": "hi"}, **config)
    assert outputs == {"reasoning": "r", "story": story}

"""predict and chain_of_thought against a gateway that answers from a list."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from pipelines.graph.graph import Node
from pipelines.graph.kinds.predict import Predict
from pipelines.graph.policy import StepPolicy
from runner.engine.errors import InvalidConfig, InvalidInput, UnparsableAnswer
from runner.engine.events import Chunk, EventType
from runner.engine.executor import Call
from runner.lm.types import LMProfile, LMRequest, LMResponse
from runner.native.predict import Predictor

GOOD = "[[ ## answer ## ]]\nfour\n[[ ## completed ## ]]"


@dataclass
class Gateway:
    """Answers in turn; keeps what it was asked."""

    answers: list[str]
    format: Any = "chat"
    asked: list[LMRequest] = field(default_factory=list)
    profiles: list[str | None] = field(default_factory=list)

    def profile(self, name: str | None) -> LMProfile:
        return LMProfile(name=name or "default", adapter="scripted", format=self.format)

    async def complete(
        self, request: LMRequest, call: Call, *, profile: str | None = None
    ) -> LMResponse:
        call.next_lm_call()
        self.asked.append(request)
        self.profiles.append(profile)
        return LMResponse(text=self.answers[len(self.asked) - 1])


@dataclass
class Observer:
    events: list[tuple[EventType, dict[str, Any]]] = field(default_factory=list)

    def chunk(self, chunk: Chunk) -> None: ...

    def event(self, type_: EventType, call: Call, data: dict[str, Any]) -> None:
        self.events.append((type_, data))


def a_call(inputs: Mapping[str, Any], observer: Observer | None = None, **config: Any) -> Call:
    config = {"signature": "question -> answer", **config}
    return Call(
        run_id="r",
        path="p",
        attempt=1,
        node=Node(id="p", kind="predict", config=config),
        config=Predict(**config),
        policy=StepPolicy(),
        inputs=inputs,
        observer=observer or Observer(),
    )


async def test_predict_formats_asks_and_reads() -> None:
    gateway = Gateway([GOOD])
    call = a_call({"question": "2+2?"}, lm="big", temperature=0.3, max_tokens=9)
    assert await Predictor(gateway).predict(call) == {"answer": "four"}
    (request,) = gateway.asked
    assert (request.temperature, request.max_tokens, request.fresh) == (0.3, 9, False)
    assert gateway.profiles == ["big"]


async def test_chain_of_thought_asks_for_reasoning_first() -> None:
    gateway = Gateway(['{"reasoning": "2 and 2", "answer": "four"}'], format="compact")
    outputs = await Predictor(gateway).chain_of_thought(a_call({"question": "2+2?"}))
    assert list(outputs.items()) == [("reasoning", "2 and 2"), ("answer", "four")]
    schema = gateway.asked[0].response_schema
    assert schema is not None and schema["required"] == ["reasoning", "answer"]


async def test_an_unparsable_answer_is_retracted_and_asked_again_in_json() -> None:
    gateway, observer = Gateway(["nonsense", '{"answer": "four"}']), Observer()
    outputs = await Predictor(gateway).predict(a_call({"question": "2+2?"}, observer))
    assert outputs == {"answer": "four"}
    first, second = gateway.asked
    assert second.fresh and second.response_schema is not None and first.response_schema is None
    assert "Respond with a JSON object" in str(second.messages[-1].content)
    ((type_, data),) = observer.events
    assert type_ is EventType.RETRACT
    assert data["call"] == 1 and "'answer'" in data["reason"]


async def test_a_second_unparsable_answer_is_an_error_that_keeps_it() -> None:
    gateway = Gateway(["nonsense", "still nonsense", GOOD])
    with pytest.raises(UnparsableAnswer) as raised:
        await Predictor(gateway).predict(a_call({"question": "2+2?"}))
    assert len(gateway.asked) == 2
    assert raised.value.details == {
        "answer": "still nonsense",
        "problem": "The answer is not a JSON object.",
        "fields": ["answer"],
    }


async def test_inputs_that_are_missing_or_wrong_are_all_named_before_anything_is_asked() -> None:
    gateway = Gateway([])
    call = a_call({"tags": "x"}, signature="question, tags: list[str] -> answer")
    with pytest.raises(InvalidInput, match=r"'question': is required.*'tags'.*list\[str\]"):
        await Predictor(gateway).predict(call)
    assert gateway.asked == []


async def test_an_undeclared_input_takes_any_value() -> None:
    gateway = Gateway([GOOD])
    await Predictor(gateway).predict(a_call({"question": {"a": [1]}}))
    assert '{"a": [1]}' in str(gateway.asked[0].messages[-1].content)


async def test_demos_travel_as_turns() -> None:
    gateway = Gateway([GOOD])
    demos = ({"question": "1+1?", "answer": "two"},)
    await Predictor(gateway).predict(a_call({"question": "2+2?"}, demos=demos))
    roles = [message.role for message in gateway.asked[0].messages]
    assert roles == ["system", "user", "assistant", "user"]


async def test_a_signature_without_outputs_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="no output"):
        await Predictor(Gateway([])).predict(a_call({"a": 1}, signature="a ->"))


async def test_prepared_tasks_are_kept_by_config_and_bounded() -> None:
    predictor = Predictor(Gateway([GOOD] * 3))
    call = a_call({"question": "2+2?"})
    await predictor.predict(call)
    await predictor.predict(call)
    assert len(predictor._prepared) == 1
    await predictor.predict(a_call({"question": "2+2?"}, instructions="Other."))
    assert len(predictor._prepared) == 2

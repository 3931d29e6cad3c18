"""The worker's adapters against DSPy's own: the same words, made once."""

from concurrent.futures import Future
from typing import Any, Literal

import dspy
import pydantic
import pytest

from runner.bridge.payloads import FieldSpec, LMSettings, SignatureSpec
from runner.bridge.worker import start
from runner.bridge.worker_adapters import adapter
from runner.bridge.worker_lm import language_model
from runner.bridge.worker_loop import Step
from runner.bridge.worker_signatures import build
from runner.bridge.worker_values import type_adapter
from runner.lm.types import LMRequest, LMResponse

DEMOS = [{"question": "Who?", "kind": "b", "parts": [{"n": 1}]}]
INPUTS = {"question": "What?"}


class Part(pydantic.BaseModel):
    n: int


class Keeping(Step):
    """Keeps the requests; one answer for all."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.requests: list[LMRequest] = []

    def ask_lm(self, request: LMRequest, node: str = "") -> tuple[int, Future[LMResponse]]:
        self.requests.append(request)
        future: Future[LMResponse] = Future()
        future.set_result(LMResponse(text=self.text))
        return len(self.requests), future

    def trace(self, name: str, data: dict[str, Any]) -> None: ...


ANSWERS = {
    "chat": '[[ ## kind ## ]]\na\n\n[[ ## parts ## ]]\n[{"n": 1}]\n\n[[ ## completed ## ]]',
    "json": '{"kind": "a", "parts": [{"n": 1}]}',
}


def asked(format_: Any, signature: Any) -> list[LMRequest]:
    """What two steps with DSPy's adapter or ours ask the host."""
    step = Keeping(ANSWERS[format_])
    start()
    lm = language_model(step, "n", LMSettings(adapter=format_, structured=True), {})
    theirs = {"chat": dspy.ChatAdapter, "json": dspy.JSONAdapter}[format_]()
    predict = dspy.Predict(signature)
    predict.demos = list(DEMOS)
    for used in (theirs, adapter(format_), adapter(format_)):
        with dspy.context(lm=lm, adapter=used):
            assert predict(**INPUTS).kind == "a"
    return step.requests


def typed_signature() -> Any:
    return dspy.Signature(
        {
            "question": (str, dspy.InputField()),
            "kind": (Literal["a", "b"], dspy.OutputField(desc="Which.")),
            "parts": (list[Part], dspy.OutputField()),
        },
        "Take it apart.",
    )


@pytest.mark.parametrize("format_", ["chat", "json"])
def test_they_ask_as_dspy_s_own_do(format_: str) -> None:
    theirs, first, second = asked(format_, typed_signature())
    assert first == second == theirs
    assert (theirs.response_schema is not None) == (format_ == "json")


def test_small_models_are_asked_alike_every_time() -> None:
    step = Keeping(ANSWERS["json"])
    start()
    lm = language_model(step, "n", LMSettings(adapter="compact", structured=True), {})
    signature = typed_signature()
    for _ in range(2):
        with dspy.context(lm=lm, adapter=adapter("compact")):
            dspy.Predict(signature)(**INPUTS)
    first, second = step.requests
    assert first == second
    assert first.response_schema is not None
    assert list(first.response_schema["properties"]) == ["kind", "parts"]


def test_fallback_to_json_asks_as_dspy_s_own_does() -> None:
    step = Keeping(ANSWERS["json"])
    start()
    lm = language_model(step, "n", LMSettings(structured=True), {})
    for used in (dspy.ChatAdapter(), adapter("chat")):
        with dspy.context(lm=lm, adapter=used):
            assert dspy.Predict(typed_signature())(**INPUTS).kind == "a"
    assert step.requests[:2] == step.requests[2:]


@pytest.mark.parametrize("format_", ["chat", "json"])
def test_what_is_said_of_a_signature_follows_its_instructions(format_: str) -> None:
    signature = typed_signature()
    made = adapter(format_)
    for changed in (signature, signature.with_instructions("Otherwise."), signature):
        system = made.format(changed, demos=[], inputs=INPUTS)[0]["content"]
        assert changed.instructions in system
    signature.instructions = "Set in place."
    assert "Set in place." in made.format(signature, demos=[], inputs=INPUTS)[0]["content"]


@pytest.mark.parametrize("format_", ["chat", "json"])
def test_further_steps_make_no_adapter_of_pydantic(
    format_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    signature = build(
        SignatureSpec(
            inputs=(FieldSpec(name="question", type="str"),),
            outputs=(
                FieldSpec(name="kind", type="Literal['a', 'b']"),
                FieldSpec(name="parts", type="list[dict[str, int]]"),
            ),
        )
    )
    asked(format_, signature)
    made = []
    real = pydantic.TypeAdapter.__init__
    monkeypatch.setattr(
        pydantic.TypeAdapter, "__init__", lambda *a, **k: made.append(a) or real(*a, **k)
    )
    step = Keeping(ANSWERS[format_])
    lm = language_model(step, "n", LMSettings(adapter=format_), {})  # type: ignore[arg-type]
    with dspy.context(lm=lm, adapter=adapter(format_)):
        assert dspy.Predict(signature)(**INPUTS).parts == [{"n": 1}]
    assert made == []


def test_unions_in_another_order_are_other_types() -> None:
    first, second = int | bool, bool | int
    assert first == second
    assert type_adapter(first) is not type_adapter(second)
    assert type_adapter(list[int]) is type_adapter(list[int])

"""What the worker relies on in the installed DSPy. A DSPy release that changes it fails here first."""

import asyncio
import copy
import dataclasses
import json
import pickle
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import dspy
import pytest
from dspy import lm15
from dspy._vendor.lm15.types import PART_TYPES

from runner.bridge import sandbox
from runner.bridge.module_options import check_options
from runner.bridge.nursery import environment
from runner.bridge.payloads import UNSERIALISABLE, FieldSpec, LMSettings, SignatureSpec
from runner.bridge.worker import start
from runner.bridge.worker_adapters import adapter
from runner.bridge.worker_interpreter import LimitedInterpreter, Watchdog
from runner.bridge.worker_lm import language_model
from runner.bridge.worker_loop import RunCancelled, Step
from runner.bridge.worker_modules import NODE_TAG
from runner.bridge.worker_registry import discover
from runner.bridge.worker_requests import (
    IGNORED,
    REFUSED,
    lm15_error,
    lm15_response,
    plain_request,
)
from runner.bridge.worker_retrieval import HostColBERTv2
from runner.bridge.worker_signatures import build
from runner.bridge.worker_values import plain
from runner.engine.errors import Failure, InvalidConfig
from runner.lm.types import LMRequest, LMResponse, Usage

ANSWER = "[[ ## answer ## ]]\nyes\n\n[[ ## completed ## ]]"


class FakeStep(Step):
    """Answers with a function of the request, and keeps the requests and traces."""

    def __init__(self, answer: Callable[[LMRequest], LMResponse]) -> None:
        self.answer = answer
        self.requests: list[LMRequest] = []
        self.traces: list[tuple[str, dict[str, Any]]] = []
        self.tools: list[dict[str, Any]] = []

    def ask_lm(self, request: LMRequest, node: str = "") -> tuple[int, Future[LMResponse]]:
        self.requests.append(request)
        future: Future[LMResponse] = Future()
        try:
            future.set_result(self.answer(request))
        except BaseException as error:
            future.set_exception(error)
        return len(self.requests), future

    def ask_tool(self, tool: str, arguments: dict[str, Any]) -> Any:
        self.tools.append(arguments)
        return [{"text": "a passage", "pid": 7, "rank": 1, "score": 2.0, "prob": 0.6}] * 3

    def trace(self, name: str, data: dict[str, Any]) -> None:
        self.traces.append((name, data))


@pytest.fixture
def step() -> Iterator[FakeStep]:
    step = FakeStep(lambda request: LMResponse(text=ANSWER))
    start()
    configure(step, LMSettings())
    yield step
    dspy.configure(lm=None, adapter=None, callbacks=[])


def configure(step: Step, settings: LMSettings) -> None:
    lm = language_model(step, "n1", settings, {})
    dspy.configure(lm=lm, adapter=adapter(settings.adapter))


def signature(*outputs: FieldSpec) -> Any:
    return build(
        SignatureSpec(
            inputs=(FieldSpec(name="question", type="str"),),
            outputs=outputs or (FieldSpec(name="answer", type="str"),),
        )
    )


# Requests and responses


def test_every_kind_of_part_is_known() -> None:
    carried = {"text", "image", "audio", "document", "refusal", "tool_call", "tool_result"}
    left_out = {"thinking"}  # the model's own notes: not sent back to it
    refused = {"video", "binary", "citation", "data"}
    assert set(PART_TYPES) == carried | left_out | refused


def test_every_setting_is_known() -> None:
    carried = {
        "max_tokens",
        "temperature",
        "top_p",
        "stop",
        "response_format",
        "tool_choice",
        "seed",
    }
    fields = {field.name for field in dataclasses.fields(lm15.Config)}
    assert fields == carried | IGNORED | REFUSED


def test_requests_and_messages_have_no_further_fields() -> None:
    assert {field.name for field in dataclasses.fields(lm15.Request)} == {
        "model", "messages", "system", "tools", "config",
    }  # fmt: skip
    assert {field.name for field in dataclasses.fields(lm15.Message)} == {
        "role", "parts", "continuation",
    }  # fmt: skip


def chat_body(request: LMRequest) -> dict[str, Any]:
    """The request as the chat-completions API has it, which lm15 can read back."""
    body: dict[str, Any] = {
        "model": "m",
        "messages": [_turn(message) for message in request.messages],
    }
    if request.response_schema is not None:
        inner = {"name": "DSPyProgramOutputs", "schema": request.response_schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": inner}
    elif request.json_object:
        body["response_format"] = {"type": "json_object"}
    settings = {
        "temperature": request.temperature,
        "top_p": request.top_p,
        "max_tokens": request.max_tokens,
        "stop": list(request.stop) or None,
        "seed": request.seed,
        "tools": list(request.tools) or None,
        "tool_choice": request.tool_choice,
    }
    return body | {name: value for name, value in settings.items() if value is not None}


def _turn(message: Any) -> dict[str, Any]:
    found = {
        "role": message.role,
        "content": message.content,
        "tool_calls": message.tool_calls,
        "tool_call_id": message.tool_call_id,
    }
    return {name: value for name, value in found.items() if value not in (None, "")}


TOOL = lm15.FunctionTool(
    name="add", description="Adds.", parameters={"type": "object", "properties": {}}
)
USER = lm15.Message.user("hi")
EXAMPLES = {
    "text": lm15.Request(model="m", messages=(USER,), system="Be brief."),
    "settings": lm15.Request(
        model="m",
        messages=(USER,),
        config=lm15.Config(temperature=0.5, top_p=0.9, max_tokens=9, stop=("x",), seed=4),
    ),
    "json object": lm15.Request(
        model="m", messages=(USER,), config=lm15.Config(response_format={"type": "json_object"})
    ),
    "schema": lm15.Request(
        model="m",
        messages=(USER,),
        config=lm15.Config(
            response_format={
                "type": "json_schema",
                "name": "DSPyProgramOutputs",
                "schema": {"type": "object", "properties": {"a": {"type": "string"}}},
                "strict": True,
            }
        ),
    ),
    "media": lm15.Request(
        model="m",
        messages=(
            lm15.Message(
                role="user",
                parts=(
                    lm15.TextPart("look"),
                    lm15.ImagePart(url="https://example.org/a.png"),
                    lm15.ImagePart(data="QUJD", media_type="image/jpeg", detail="low"),
                    lm15.AudioPart(data="QUJD", media_type="audio/mpeg"),
                    lm15.DocumentPart(data="QUJD", media_type="application/pdf"),
                ),
            ),
        ),
    ),
    "tools": lm15.Request(
        model="m",
        messages=(
            USER,
            lm15.Message(
                role="assistant", parts=(lm15.ToolCallPart(id="1", name="add", input={"a": 1}),)
            ),
            lm15.Message(
                role="tool",
                parts=(lm15.ToolResultPart(id="1", content=(lm15.TextPart("2"),)),),
            ),
        ),
        tools=(TOOL,),
        config=lm15.Config(tool_choice=lm15.ToolChoice(mode="required")),
    ),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_nothing_of_a_request_is_lost(name: str) -> None:
    request = EXAMPLES[name]
    assert lm15.request_from_openai_chat(chat_body(plain_request(request))) == request


@pytest.mark.parametrize("name", sorted(REFUSED - {"extensions", "reasoning"}))
def test_setting_that_cannot_be_carried_is_refused(name: str) -> None:
    config = lm15.Config(**{name: 1 if name in ("top_k", "logprobs") else 0.5})
    with pytest.raises(lm15.UnsupportedFeatureError, match=name):
        plain_request(lm15.Request(model="m", messages=(USER,), config=config))


def test_response_carries_text_tool_calls_and_usage() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    ours = LMResponse(
        text="hi",
        model="real",
        finish_reason="tool_calls",
        tool_calls=[call],
        usage=Usage(input_tokens=3, output_tokens=4),
    )
    found = lm15_response(ours, "m")
    assert found.message.parts == (
        lm15.TextPart("hi"),
        lm15.ToolCallPart(id="1", name="add", input={"a": 1}),
    )
    assert (found.model, found.finish_reason, found.usage.total_tokens) == ("real", "tool_call", 7)


def test_empty_answer_is_a_response() -> None:
    assert lm15_response(LMResponse(text=""), "m").message.parts == (lm15.TextPart(""),)


def test_context_window_error_is_the_one_that_react_handles(step: FakeStep) -> None:
    error = lm15_error(Failure(code="context_window_exceeded", message="long"))
    assert isinstance(error, lm15.ContextLengthError)
    assert isinstance(lm15_error(Failure(code="refusal", message="no")), lm15.InvalidRequestError)


# DSPy's behaviour around our engine


def test_each_try_of_best_of_n_is_a_request_of_its_own(step: FakeStep) -> None:
    configure(step, LMSettings(temperature=0.2))
    best = dspy.BestOfN(dspy.Predict(signature()), N=3, reward_fn=lambda a, p: 0.0, threshold=1.0)
    assert best(question="?").answer == "yes"
    assert [request.rollout_id for request in step.requests] == [0, 1, 2]
    # The temperature is the LM's, not the predictor's: BestOfN may raise it.
    assert [request.temperature for request in step.requests] == [1.0] * 3


def test_candidates_of_one_call_are_numbered(step: FakeStep) -> None:
    predict = dspy.Predict(signature(), n=3)
    predict(question="?")
    predict(question="?")
    assert [request.candidate for request in step.requests] == [0, 1, 2, 0, 1, 2]


def test_stop_passes_through_a_module_that_hides_errors(step: FakeStep) -> None:
    def stop(request: LMRequest) -> LMResponse:
        raise RunCancelled

    step.answer = stop
    refine = dspy.Refine(dspy.Predict(signature()), N=3, reward_fn=lambda a, p: 0.0, threshold=1.0)
    with pytest.raises(RunCancelled):
        refine(question="?")
    assert len(step.requests) == 1


def test_unreadable_answer_is_reported_by_its_request(step: FakeStep) -> None:
    answers = iter(["nonsense", '{"answer": "yes"}'])
    step.answer = lambda request: LMResponse(text=next(answers))
    assert dspy.Predict(signature())(question="?").answer == "yes"
    assert step.traces == [("unparsable", {"request": 1})]


def test_threads_of_a_module_ask_at_the_same_time(step: FakeStep) -> None:
    together = threading.Barrier(4)

    def answer(request: LMRequest) -> LMResponse:
        together.wait(timeout=5)
        return LMResponse(text=ANSWER)

    step.answer = answer
    predict = dspy.Predict(signature())
    pairs = [(predict, dspy.Example(question=str(n)).with_inputs("question")) for n in range(4)]
    parallel = dspy.Parallel(num_threads=4, disable_progress_bar=True)
    assert [found.answer for found in parallel(pairs)] == ["yes"] * 4


def test_thread_that_a_module_starts_by_itself_has_the_language_model(step: FakeStep) -> None:
    found: list[str] = []
    thread = threading.Thread(
        target=lambda: found.append(dspy.Predict(signature())(question="?").answer)
    )
    thread.start()
    thread.join(5)
    assert found == ["yes"]


def test_async_modules_ask_too(step: FakeStep) -> None:
    async def ask() -> list[str]:
        predict = dspy.Predict(signature())
        return [
            p.answer for p in await asyncio.gather(*(predict.acall(question="?") for _ in "ab"))
        ]

    assert asyncio.run(ask()) == ["yes", "yes"]


def test_engine_is_shared_by_copies_and_survives_pickle(step: FakeStep) -> None:
    lm = dspy.settings.lm
    assert copy.deepcopy(lm.engine) is lm.engine
    assert lm.copy(temperature=1.0).engine is lm.engine
    assert pickle.loads(pickle.dumps(lm.engine)) is lm.engine
    predict = dspy.Predict(signature())
    predict.lm = lm
    assert predict.deepcopy().lm.engine is lm.engine


def test_node_tag_survives_what_optimizers_do(step: FakeStep) -> None:
    module = dspy.ChainOfThought(signature())
    setattr(module, NODE_TAG, "n1")
    for made in (module.deepcopy(), module.reset_copy(), copy.deepcopy(module)):
        assert getattr(made, NODE_TAG) == "n1"


def test_dspy_s_own_caches_and_history_are_off(step: FakeStep) -> None:
    predict = dspy.Predict(signature())
    predict(question="same")
    predict(question="same")
    assert len(step.requests) == 2
    assert not dspy.cache.enable_disk_cache and not dspy.cache.enable_memory_cache
    assert dspy.settings.lm.history == []


# Signatures, modules, retrieval


def test_signature_is_built_from_parts_as_dspy_would_from_text() -> None:
    ours = signature(FieldSpec(name="answer", type="list[str]"))
    theirs = dspy.Signature("question: str -> answer: list[str]")
    assert ours.instructions == theirs.instructions
    prompts = [
        dspy.ChatAdapter().format(made, demos=[], inputs={"question": "?"})
        for made in (ours, theirs)
    ]
    assert prompts[0] == prompts[1]


def test_the_modules_of_the_installed_dspy_are_found() -> None:
    takes = {name: set(info.takes) for name, (_, info) in discover().items()}
    assert takes == {
        "BestOfN": {"signature", "inner", "reward"},
        "ChainOfThought": {"signature"},
        "CodeAct": {"signature", "tools", "interpreter"},
        "Flex": {"signature", "tools", "interpreter"},
        "MultiChainComparison": {"signature", "completions"},
        "Parallel": {"signature", "inner", "examples"},
        "Predict": {"signature"},
        "ProgramOfThought": {"signature", "interpreter"},
        "RLM": {"signature", "tools", "interpreter"},
        "ReAct": {"signature", "tools"},
        "ReActV2": {"signature", "tools"},
        "Refine": {"signature", "inner", "reward"},
    }


def test_options_are_what_json_can_say() -> None:
    _, predict = discover()["Predict"]
    assert set(predict.options["properties"]) == {
        "n", "temperature", "top_p", "max_tokens", "stop", "seed",
    }  # fmt: skip
    _, rlm = discover()["RLM"]
    assert rlm.options["properties"]["max_iters"] == {
        "type": "integer",
        "minimum": 1,
        "default": 20,
    }
    assert not {"sub_lm", "tools", "verbose", "interpreter_factory"} & set(
        rlm.options["properties"]
    )
    _, best = discover()["BestOfN"]
    assert best.options["required"] == ["N", "threshold"]
    assert all(info.doc for name, (_, info) in discover().items() if name != "MultiChainComparison")


@pytest.mark.parametrize(
    ("module", "options", "said"),
    [
        ("BestOfN", {"N": 2}, "BestOfN needs the option 'threshold' \\(number\\)"),
        (
            "BestOfN",
            {"N": "3", "threshold": 1},
            "Option 'N' of BestOfN is a value of type integer, not '3'",
        ),
        ("BestOfN", {"N": 0, "threshold": 1}, "'N' of BestOfN is at least 1, not 0"),
        (
            "BestOfN",
            {"N": True, "threshold": 1},
            "'N' of BestOfN is a value of type integer, not True",
        ),
        ("ReAct", {"max_iter": 3}, "ReAct has no option 'max_iter'. Options: max_iters"),
        ("Predict", {"stop": [1]}, "'stop' of Predict is a list of texts"),
    ],
)
def test_an_option_that_is_wrong_is_named(module: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidConfig, match=said):
        check_options(discover()[module][1], options)


def test_colbert_has_dspy_s_signature_and_rows(step: FakeStep) -> None:
    retriever = HostColBERTv2(step, collection="docs")
    assert isinstance(retriever, dspy.ColBERTv2)
    rows = retriever("what", k=2)
    assert len(rows) == 2
    assert (rows[0].text, rows[0].long_text, rows[0].pid) == ("a passage", "a passage", 7)
    assert retriever("what", k=1, simplify=True) == ["a passage"]
    assert step.tools[0]["query"] == "what"


PRELOAD = """
import json, os, sys
from runner.bridge import worker
worker.preload()
import dspy
print(json.dumps({
    "threads": len(os.listdir("/proc/self/task")),
    "loaded": [name for name in ("litellm", "httpx", "django", "numpy") if name in sys.modules],
    "cache": [dspy.cache.enable_disk_cache, dspy.cache.enable_memory_cache],
    "files": sorted(os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
                    if os.path.exists(f"/proc/self/fd/{fd}")),
}))
"""


def test_preload_starts_no_thread_and_opens_nothing(tmp_path: Path) -> None:
    made = environment({}, ()) | {"HOME": str(tmp_path)}
    found = subprocess.run(
        [sys.executable, "-P", "-c", PRELOAD], env=made, capture_output=True, check=True, text=True
    )
    told = json.loads(found.stdout)
    assert told["threads"] == 1
    assert told["loaded"] == []
    assert told["cache"] == [False, False]
    assert not [name for name in told["files"] if name.endswith((".db", ".sqlite"))]
    assert list(tmp_path.iterdir()) == []


def test_the_sandbox_s_program_loads_what_is_pinned() -> None:
    program = (Path(dspy.__file__).parent / "primitives" / "runner.js").read_text()
    (npm, remote) = re.findall(r'^import .* from "(.*)";$', program, re.MULTILINE)
    package = npm.removeprefix("npm:").rpartition("/")[0]
    home = Path(sandbox.__file__).parent / "deno"
    assert package in json.loads((home / "deno.lock").read_text())["npm"]
    assert list(json.loads((home / "imports.json").read_text())["imports"]) == [remote]


def test_the_interpreter_has_what_ours_changes() -> None:
    theirs = dspy.PythonInterpreter()
    assert theirs.deno_command[1] == "run" and "--no-lock" in theirs.deno_command
    assert callable(theirs._handle_tool_call) and theirs.deno_process is None
    ours = LimitedInterpreter()
    assert ours.deno_command == sandbox.limited(theirs.deno_command)


def test_a_watchdog_counts_no_pauses() -> None:
    bitten = threading.Event()
    dog = Watchdog(0.05, bitten.set)
    with dog, dog.paused():
        assert not bitten.wait(0.1)
    with dog, dog:
        assert bitten.wait(5)
    assert dog.has_bitten


class _Offers:
    """An object that is no JSON, and what it makes of itself."""

    def __init__(self, name: str, value: Any) -> None:
        setattr(self, name, lambda: value)


@pytest.mark.parametrize(
    ("value", "crosses"),
    [
        (_Offers("to_dict", {"a": _Offers("tolist", [1, 2])}), {"a": [1, 2]}),
        (_Offers("isoformat", "2026-11-28"), "2026-11-28"),
        ({"a": 1, "lock": threading.Lock()}, {"a": 1, "lock": {UNSERIALISABLE: "_thread.lock"}}),
        (type("Big", (), {"size": 1_000_001, "tolist": lambda self: [0]})(), None),
        (
            type("Bad", (), {"to_dict": lambda self: 1 / 0, "tolist": lambda self: [3]})(),
            [3],
        ),
    ],
)
def test_what_is_no_json_crosses_as_it_offers_or_says_what_it_is(value: Any, crosses: Any) -> None:
    found = plain(value)
    assert found == crosses or (crosses is None and found[UNSERIALISABLE].endswith(".Big"))
    json.dumps(found)

"""The real worker loop against a fake host, over a socketpair."""

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from runner.bridge.frames import Kind, pack
from runner.bridge.messages import (
    EMPTY,
    CallMessage,
    ChunkMessage,
    Hello,
    LMResponseMessage,
    ToolResponseMessage,
)
from runner.bridge.testing import PATIENCE, FakeHost
from runner.bridge.worker_loop import Step, Worker
from runner.engine.errors import Failure, InvalidInput
from runner.lm.types import LMRequest, LMResponse, Message


def request(text: str) -> LMRequest:
    return LMRequest(messages=(Message(role="user", content=text),))


def ask(step: Step, payload: dict[str, Any]) -> Any:
    return step.ask_lm(request(payload["text"]), "n1")[1].result().text


def ask_twice(step: Step, payload: dict[str, Any]) -> Any:
    (_, first), (_, second) = step.ask_lm(request("one")), step.ask_lm(request("two"))
    return [first.result().text, second.result().text]


def ask_and_hide(step: Step, payload: dict[str, Any]) -> Any:
    """As DSPy's Refine: whatever goes wrong becomes an answer."""
    try:
        return ask(step, payload)
    except Exception:
        return None


def ask_and_hide_everything(step: Step, payload: dict[str, Any]) -> Any:
    try:
        return ask(step, payload)
    except BaseException:
        return None


LEFT_BEHIND: list[Step] = []


def leave_behind(step: Step, payload: dict[str, Any]) -> Any:
    LEFT_BEHIND.append(step)


def compute(step: Step, payload: dict[str, Any]) -> Any:
    until = time.monotonic() + payload["seconds"]
    while time.monotonic() < until:
        pass


def refuse(step: Step, payload: dict[str, Any]) -> Any:
    raise InvalidInput("No such thing.", field="query")


def crash(step: Step, payload: dict[str, Any]) -> Any:
    raise ZeroDivisionError("of the module")


def leave(step: Step, payload: dict[str, Any]) -> Any:
    raise SystemExit(3)


def deep(levels: int) -> list[Any]:
    outer: list[Any] = []
    for _ in range(levels):
        outer = [outer]
    return outer


WORKER = Worker(
    operations={
        "ask": ask,
        "ask_twice": ask_twice,
        "ask_and_hide": ask_and_hide,
        "ask_and_hide_everything": ask_and_hide_everything,
        "leave_behind": leave_behind,
        "compute": compute,
        "refuse": refuse,
        "crash": crash,
        "leave": leave,
        "tool": lambda step, payload: step.ask_tool("add", payload),
        "large": lambda step, payload: "x" * payload["size"],
        "not_json": lambda step, payload: object(),
        "too_deep": lambda step, payload: deep(100_000),
    },
    versions={"dspy": "0"},
)


@pytest.fixture
def host() -> Iterator[FakeHost]:
    with FakeHost(WORKER) as host:
        host.shake_hands()
        yield host


def call(host: FakeHost, number: int, operation: str, /, **payload: Any) -> None:
    host.send(Kind.CALL, number, CallMessage(operation=operation, payload=payload))


def failure(host: FakeHost, number: int) -> Failure:
    received = host.expect(Kind.ERROR)
    assert received.request == number
    assert isinstance(received.message.failure, Failure)
    return received.message.failure


def test_ready_says_what_the_worker_is() -> None:
    with FakeHost(WORKER) as host:
        ready = host.shake_hands("arrow", "messagepack")
    assert ready.format == "messagepack"
    assert ready.versions == {"dspy": "0"}
    assert {"echo", "chunks", "ask"} <= set(ready.operations)


def test_echo_gives_the_payload_back(host: FakeHost) -> None:
    call(host, 1, "echo", text="ü", number=1)
    assert host.expect(Kind.RESULT).message.value == {"text": "ü", "number": 1}


def test_whole_numbers_of_any_size_cross_in_whatever_format(host: FakeHost) -> None:
    """MessagePack has none above 64 bits; a model may well answer one."""
    for number in (2**63, 2**64, -(10**30)):
        call(host, 1, "echo", number=number)
        assert host.expect(Kind.RESULT).message.value == {"number": number}


def test_chunks_come_in_order_before_the_result(host: FakeHost) -> None:
    call(host, 1, "chunks", text="ab", count=3)
    chunks = [host.expect(Kind.CHUNK).message for _ in range(3)]
    assert chunks == [ChunkMessage(field="text", text="ab", offset=at) for at in (0, 2, 4)]
    assert host.expect(Kind.RESULT).message.value == 3


def test_calls_sent_together_are_done_in_order(host: FakeHost) -> None:
    for number in range(1, 20):
        call(host, number, "echo", number=number)
    answers = [host.expect(Kind.RESULT) for _ in range(1, 20)]
    assert [answer.request for answer in answers] == list(range(1, 20))


def test_lm_request_waits_for_the_host(host: FakeHost) -> None:
    call(host, 1, "ask", text="hi")
    asked = host.expect(Kind.LM_REQUEST)
    assert (asked.message.call, asked.message.node) == (1, "n1")
    answer = LMResponseMessage(response=LMResponse(text="hello"))
    host.send(Kind.LM_RESPONSE, asked.request, answer)
    host.send(Kind.LM_RESPONSE, asked.request, answer)  # a second answer is dropped
    assert host.expect(Kind.RESULT).message.value == "hello"


def test_two_lm_requests_in_flight_are_answered_in_any_order(host: FakeHost) -> None:
    call(host, 1, "ask_twice")
    first, second = host.expect(Kind.LM_REQUEST), host.expect(Kind.LM_REQUEST)
    for asked, text in ((second, "2"), (first, "1")):
        host.send(
            Kind.LM_RESPONSE, asked.request, LMResponseMessage(response=LMResponse(text=text))
        )
    assert host.expect(Kind.RESULT).message.value == ["1", "2"]


def test_tool_request_carries_arguments_and_value(host: FakeHost) -> None:
    call(host, 1, "tool", a=1)
    asked = host.expect(Kind.TOOL_REQUEST)
    assert (asked.message.tool, asked.message.arguments) == ("add", {"a": 1})
    host.send(Kind.TOOL_RESPONSE, asked.request, ToolResponseMessage(value={"sum": 1}))
    assert host.expect(Kind.RESULT).message.value == {"sum": 1}


def test_failure_for_the_module_keeps_code_and_cause(host: FakeHost) -> None:
    call(host, 1, "ask", text="hi")
    asked = host.expect(Kind.LM_REQUEST)
    refused = Failure(code="context_window_exceeded", message="too long")
    host.send(Kind.LM_RESPONSE, asked.request, LMResponseMessage(failure=refused))
    error = host.expect(Kind.ERROR).message
    assert (error.failure, error.cause) == (refused, asked.request)


def test_module_may_turn_a_failure_into_an_answer(host: FakeHost) -> None:
    call(host, 1, "ask_and_hide", text="hi")
    asked = host.expect(Kind.LM_REQUEST)
    refused = Failure(code="refusal", message="no")
    host.send(Kind.LM_RESPONSE, asked.request, LMResponseMessage(failure=refused))
    assert host.expect(Kind.RESULT).message.value is None


@pytest.mark.parametrize("operation", ["ask_and_hide", "ask_and_hide_everything"])
def test_abort_ends_the_step_whatever_the_module_makes_of_it(
    host: FakeHost, operation: str
) -> None:
    call(host, 1, operation, text="hi")
    asked = host.expect(Kind.LM_REQUEST)
    broke = Failure(code="billing", message="no credit")
    host.send(Kind.LM_RESPONSE, asked.request, LMResponseMessage(failure=broke, abort=True))
    error = host.expect(Kind.ERROR).message
    assert (error.failure, error.cause) == (broke, asked.request)


def test_cancel_wakes_a_step_that_waits(host: FakeHost) -> None:
    call(host, 1, "ask_and_hide", text="hi")
    host.expect(Kind.LM_REQUEST)
    host.send(Kind.CANCEL, 1)
    assert failure(host, 1).code == "cancelled"
    call(host, 2, "echo")  # and the worker is as good as before
    assert host.expect(Kind.RESULT).request == 2


def test_cancel_of_a_call_that_waits_its_turn_skips_it(host: FakeHost) -> None:
    call(host, 1, "ask", text="hi")
    call(host, 2, "crash")
    asked = host.expect(Kind.LM_REQUEST)
    host.send(Kind.CANCEL, 2)
    host.send(Kind.CANCEL, 99)  # not (or no longer) there: no matter
    host.send(Kind.LM_RESPONSE, asked.request, LMResponseMessage(response=LMResponse(text="a")))
    assert host.expect(Kind.RESULT).request == 1
    assert failure(host, 2).code == "cancelled"


def test_thread_that_outlives_its_step_cannot_ask(host: FakeHost) -> None:
    call(host, 1, "leave_behind")
    host.expect(Kind.RESULT)
    with pytest.raises(BaseException, match="The step is over"):
        LEFT_BEHIND.pop().ask_lm(request("late"))


def test_ping_is_answered_while_the_worker_computes(host: FakeHost) -> None:
    call(host, 1, "compute", seconds=0.3)
    start = time.monotonic()
    host.send(Kind.PING, 5)
    assert host.expect(Kind.PONG).request == 5
    assert time.monotonic() - start < 0.2
    assert host.expect(Kind.RESULT).request == 1


def test_own_error_crosses_with_code_details_and_traceback(host: FakeHost) -> None:
    call(host, 1, "refuse")
    found = failure(host, 1)
    assert (found.code, found.message, found.details) == (
        "invalid_input",
        "No such thing.",
        {"field": "query"},
    )
    assert "in refuse" in found.traceback


def test_other_exception_is_internal_with_its_traceback(host: FakeHost) -> None:
    call(host, 1, "crash")
    found = failure(host, 1)
    assert (found.code, found.message) == ("internal", "ZeroDivisionError: of the module")
    assert "in crash" in found.traceback


@pytest.mark.parametrize("operation", ["leave", "not_json", "too_deep", "unheard_of"])
def test_worker_survives_its_operations(host: FakeHost, operation: str) -> None:
    call(host, 1, operation)
    failure(host, 1)
    call(host, 2, "echo")
    assert host.expect(Kind.RESULT).request == 2


def test_result_over_the_limit_fails_the_step_only(host: FakeHost) -> None:
    call(host, 1, "large", size=2_000_000)
    assert failure(host, 1).code == "frame_too_large"
    call(host, 2, "large", size=10)
    assert host.expect(Kind.RESULT).request == 2


# What is not the protocol at all is in test_bridge_hostile.py.
BROKEN = {
    "other_version": pack(1, Kind.HELLO, 0, b'{"protocol": 999, "formats": ["json"]}'),
    "no_common_format": pack(1, Kind.HELLO, 0, b'{"protocol": 1, "formats": ["arrow"]}'),
}


@pytest.mark.parametrize("name", BROKEN)
def test_worker_tells_why_and_leaves_when_the_host_breaks_the_protocol(name: str) -> None:
    with FakeHost(WORKER) as host:
        host.send_bytes(BROKEN[name])
        received = host.expect(Kind.ERROR)
        assert received.request == 0
        assert received.message.failure.message
        assert host.left.wait(PATIENCE)


def test_worker_leaves_when_the_host_does() -> None:
    with FakeHost(WORKER) as host:
        host.shake_hands()
        call(host, 1, "ask_and_hide", text="hi")
        host.expect(Kind.LM_REQUEST)
        host.send_bytes(b"\x00\x00")  # truncated
        host.connection.shutdown(socket.SHUT_RDWR)
        assert host.left.wait(PATIENCE)
        host.thread.join(PATIENCE)
        assert not host.thread.is_alive()


def test_shutdown_ends_the_loop_after_what_was_sent_before(host: FakeHost) -> None:
    call(host, 1, "echo")
    host.send(Kind.SHUTDOWN, 0, EMPTY)
    assert host.expect(Kind.RESULT).request == 1
    host.thread.join(PATIENCE)
    assert not host.thread.is_alive()


def test_hello_with_fields_of_a_later_version_is_understood() -> None:
    class LaterHello(Hello, frozen=True):
        colour: str = "red"

    with FakeHost(WORKER) as host:
        host.send(Kind.HELLO, 0, LaterHello(protocol=1, formats=("json",)))
        assert host.expect(Kind.READY).message.format == "json"


def test_requests_of_many_threads_do_not_mix(host: FakeHost) -> None:
    answers: dict[str, str] = {}

    def ask_in_threads(step: Step, payload: dict[str, Any]) -> Any:
        def work(text: str) -> None:
            answers[text] = step.ask_lm(request(text))[1].result().text

        threads = [threading.Thread(target=work, args=(str(number),)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return answers

    with FakeHost(Worker(operations={"threads": ask_in_threads})) as other:
        other.shake_hands()
        call(other, 1, "threads")
        for asked in [other.expect(Kind.LM_REQUEST) for _ in range(8)]:
            text = f"re: {asked.message.request.messages[0].content}"
            answer = LMResponseMessage(response=LMResponse(text=text))
            other.send(Kind.LM_RESPONSE, asked.request, answer)
        result = other.expect(Kind.RESULT).message.value
    assert result == {str(number): f"re: {number}" for number in range(8)}

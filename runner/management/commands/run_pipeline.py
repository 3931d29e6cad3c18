"""Runs a pipeline in the terminal and shows it as it happens."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from pipelines.examples import EXAMPLES, example
from pipelines.graph import codec
from pipelines.graph.graph import Graph, GraphError
from runner.engine.errors import Failure, RunnerError
from runner.engine.events import Chunk, Event, EventType, RunStatus
from runner.engine.results import RunResult
from runner.host import Host, HostSettings

MARKS = {
    EventType.STEP_SUCCEEDED: "✓",
    EventType.STEP_FAILED: "✗",
    EventType.STEP_SKIPPED: "↷",
    EventType.STEP_CANCELLED: "⊘",
}


class Command(BaseCommand):
    help = "Run a pipeline: an example by name, or a pipeline file. Shows steps and tokens live."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("pipeline", help=f"A file, or one of: {', '.join(EXAMPLES)}")
        parser.add_argument(
            "--input",
            action="append",
            default=[],
            metavar="NAME=VALUE",
            help="An input; repeat it for more. JSON where the input is no text.",
        )
        parser.add_argument("--timeout", type=float, help="Seconds for the whole run.")
        parser.add_argument("--json", action="store_true", help="Print the result as JSON only.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            graph = _graph(options["pipeline"])
            inputs = _inputs(graph, options["input"])
            result = asyncio.run(self._run(graph, inputs, options["timeout"], options["json"]))
        except (GraphError, RunnerError) as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            raise CommandError("Cancelled.", returncode=130) from None
        except BrokenPipeError:  # who reads has enough, as `| head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        if options["json"]:
            self.stdout.write(json.dumps(_as_json(result), ensure_ascii=False))
        if result.status is not RunStatus.SUCCEEDED:
            sys.exit(1)

    async def _run(
        self, graph: Graph, inputs: dict[str, Any], timeout: float | None, quiet: bool
    ) -> RunResult:
        screen = Screen(self.stdout)
        async with Host(HostSettings(pools=settings.POOLS)) as host:
            if quiet:
                return await host.run(graph, inputs, timeout=timeout)
            return await host.run(
                graph, inputs, timeout=timeout, on_event=screen.event, on_chunk=screen.chunk
            )


class Screen:
    """Writes events and tokens as lines; the tokens of steps that run together take turns."""

    def __init__(self, out: Any) -> None:
        self.out = out
        self.streaming: tuple[str, int, int, str] | None = None

    def chunk(self, chunk: Chunk) -> None:
        stream = (chunk.step, chunk.attempt, chunk.call, chunk.field)
        if stream != self.streaming:
            self._end_stream()
            self.out.write(f"  {chunk.step} · {chunk.field}: ", ending="")
            self.streaming = stream
        self.out.write(chunk.text.replace("\n", "\n    "), ending="")
        self.out.flush()

    def event(self, event: Event) -> None:
        text = self._line(event)
        if text:
            self._end_stream()
            self.out.write(text)
            self.out.flush()

    def _end_stream(self) -> None:
        if self.streaming:
            self.out.write("")
            self.streaming = None

    def _line(self, event: Event) -> str:
        data = event.data
        match event.type:
            case EventType.RUN_STARTED:
                return f"Run {event.run_id} started"
            case EventType.STEP_STARTED:
                return f"▸ {event.step} started"
            case EventType.STEP_ROUTED:
                return f"  {event.step} runs on {data['backend']} ({data['reason']})"
            case EventType.ATTEMPT_FAILED:
                return f"  {event.step} failed, trying again: {data['failure'].message}"
            case EventType.RETRACT:
                return f"  {event.step}: the text above does not count: {data['reason']}"
            case EventType.RUN_FINISHED:
                return self._end(data)
            case EventType.STEP_SKIPPED:
                return f"↷ {event.step} skipped: {data['cause']}"
            case type_ if type_ in MARKS:
                return self._ended(event, MARKS[type_])
        return ""

    def _ended(self, event: Event, mark: str) -> str:
        data = event.data
        usage = data.get("usage")
        tokens = f" · {_tokens(usage)}" if usage else ""
        why = f"\n  {_why(data['failure'])}" if "failure" in data else ""
        return f"{mark} {event.step} {data['seconds']:.2f} s{tokens}{why}"

    def _end(self, data: dict[str, Any]) -> str:
        lines = [
            "",
            f"Run {data['status']} in {data['seconds']:.2f} s · {_tokens(data['usage'])}",
            *(f"  {error['step']}: {error['message']}" for error in data["errors"]),
        ]
        if data["failure"]:
            step = f"{data['failed_step']}: " if data["failed_step"] else ""
            lines.append(f"  {step}{_why(data['failure'])}")
        for name, value in data["outputs"].items():
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            lines += ["", f"{name}:", text]
        return "\n".join(lines)


def _why(failure: Failure) -> str:
    answer = failure.details.get("answer")
    return f"[{failure.code}] {failure.message}" + (f"\n  The answer: {answer}" if answer else "")


def _tokens(usage: dict[str, Any]) -> str:
    return f"{usage['input_tokens']} + {usage['output_tokens']} tokens"


def _graph(name: str) -> Graph:
    if name in EXAMPLES:
        return example(name)
    path = Path(name)
    if not path.is_file():
        raise CommandError(
            f"There is no pipeline '{name}': it is neither a file nor one of {', '.join(EXAMPLES)}."
        )
    return codec.load(path.read_bytes())


def _inputs(graph: Graph, pairs: list[str]) -> dict[str, Any]:
    """Values by name; those of inputs that are no text are read as JSON where they are JSON."""
    asked = next((node for node in graph.children(None) if node.kind == "input"), None)
    types = {field["name"]: field.get("type") for field in asked.config["fields"]} if asked else {}
    values: dict[str, Any] = {}
    for pair in pairs:
        name, sign, text = pair.partition("=")
        if not sign:
            raise CommandError(f"--input {pair!r} is not NAME=VALUE.")
        values[name] = text if types.get(name) == "str" else _value(text)
    return values


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _as_json(result: RunResult) -> dict[str, Any]:
    return {
        "run_id": result.run_id,
        "status": result.status,
        "outputs": result.outputs,
        "errors": result.errors,
        "failure": result.failure
        and {"code": result.failure.code, "message": result.failure.message},
        "usage": result.usage,
        "seconds": round(result.seconds, 3),
        "steps": {
            path: {
                "status": step.status,
                "backend": step.backend,
                "reason": step.reason,
                "seconds": round(step.seconds, 3),
                "usage": step.usage,
            }
            for path, step in result.steps.items()
        },
    }

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
from pipelines.graph.ports import node_ports
from runner.engine.errors import Failure, RunnerError
from runner.engine.events import Chunk, Event, EventType, RunStatus
from runner.engine.partial import Mode, PartialRun, check_partial
from runner.engine.results import RunResult
from runner.engine.step_store import PINNED, MemoryStepStore
from runner.engine.typed_outputs import checked_pins
from runner.host import Host, HostSettings

MARKS = {
    EventType.STEP_SUCCEEDED: "✓",
    EventType.STEP_FAILED: "✗",
    EventType.STEP_SKIPPED: "↷",
    EventType.STEP_CANCELLED: "⊘",
}


class Command(BaseCommand):
    help = (
        "Run a pipeline, or a part of it: an example, a pipeline file, or one of the database by name or "
        "id. Shows steps and tokens live."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "pipeline",
            help="A file, a pipeline's name or id in the database, or one of: "
            + ", ".join(EXAMPLES),
        )
        parser.add_argument(
            "--input",
            action="append",
            default=[],
            metavar="NAME=VALUE",
            help="An input; repeat it for more. JSON where the input is no text. With --only, the step's.",
        )
        part = parser.add_mutually_exclusive_group()
        for mode, what in (
            ("from", "Run this step and what follows; the others take what was recorded."),
            ("to", "Run what this step needs and has not been recorded; give what it gives."),
            ("only", "Run this step alone, with what it was given last."),
        ):
            part.add_argument(f"--{mode}", dest=f"part_{mode}", metavar="NODE", help=what)
        parser.add_argument(
            "--pin",
            action="append",
            default=[],
            metavar="NODE=JSON",
            help="What a node gives, by output, in place of running it; repeat it for more.",
        )
        parser.add_argument("--user", default="", help="Who runs a pipeline of the database.")
        parser.add_argument("--timeout", type=float, help="Seconds for the whole run.")
        parser.add_argument("--json", action="store_true", help="Print the result as JSON only.")

    def handle(self, *args: Any, **options: Any) -> None:
        name, quiet = options["pipeline"], options["json"]
        try:
            if name in EXAMPLES or Path(name).is_file():
                graph = _graph(name)
                part = _part(graph, options)
                inputs = _inputs(graph, options["input"], part)
                result = asyncio.run(self._run(graph, inputs, options["timeout"], quiet, part))
                status, told = result.status, _as_json(result)
            else:
                status, told = self._stored(name, options)
        except (GraphError, RunnerError) as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            raise CommandError("Cancelled.", returncode=130) from None
        except BrokenPipeError:  # who reads has enough, as `| head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        if quiet:
            self.stdout.write(json.dumps(told, ensure_ascii=False))
        if status is not RunStatus.SUCCEEDED:
            sys.exit(1)

    async def _run(
        self,
        graph: Graph,
        inputs: dict[str, Any],
        timeout: float | None,
        quiet: bool,
        part: PartialRun | None,
    ) -> RunResult:
        screen = Screen(self.stdout)
        told: dict[str, Any] = {} if quiet else {"on_event": screen.event, "on_chunk": screen.chunk}
        steps = MemoryStepStore() if part else None  # nothing is recorded of a file
        async with Host(HostSettings(pools=settings.POOLS)) as host:
            return await host.run(graph, inputs, timeout=timeout, partial=part, steps=steps, **told)

    def _stored(self, name: str, options: dict[str, Any]) -> tuple[RunStatus, dict[str, Any]]:
        """A pipeline of the database, as its draft is now: its run is recorded."""
        # Examples and files need neither the database nor what executes its runs.
        from runner.management import stored_runs

        user = stored_runs.runs_as(options["user"])
        pipeline = stored_runs.stored_pipeline(name, user)
        if pipeline is None:
            raise CommandError(
                f"There is no pipeline '{name}': it is neither a file, nor in the database for "
                f"{user.get_username()}, nor one of {', '.join(EXAMPLES)}."
            )
        graph = pipeline.draft.graph
        part = _part(graph, options)
        given = _inputs(graph, options["input"], part)
        alone = part is not None and part.mode == "only"
        run = stored_runs.start(
            user=user,
            pipeline=pipeline,
            inputs={} if alone else given,
            edited=given if alone else None,
            part=part,
            timeout=options["timeout"],
        )
        screen = Screen(self.stdout)
        quiet = options["json"]
        run = stored_runs.follow(
            run,
            user,
            (lambda event: None) if quiet else screen.event,
            (lambda chunk: None) if quiet else screen.chunk,
        )
        if run.status in ("waiting", "suspended") and not quiet:
            self.stdout.write(f"The run is {run.status}. Look at it on its page: /runs/{run.pk}/")
        return RunStatus(run.status), stored_runs.as_json(run)


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
        if origin := data.get("taken_from"):
            source = "pinned" if origin == PINNED else f"taken from run {origin}"
            return f"{mark} {event.step} {source}"
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
    return f"{usage.get('input_tokens', 0)} + {usage.get('output_tokens', 0)} tokens"


def _graph(name: str) -> Graph:
    if name in EXAMPLES:
        return example(name)
    return codec.load(Path(name).read_bytes())


def _part(graph: Graph, options: dict[str, Any]) -> PartialRun | None:
    """What of the pipeline is asked for; None: all of it, with nothing pinned."""
    modes: tuple[Mode, ...] = ("from", "to", "only")
    mode = next((mode for mode in modes if options[f"part_{mode}"]), None)
    pins = checked_pins(graph, dict(map(_pin, options["pin"])))
    if mode is None:
        return PartialRun(mode="all", pins=pins) if pins else None
    wish = PartialRun(mode=mode, node=options[f"part_{mode}"], pins=pins)
    check_partial(graph, wish)
    return wish


def _pin(text: str) -> tuple[str, Any]:
    node, sign, value = text.partition("=")
    if not sign:
        raise CommandError(f"--pin {text!r} is not NODE=JSON.")
    try:
        outputs = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise CommandError(f"--pin {node}: this is not JSON: {error}.") from None
    if not isinstance(outputs, dict):
        raise CommandError(f'--pin {node} takes its outputs by name, as {{"answer": "…"}}.')
    return node, outputs


def _inputs(graph: Graph, pairs: list[str], part: PartialRun | None) -> dict[str, Any]:
    """Values by name; those of inputs that are no text are read as JSON where they are JSON."""
    if part is not None and part.mode == "only":
        ports = node_ports(graph, graph.node(part.node)).inputs
        types = {port.name: port.type for port in ports}
    else:
        asked = next((node for node in graph.children(None) if node.kind == "input"), None)
        fields = asked.config["fields"] if asked else []
        types = {field["name"]: field.get("type") for field in fields}
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

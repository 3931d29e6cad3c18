"""All there is to say of one step of a run: what went in and came out, its attempts, why its backend,
its LM calls with what was asked, its failure with what helps, its events."""

import json
from datetime import datetime
from statistics import median
from typing import Any

from runner.engine.events import EventType, StepStatus
from runner.models import Attempt, Event, Run, Step
from runner.services import decided_ports
from runner.views import figures
from runner.views.call_figures import CACHE, WORTH_SAYING, CallFigures, calls_of
from runner.views.crossings import crossings_of
from runner.views.event_lines import event_lines
from runner.views.mends import mend_of
from runner.views.outline import Outlined, node_and_index, outline_of
from runner.views.part_words import taken_from
from runner.views.progress import CONTAINERS, Progress, inner_of, progress_of
from runner.views.timeline import figures_of, look_of
from runner.views.values import Value, all_shown, event_value, run_values, shown

EVENTS = 200
LAST = 4
CALLS = 50
EARLIER = 50
"""Events of a step that are read, at its beginning and its end; LM calls shown with their prompts; and
earlier runs of the pipeline that the backends' times are of."""


def step_context(run: Run, path: str) -> dict[str, Any] | None:
    """What the page shows at this path; None when the run can have no such step."""
    found = Step.objects.filter(run=run, path=path).first()
    if found is not None:
        return detail_of(run, found)
    node = outline_of(run.version).nodes.get(node_and_index(path.rpartition("/")[2])[0])
    if node is None:
        return None
    if path == node.id and node.kind in ("input", "output"):
        return _interface(run, node)
    return _not_reached(run, node, path)


def detail_of(run: Run, found: Step) -> dict[str, Any]:
    events = _events(run, found)
    outline = outline_of(run.version)
    node = outline.nodes.get(node_and_index(found.node)[0])
    calls = calls_of(run, [found]).get(found.path, [])
    look = look_of(found, calls)
    failed = _last(events, EventType.STEP_FAILED) or _last(events, EventType.STEP_CANCELLED)
    failure = failed.get("failure") or {}
    return {
        "step": found,
        "path": found.path,
        "icon": node.icon if node else "code",
        "title": outline.title(found.path),
        "glyph": look,
        "word": figures.GLYPH_WORDS.get(look, figures.WORDS[found.status]),
        "figures": figures_of(found),
        "progress": _progress(run, found),
        "reason": _reason(found),
        "inputs": all_shown(_last(events, EventType.STEP_STARTED).get("inputs"), "inputs"),
        "outputs": all_shown(_last(events, EventType.STEP_SUCCEEDED).get("outputs"), "outputs"),
        "asks": _asks(run, found, events),
        "taken": taken_from(found),
        "stops": _stops(found),
        "again": _again(run, found),
        "failure": failure,
        "mend": mend_of(str(failure.get("code", "")), run),
        "raw_answer": _raw_answer(failure),
        "attempts": _attempts(found, calls),
        "backends": _backends(run, found),
        "calls": [_call(event) for event in events if event.type == EventType.LM_CALL][:CALLS],
        "crossings": crossings_of(events),
        "events": event_lines(run, events),
    }


def _progress(run: Run, found: Step) -> Progress | None:
    if found.kind not in CONTAINERS:
        return None
    return progress_of(run, [found], inner_of(run, found.path)).get(found.path)


def _stops(found: Step) -> list[tuple[str, str]]:
    """What can be stopped here: the step, and the item of a map that it is in. Path and words."""
    if found.status not in (StepStatus.RUNNING, StepStatus.WAITING):
        return []
    outer = found.path.rpartition("/")[0]
    container, index = node_and_index(outer.rpartition("/")[2])
    way = outer.rpartition("[")[0]
    rows = Step.objects.filter(run=found.run_id, path=way, kind="map") if index >= 0 else None
    stops = [(found.path, "Stop this step")]
    if container and rows is not None and rows.exists():
        stops.append((outer, f"Stop item {index + 1}"))
    return stops


def _again(run: Run, found: Step) -> list[tuple[str, str]]:
    """The parts of the pipeline that can be run again from here: mode and words."""
    part = run.part
    if not run.is_final or "/" in found.path or (part and part.mode == "only"):
        return []
    beyond = [] if part and part.mode == "to" else [("from", "Run from here")]
    return [*beyond, ("to", "Run to here")]


def _asks(run: Run, found: Step, events: list[Event]) -> dict[str, Any] | None:
    """What a person is asked, while the step waits. `text`: the value as it may be edited; `decides`: the
    outputs that a step in doubt would have."""
    if found.status != StepStatus.WAITING:
        return None
    question = _last(events, EventType.STEP_WAITING)
    if "begun" in question:
        return {**question, "decides": True, "ports": decided_ports(run, found.kind, found.path)}
    value = (_last(events, EventType.STEP_STARTED).get("inputs") or {}).get("value")
    is_text = isinstance(value, str)
    return {
        **question,
        "is_text": is_text,
        "text": value if is_text else json.dumps(value, indent=2, ensure_ascii=False),
    }


def _reason(found: Step) -> str:
    """Why its backend, as a sentence: the backend stands above it."""
    text = found.reason.removeprefix(f"{found.backend}: ")
    return text[:1].upper() + text[1:]


def default_path(run: Run, steps: list[Step]) -> str:
    """The step to look at first: one that waits for a person, the one that failed, else the last that
    a model answered, else the last one. `steps` are in the order of the graph."""
    paths = [step.path for step in steps]
    for path in [step.path for step in steps if step.status == StepStatus.WAITING]:
        return path
    if run.failed_step in paths:
        return run.failed_step
    for path in [step.path for step in steps if step.status == StepStatus.FAILED]:
        return path
    ended = [step for step in steps if step.status == StepStatus.SUCCEEDED]
    answered = [step.path for step in ended if step.lm_calls]
    return next(reversed(answered or [step.path for step in ended] or paths), "")


def _events(run: Run, found: Step) -> list[Event]:
    """The first ones, and however many there are, the last: how it ended, and how it crossed the bridge."""
    rows = Event.objects.of_step(found)
    events = list(rows[:EVENTS])
    if len(events) == EVENTS:
        events += [event for event in reversed(rows.reverse()[:LAST]) if event.seq > events[-1].seq]
    for event in events:
        event.run = run
    return events


def _last(events: list[Event], type_: EventType) -> dict[str, Any]:
    found = [event for event in events if event.type == type_]
    return event_value(found[-1]) if found else {}


def _raw_answer(failure: dict[str, Any]) -> Value | None:
    """What the model said, where that could not be read."""
    answer = (failure.get("details") or {}).get("answer")
    return shown("answer", answer) if answer else None


def _interface(run: Run, node: Outlined) -> dict[str, Any]:
    """The pipeline's own input or output."""
    values = run_values(run)
    is_input = node.kind == "input"
    there = is_input or run.status == "succeeded"
    glyph = "ok" if there else "skipped" if run.is_final else "queued"
    return {
        "path": node.id,
        "icon": node.icon,
        "title": node.title,
        "glyph": glyph,
        "word": figures.GLYPH_WORDS[glyph] if not is_input else "Given",
        "inputs": all_shown(values["inputs"], "inputs") if is_input else [],
        "outputs": all_shown(values["outputs"], "outputs") if not is_input else [],
        "ours": True,
    }


def _not_reached(run: Run, node: Outlined, path: str) -> dict[str, Any]:
    glyph = "skipped" if run.is_final else "queued"
    return {
        "path": path,
        "icon": node.icon,
        "title": outline_of(run.version).title(path),
        "glyph": glyph,
        "word": "Not reached" if run.is_final else "Queued",
        "not_reached": True,
    }


def _attempts(found: Step, calls: list[CallFigures]) -> list[dict[str, Any]]:
    rows = found.attempts.order_by("epoch", "number")[:EVENTS]
    return [_attempt(row, calls, cut_off=row.epoch < found.run.epoch) for row in rows]


def _attempt(attempt: Attempt, calls: list[CallFigures], *, cut_off: bool) -> dict[str, Any]:
    """`cut_off`: its runner has the run no more, so that it does not go on, whatever its row says."""
    lost = cut_off and attempt.status == StepStatus.RUNNING
    own = [c for c in calls if (c.epoch, c.attempt) == (attempt.epoch, attempt.number)]
    count = sum(call.tokens for call in own)
    return {
        "number": attempt.number,
        "backend": attempt.backend,
        "glyph": "cancelled" if lost else figures.GLYPHS[attempt.status],
        "word": "Cut off when its runner ended" if lost else figures.WORDS[attempt.status],
        "message": attempt.failure_message,
        "tokens": figures.tokens(count) if count else "",
        "seconds": figures.seconds(figures.between(attempt.started_at, attempt.finished_at)),
        "wait": figures.seconds(attempt.wait) if attempt.wait else "",
    }


def _backends(run: Run, found: Step) -> list[dict[str, Any]]:
    """How long this node took on each backend in the pipeline's last runs. Nothing where one alone
    was ever used: then there is nothing to compare."""
    if found.backend not in ("native", "dspy"):
        return []
    recent = Run.objects.filter(pipeline=run.pipeline_id).order_by("-created_at")
    rows = Attempt.objects.filter(
        run__in=list(recent.values_list("pk", flat=True)[:EARLIER]),
        step=found.path,
        status=StepStatus.SUCCEEDED,
        finished_at__isnull=False,
    ).values_list("backend", "started_at", "finished_at")
    taken: dict[str, list[float]] = {}
    for backend, begin, end in rows:
        taken.setdefault(backend, []).append(_passed(begin, end))
    if len(taken) < 2:
        return []
    longest = max(median(times) for times in taken.values()) or 1.0
    return [
        {
            "backend": backend,
            "p50": figures.seconds(median(times)),
            "runs": len(times),
            "share": f"{median(times) / longest * 100:.0f}%",
            "chosen": backend == found.backend,
        }
        for backend, times in sorted(taken.items())
    ]


def _passed(begin: datetime | None, end: datetime | None) -> float:
    return figures.between(begin, end) or 0.0


_SOURCES = {CACHE: "hit", "replay_log": "replayed"}


def _call(event: Event) -> dict[str, Any]:
    data = event_value(event)
    usage = data.get("usage") or {}
    return {
        "number": data.get("call"),
        "attempt": event.attempt,
        "model": data.get("model") or data.get("profile"),
        "profile": data.get("profile"),
        "input_tokens": usage.get("input_tokens", 0),
        "output_tokens": usage.get("output_tokens", 0),
        "cost": figures.cost(usage.get("cost") or 0.0),
        "seconds": figures.seconds(data.get("seconds")),
        "first": figures.seconds(data.get("first_token_s")),
        "source": _SOURCES.get(str(data.get("source")), "miss"),
        "notes": _notes(data, usage),
        "rejected": [_rejected(each) for each in data.get("rejected") or ()],
        "messages": [_message(message) for message in data.get("messages") or ()],
        "response": shown("response", data.get("response") or ""),
        "failure": data.get("failure") or {},
    }


def _notes(data: dict[str, Any], usage: dict[str, Any]) -> list[str]:
    """What is worth a word beside a call's figures, where there is something to say."""
    waited, rejected = data.get("waited_s") or 0.0, len(data.get("rejected") or ())
    cached, thought = usage.get("cached_input_tokens") or 0, usage.get("reasoning_tokens") or 0
    tokens_in, tokens_out = usage.get("input_tokens") or 0, usage.get("output_tokens") or 0
    repeated, rate = (data.get("attempts") or 0) - 1, data.get("tokens_per_s")
    said = {
        f"waited {figures.seconds(waited)} for the profile's limits": waited >= WORTH_SAYING,
        f"{_counted(rejected, 'answer')} rejected": rejected > 0,
        f"{_counted(repeated, 'further attempt')} after an outage": repeated > 0,
        f"{cached:,} of {tokens_in:,} tokens in from the provider's prompt cache": cached > 0,
        f"{thought:,} of {tokens_out:,} tokens out for reasoning": thought > 0,
        f"{rate or 0:.0f} tokens/s": bool(rate),
    }
    return [text for text, holds in said.items() if holds]


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count:,} {what}s"


def _rejected(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer that was not accepted: what it was, what is wrong with it, what it took."""
    usage = answer.get("usage") or {}
    return {
        "response": shown("response", answer.get("response") or ""),
        "problem": answer.get("problem", ""),
        "tokens": figures.tokens(usage.get("output_tokens") or 0),
        "cost": figures.cost(usage.get("cost") or 0.0),
    }


def _message(message: dict[str, Any]) -> tuple[str, Value]:
    role = str(message.get("role", ""))
    return role, shown(role, message.get("content") or "")

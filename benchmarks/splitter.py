"""What the stream splitter costs for a chunk of four characters, about a token, by the form of the answer:
DSPy's chat format, a JSON object, plain text. The figure is the dearest form's."""

import json
import statistics
import time

from benchmarks.report import Report
from runner.lm.splitter import StreamSplitter

WORDS = 'Some words, and "more" of them; it\'s [quite] an answer.\n' * 100
ANSWERS = {
    "chat": f"[[ ## reasoning ## ]]\n{WORDS}\n\n[[ ## answer ## ]]\n{WORDS}\n\n[[ ## completed ## ]]\n",
    "json": json.dumps({"reasoning": WORDS, "answer": WORDS, "tags": ["a", {"b": 1}] * 50}),
    "plain": WORDS * 2,
}
CHUNK = 4
ROUNDS = 31


def run(report: Report) -> None:
    chunks = {form: _chunks(answer) for form, answer in ANSWERS.items()}
    seen: dict[str, list[float]] = {form: [] for form in chunks}
    for _ in range(ROUNDS):
        for form, deltas in chunks.items():
            seen[form].append(_us(deltas))
    medians = {form: statistics.median(values) for form, values in seen.items()}
    report("splitter_chunk_us", max(medians.values()), "us")


def _chunks(text: str) -> list[str]:
    return [text[at : at + CHUNK] for at in range(0, len(text), CHUNK)]


def _us(deltas: list[str]) -> float:
    splitter = StreamSplitter()
    started = time.perf_counter()
    for delta in deltas:
        splitter.feed(delta)
    splitter.finish()
    return (time.perf_counter() - started) * 1e6 / len(deltas)

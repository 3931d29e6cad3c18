"""What it costs to read a signature, beside DSPy's whole `dspy.Signature(text)` (which also builds a
pydantic model) and its bare `_parse_signature` (which does not). All are measured in turn, so that
whatever else this machine does hits them alike.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec

os.environ.setdefault("DSPY_CACHEDIR", tempfile.mkdtemp(prefix="dspex-bench-"))

from benchmarks.report import Report
from pipelines.graph import signature as signatures

TEXT = "a, b -> c: list[str]"
ROUNDS = 60
# Times a round: each some milliseconds, so that the clock and the loop weigh nothing.
TIMES = {"uncached": 200, "cached": 5_000, "dspy": 5, "bare": 50}

type Parse = Callable[[], object]


def run(report: Report) -> None:
    parsers = {"uncached": _uncached, "cached": lambda: signatures.parse(TEXT), **_peers()}
    seen: dict[str, list[float]] = {name: [] for name in parsers}
    for round_ in range(ROUNDS + 1):
        for name, parse in parsers.items():
            took = _us(parse, TIMES[name])
            if round_:  # the first warms caches up
                seen[name].append(took)
    median = {name: statistics.median(values) for name, values in seen.items()}
    dspy, bare = median.get("dspy"), median.get("bare")
    report("signature_parse_us", median["uncached"], "us", "dspy.Signature" if dspy else None, dspy)
    report(
        "signature_parse_vs_bare_us",
        median["uncached"],
        "us",
        "dspy _parse_signature" if bare else None,
        bare,
    )
    report("signature_parse_cached_us", median["cached"], "us")


def _us(parse: Parse, times: int) -> float:
    started = time.perf_counter()
    for _ in range(times):
        parse()
    return (time.perf_counter() - started) * 1e6 / times


def _uncached() -> object:
    """Emptying the cache is part of what is measured, to our disadvantage."""
    signatures._parse.cache_clear()
    return signatures.parse(TEXT)


def _peers() -> dict[str, Parse]:
    if find_spec("dspy") is None:
        return {}
    import dspy
    from dspy.signatures.signature import _parse_signature

    return {"dspy": lambda: dspy.Signature(TEXT), "bare": lambda: _parse_signature(TEXT)}

"""`python -m benchmarks [--only engine,bridge]`: measure, compare, keep in results.jsonl.

Each benchmark is a module here with `run(report)`. It has a process to itself, so that no package one
of them imports (langgraph, DSPy, …) weighs on the figures of another. A missed goal is shown and is no
error: how fast the machine is today is not ours to decide. A benchmark that breaks is one.
"""

import argparse

from benchmarks import report
from benchmarks.measure import measure

NAMES = (
    *("signature", "engine", "native", "parity", "splitter", "router", "bridge", "dspy_step"),
    "durable",
    "runs_1000",
    "kills",
    "soak",
    *("embedded", "streaming", "watchers", "editor", "pages", "fast_tests", "install"),
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", help=f"some of {','.join(NAMES)}, separated by commas")
    chosen = (parser.parse_args().only or ",".join(NAMES)).split(",")
    if unknown := [name for name in chosen if name not in NAMES]:
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}")

    figures: list[report.Figure] = []
    broken: list[str] = []
    for name in chosen:
        print(f"{name} …", flush=True)
        found, whole = measure(name)
        figures += found
        if not whole:
            broken.append(name)
    report.save(figures)
    print(f"\n{report.table(figures)}")
    if broken:
        print(f"\nBroken: {', '.join(broken)} (see above).")
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())

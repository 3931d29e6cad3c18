"""A worker for `benchmarks/bridge.py`: reads a table in Arrow and gives a new one back."""

from typing import Any

from runner.bridge.tables import Table
from runner.bridge.worker_loop import Step, Worker


def again(step: Step, payload: dict[str, Any]) -> Table:
    return Table.of(payload["table"].arrow())


def preload() -> Worker:
    return Worker(operations={"again": again})

"""One benchmark in a process of its own."""

import importlib
import multiprocessing
import traceback
from multiprocessing.connection import Connection

from benchmarks.report import Figure


def measure(name: str) -> tuple[list[Figure], bool]:
    """The figures of one benchmark, and whether it came to its end."""
    spawn = multiprocessing.get_context("spawn")
    receiver, sender = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_run, args=(name, sender))
    process.start()
    sender.close()
    figures = []
    with receiver:
        while True:
            try:
                figures.append(receiver.recv())
            except EOFError:
                break
    process.join()
    return figures, process.exitcode == 0


def _run(name: str, results: Connection) -> None:
    def keep(
        name: str,
        value: float,
        unit: str,
        peer: str | None = None,
        peer_value: float | None = None,
    ) -> None:
        results.send(Figure(name=name, value=value, unit=unit, peer=peer, peer_value=peer_value))

    try:
        importlib.import_module(f"benchmarks.{name}").run(keep)
    except Exception:
        traceback.print_exc()
        raise SystemExit(1) from None

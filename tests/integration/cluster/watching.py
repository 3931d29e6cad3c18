"""A page that watches a run over a real socket, in a thread of its own, so that a test may kill meanwhile."""

import threading
from typing import Any

from runner.models import Run
from tests.protocol.test_runner_up import Browser
from tests.runner_sockets import Watcher

PATIENCE = 40.0
FINAL = ("succeeded", "failed", "cancelled")


class Watching:
    """Does what the reference asks of pages: keeps numbers and offsets, sends marks back, asks after gaps."""

    def __init__(self, page: Browser, run: Run) -> None:
        self._page, self._run = page, str(run.pk)
        self.watcher = Watcher(None, 0)  # type: ignore[arg-type]
        self.asked = 0
        self.error: Exception | None = None
        self.status = ""
        self._asking = False
        self._ask()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.watcher.events]

    def text(self, step: str = "s0") -> str:
        """What the last runner of the run streamed for the step."""
        found = {key[0]: text for key, text in self.watcher.texts.items() if key[1] == step}
        return found[max(found)] if found else ""

    def ended(self) -> "Watching":
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), f"It hears no end; last: {self.types[-3:]}"
        if self.error is not None:
            raise self.error
        self._page.close()
        return self

    def _ask(self) -> None:
        self.asked += 1
        self._asking = True
        self._page.tell("subscribe", run=self._run, after_seq=self.watcher.seq)

    def _listen(self) -> None:
        try:
            while "run_finished" not in self.types:
                self._take(self._page.hear())
        except Exception as error:
            self.error = error

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "mark":
            self._page.tell("mark", n=message["n"])
        elif message["type"] == "error":
            raise AssertionError(message)
        elif message["type"] == "caught_up":
            self._asking, self.status = False, message["status"]
        gaps = self.watcher.gaps
        fresh = [e for e in message.get("events", ()) if e["seq"] > self.watcher.seq]
        self.watcher.take({**message, "events": fresh})
        if self.watcher.gaps > gaps and not self._asking:
            self._ask()

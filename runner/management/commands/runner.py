"""`manage.py runner`: executes runs, in a process of its own."""

import asyncio
import os
import signal
from argparse import ArgumentParser
from typing import Any

from django.core.management import BaseCommand, CommandError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from runner.dispatcher import Runner
from runner.management.claiming import claiming
from runner.management.embedded import stopped


class Command(BaseCommand):
    help = "Execute runs, apart from the pages that `manage.py up --no-runner` serves."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--no-warm-up",
            action="store_false",
            dest="warm_up",
            help="Start workers and the embedded model only when a run asks for them.",
        )

    def handle(self, *args: Any, warm_up: bool, **options: Any) -> None:
        if _tables_are_old():
            raise CommandError(
                "The database has not the tables of this version. Start `manage.py up`, or call "
                "`manage.py migrate`, then start this again."
            )
        with claiming():
            asyncio.run(self._execute(warm_up))
        self.stdout.write("The runner has ended. Runs that were going on are left to the next one.")

    async def _execute(self, warm_up: bool) -> None:
        """Until SIGINT or SIGTERM. A second one ends it at once, as a kill does: what runs had is kept."""
        told, loop = asyncio.Event(), asyncio.get_running_loop()

        def heard() -> None:
            if told.is_set():
                os._exit(130)
            told.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, heard)
        runner = Runner()
        runner.start()
        self.stdout.write(f"The runner executes runs (process {os.getpid()}). Ctrl+C ends it.")
        self.stdout.flush()
        warming = loop.create_task(runner.warm_up()) if warm_up else None
        await told.wait()
        if warming is not None:
            warming.cancel()
            await asyncio.wait((warming,))
        await stopped(runner)


def _tables_are_old() -> bool:
    executor = MigrationExecutor(connection)
    pending = bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    connection.close()
    return pending

"""`manage.py install_sandbox` (`make sandbox`): what DSPy's modules that run code need on this machine."""

import os
from typing import Any

from django.core.management import BaseCommand, CommandError

from runner.bridge import sandbox


class Command(BaseCommand):
    help = "Bring Deno and Pyodide, in which DSPy's modules may run what a language model writes."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            found = sandbox.install(os.environ, self.stdout.write)
        except sandbox.NotInstalled as error:
            raise CommandError(f"The sandbox could not be installed. {error}") from None
        if not found.ok:
            raise CommandError(found.detail)
        self.stdout.write(
            f"{found.detail}. Start DSPex again; an administrator turns code on in Router, Settings."
        )

"""`manage.py up`: DSPex in one process, for one machine."""

from argparse import ArgumentParser
from contextlib import nullcontext
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import BaseCommand, CommandError, call_command

from pipelines.services import personal_project
from runner.management.claiming import claiming
from runner.management.embedded import listen, serve
from runner.management.instance import AlreadyRunning, Instance, only_instance
from runner.services import sign_in_token
from runner.services.sign_in import PATH


class Command(BaseCommand):
    help = "Serve DSPex on this machine: pages, runs, workers and the embedded model."
    # What checks say is for those who develop and deploy; here it would hide the address.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="Address to listen on.")
        parser.add_argument("--port", type=int, help="Port (the first free one from 8000 on).")
        parser.add_argument(
            "--no-warm-up",
            action="store_false",
            dest="warm_up",
            help="Start workers and the embedded model only when a run asks for them.",
        )

        parser.add_argument(
            "--no-runner",
            action="store_false",
            dest="runner",
            help="Serve pages only; `manage.py runner` executes the runs.",
        )

    def handle(
        self,
        *args: Any,
        host: str,
        port: int | None,
        warm_up: bool,
        runner: bool,
        **options: Any,
    ) -> None:
        try:
            with only_instance(settings.DATA_DIR) as instance:
                call_command("migrate", interactive=False, verbosity=0)
                with claiming() if runner else nullcontext():
                    self._up(instance, host, port, warm_up=warm_up, runner=runner)
        except AlreadyRunning as running:
            if running.address:
                self.stdout.write(f"Sign in: {_sign_in_address(running.address)}")
            raise CommandError(str(running)) from None

    def _up(
        self, instance: Instance, host: str, port: int | None, *, warm_up: bool, runner: bool
    ) -> None:
        try:
            listening = listen(host, port)
        except OSError as error:
            raise CommandError(
                f"Port {port or 8000} on {host} can't be had: {error.strerror}. "
                "Choose another with --port."
            ) from None
        with listening:
            address = _address(host, listening.getsockname()[1])
            instance.tell(address)
            text = (
                f"DSPex is at {_sign_in_address(address)}\n"
                "(signs you in once, within 15 minutes; `manage.py up` gives a new address). "
                "Ctrl+C ends it."
            )
            serve(listening, lambda: self._say(text), warm_up=warm_up, runner=runner)
        left = " Runs that were going on go on at the next start." if runner else ""
        self.stdout.write(f"DSPex has ended.{left}")

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def _address(host: str, port: int) -> str:
    if settings.ORIGINS:
        return str(settings.ORIGINS[0])
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _sign_in_address(address: str) -> str:
    return f"{address}{PATH}?token={sign_in_token(user=_administrator())}"


def _administrator() -> User:
    """Whoever looks after this installation: its first superuser, made if there is none."""
    user = User.objects.filter(is_superuser=True, is_active=True).order_by("pk").first()
    if user is None:
        user = User.objects.create_superuser("admin")
    personal_project(user=user)
    return user

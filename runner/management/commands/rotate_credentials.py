"""`manage.py rotate_credentials`: stored keys under the first of DSPEX_CREDENTIAL_KEYS."""

from typing import Any

from django.core.management import BaseCommand, CommandError

from pipelines.services.credentials import rotate_credentials


class Command(BaseCommand):
    help = "Encrypt stored keys anew with the first of DSPEX_CREDENTIAL_KEYS."

    def handle(self, *args: Any, **options: Any) -> None:
        count, unreadable = rotate_credentials()
        self.stdout.write(f"{count} keys are encrypted with the first secret now.")
        if unreadable:
            names = ", ".join(f"'{each.name}' for {each.host.origin}" for each in unreadable)
            raise CommandError(
                f"{len(unreadable)} could not be read: {names}. Add the secret that they were "
                "stored under to DSPEX_CREDENTIAL_KEYS, or enter them again."
            )

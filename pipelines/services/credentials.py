"""Stored keys under a new secret."""

from django.db import transaction

from pipelines.models import Credential
from pipelines.models.errors import CredentialUnreadable


def rotate_credentials() -> tuple[int, list[Credential]]:
    """Encrypt every key anew with the installation's first secret; how many, and those that none of
    its secrets opens, which stay as they are. For whoever holds the secrets: it asks nobody."""
    unreadable: list[Credential] = []
    count = 0
    with transaction.atomic():
        for credential in Credential.objects.select_for_update().select_related("host"):
            try:
                credential.keep(credential.reveal(credential.host.origin))
            except CredentialUnreadable:
                unreadable.append(credential)
                continue
            credential.save(update_fields=["encrypted"])
            count += 1
    return count, unreadable

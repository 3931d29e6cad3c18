"""Stored keys under a new secret."""

from typing import Any

import pytest

from pipelines.models import Credential
from pipelines.models.errors import CredentialUnreadable
from pipelines.services.credentials import rotate_credentials
from tests.people import SECRET, credential_of, people

pytestmark = pytest.mark.django_db
OLD, NEW = "an old secret " * 4, "a new secret " * 4
ADDRESS = "https://api.example.com"


def test_a_key_is_read_by_the_new_secret_alone_after_rotation(settings: Any) -> None:
    settings.CREDENTIAL_KEYS = [OLD]
    credential_of(people())
    settings.CREDENTIAL_KEYS = [NEW, OLD]
    assert rotate_credentials() == (1, [])
    settings.CREDENTIAL_KEYS = [NEW]
    assert Credential.objects.get().reveal(ADDRESS) == SECRET


def test_a_key_that_no_secret_opens_is_named_and_left(settings: Any) -> None:
    settings.CREDENTIAL_KEYS = [OLD]
    credential = credential_of(people())
    settings.CREDENTIAL_KEYS = [NEW]
    assert rotate_credentials() == (0, [credential])
    with pytest.raises(CredentialUnreadable):
        Credential.objects.get().reveal(ADDRESS)
    settings.CREDENTIAL_KEYS = [OLD]
    assert Credential.objects.get().reveal(ADDRESS) == SECRET

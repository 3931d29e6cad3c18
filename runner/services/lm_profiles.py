"""LM profiles as the gateway takes them."""

from pipelines.models import ApprovedHost, Person
from pipelines.models import LMProfile as ProfileRow
from pipelines.services import key_for_calls
from runner.lm.types import LMProfile

# Fields that a row and the gateway's frozen value have alike.
_SAME = tuple(set(LMProfile.__struct_fields__) - {"id", "api_key", "private_network"})


def callable_profile(*, row: ProfileRow, user: Person) -> LMProfile:
    """The profile with its key, for calls on this person's behalf. Raises what `key_for_calls` does."""
    key = key_for_calls(profile=row, user=user)
    private = bool(row.base_url) and ApprovedHost.objects.of(row.base_url).private_network
    same = {name: getattr(row, name) for name in _SAME}
    return LMProfile(id=row.pk.hex, api_key=key, private_network=private, **same)

"""The ids that appear in addresses: UUIDs of version 7, which sort by the time they were made, so that
new rows land at the end of an index."""

import secrets
import time
from uuid import UUID

from django.db import models


def uuid7() -> UUID:
    """48 bits of milliseconds since 1970, then 74 random ones (RFC 9562). Python has its own from 3.14."""
    milliseconds = time.time_ns() // 1_000_000
    value = milliseconds << 80 | secrets.randbits(80)
    version_and_variant = 0x7 << 76 | 0x2 << 62
    return UUID(int=value & ~(0xF << 76) & ~(0x3 << 62) | version_and_variant)


class PublicId(models.Model):
    """Base of what has an address of its own."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)

    class Meta:
        abstract = True

"""Whether the channel layer carries what is told."""

import asyncio
import secrets

from channels.layers import InMemoryChannelLayer, get_channel_layer
from django.db import connection

from runner.engine.findings import Finding, broken, degraded, ok

PART = "Channel layer"
PATIENCE = 3.0
"""Seconds for a message to come back."""
_MEND = (
    "Pages show what happens a second late, by asking again. Start the Redis that DSPEX_REDIS_URL "
    "names, or leave that empty where one process does everything."
)


def channel_layer() -> list[Finding]:
    """Send a message to a group and have it back."""
    return asyncio.run(_round_trip())


async def _round_trip() -> list[Finding]:
    try:
        layer = get_channel_layer()
        if layer is None:
            return [broken(PART, "None is set up.", _MEND)]
        group, token = f"doctor.{secrets.token_hex(8)}", secrets.token_hex(8)
        async with asyncio.timeout(PATIENCE):
            channel = await layer.new_channel()
            await layer.group_add(group, channel)
            await layer.group_send(group, {"type": "doctor.asks", "token": token})
            came = await layer.receive(channel)
            await layer.group_discard(group, channel)
    except TimeoutError:
        return [broken(PART, f"A message did not come back within {PATIENCE:g} s.", _MEND)]
    except Exception as error:  # whatever the layer's own server makes of it
        return [broken(PART, f"It can't be used: {error!r}", _MEND)]
    if came.get("token") != token:
        return [broken(PART, "Another message came back than was sent.", _MEND)]
    name = type(layer).__name__
    if not isinstance(layer, InMemoryChannelLayer):
        return [ok(PART, f"A message came back, between processes ({name}).")]
    if connection.vendor == "sqlite":
        return [ok(PART, f"A message came back, within this process ({name}).")]
    says = f"A message came back, but never leaves this process ({name})."
    mend = "Set DSPEX_REDIS_URL, if pages and runners are processes of their own."
    return [degraded(PART, says, mend)]

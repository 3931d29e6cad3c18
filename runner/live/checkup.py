"""Whether the channel layer carries what is told."""

import asyncio
import secrets

from channels.layers import InMemoryChannelLayer, get_channel_layer

from runner.engine.findings import Finding, broken, ok

PART = "Channel layer"
PATIENCE = 3.0
"""Seconds for a message to come back."""
_MEND = (
    "Pages show what happens a second late, by asking again. Mend CHANNEL_LAYERS in "
    "dspex_site/settings.py, or start the server that it names."
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
    where = (
        "within this process" if isinstance(layer, InMemoryChannelLayer) else "between processes"
    )
    return [ok(PART, f"A message came back, {where} ({name}).")]

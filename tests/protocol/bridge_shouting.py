"""A worker with a format of its own, which the host must register too."""

import msgspec

from runner.bridge import formats
from runner.bridge.formats import Format
from runner.bridge.worker_loop import Worker

SHOUTING = Format(
    code=9,
    name="shouting",
    encode=lambda message: msgspec.json.encode(message).swapcase(),
    decoder=lambda type_: lambda body: msgspec.json.decode(bytes(body).swapcase(), type=type_),
)


def preload() -> Worker:
    import bridge_toy

    formats.register(SHOUTING)
    return bridge_toy.preload()

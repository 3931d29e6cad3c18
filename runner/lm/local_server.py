"""The embedded model's process: `python -m runner.lm.local_server`.

It is told what to serve in one line of JSON on stdin (a key in argv or in the environment could be
read by other processes), answers with one line of JSON on stdout, {"url"}, and serves until stdin
ends. That is how it ends with its host however the host ends: the system closes the pipe of a killed
process too.
"""

import os
import sys
import threading
from contextlib import suppress

import msgspec

from runner.lm.local_model import ServerOrder
from runner.lm.zeroed_memory import give_back_zeros


def _end_with_host() -> None:
    while os.read(0, 4096):
        pass
    # At once: an orderly exit would wait for answers that nobody reads any more.
    os._exit(0)


def _serve(order: ServerOrder) -> str:
    """Load the model and listen; the base URL when it is ready for requests."""
    import xllamacpp  # type: ignore[import-untyped]

    params = xllamacpp.CommonParams()
    params.model.path = order.model_path
    params.model_alias = {order.model}
    params.port = 0
    params.api_keys = [order.key]
    params.cors_origins = ""
    params.ui = False
    params.endpoint_slots = False
    params.verbosity = 1
    params.n_gpu_layers = 0
    params.n_parallel = order.slots
    # 23 KB a token, most of what the process takes. At eight bits it would be half, and 135M parameters
    # then answer visibly worse.
    params.n_ctx = order.slots * order.context
    # Prompts here are short: larger pieces only make larger buffers, which stay.
    params.n_batch, params.n_ubatch = 512, 128
    params.fit_params = False
    # Both keep copies of past prompts, for switching back to one; 135M parameters read it anew.
    params.cache_ram_mib = 0
    params.n_ctx_checkpoints = 0
    params.cpuparams.n_threads = order.threads
    params.cpuparams_batch.n_threads = order.threads
    server = xllamacpp.Server(params)
    _KEEP.append(server)
    with suppress(OSError):  # a system that does not let a process read itself
        give_back_zeros()
    return str(server.listening_address)


# The server stops when its object is collected.
_KEEP: list[object] = []


def main() -> None:
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=ServerOrder)
    # llama.cpp may write to stdout; the answer's descriptor is ours alone.
    answer = os.dup(1)
    os.dup2(2, 1)
    threading.Thread(target=_end_with_host, daemon=True).start()
    if hasattr(os, "nice"):
        os.nice(order.nice)
    url = _serve(order)
    os.write(answer, msgspec.json.encode({"url": url}) + b"\n")
    os.close(answer)
    threading.Event().wait()


if __name__ == "__main__":
    main()

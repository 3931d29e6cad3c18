"""Programs of DSPy on the nodes of a graph."""

import gzip
import json
import pickle
from typing import Any

import pytest

from pipelines.graph.graph import Graph
from pipelines.graph.ops import apply
from pipelines.graph.program import ProgramError, fit, read_program
from pipelines.graph.validate import validate
from tests.graphs import edges, interface, node


def state(fields: str = "Question Answer", **parts: Any) -> dict[str, Any]:
    """A predictor as DSPy saves it."""
    told = [
        {"prefix": f"{name}:", "description": f"${{{name.lower()}}}"} for name in fields.split()
    ]
    signature = {"instructions": "Do it well.", "fields": told}
    return {"traces": [], "train": [], "demos": [], "signature": signature, "lm": None, **parts}


def saved(**predictors: Any) -> bytes:
    return json.dumps({**predictors, "metadata": {"dependency_versions": {}}}).encode()


def a_graph() -> Graph:
    return Graph.of(
        [
            interface("input", "question"),
            node("gen", "chain_of_thought", signature="question -> answer"),
            node("kw", signature="answer -> keywords: list[str]"),
            interface("output", "keywords"),
        ],
        edges(
            "input.question -> gen.question\ngen.answer -> kw.answer\nkw.keywords -> output.keywords"
        ),
    )


PROGRAM = {
    "gen.predict": state("Question Reasoning Answer"),
    "kw": state("Answer Keywords", demos=[{"answer": "x", "keywords": ["a"], "augmented": True}]),
}


def test_predictors_go_to_the_nodes_of_their_paths() -> None:
    fitted = fit(read_program(saved(**PROGRAM)), a_graph())
    assert fitted.nodes == {"gen.predict": "gen", "kw": "kw"}
    graph = apply(a_graph(), fitted.operation)
    assert graph.node("gen").config["instructions"] == "Do it well."
    assert graph.node("kw").config["demos"] == [{"answer": "x", "keywords": ["a"]}]
    assert validate(graph) == []


def test_a_lone_predictor_goes_to_a_lone_node() -> None:
    graph = Graph.of([node("ask", signature="question -> answer")])
    assert fit(read_program(saved(self=state())), graph).nodes == {"self": "ask"}


def test_descriptions_are_kept_where_they_say_something() -> None:
    told = state()
    told["signature"]["fields"][1]["description"] = "One word"
    graph = Graph.of([node("ask", signature="question -> answer")])
    changed = apply(graph, fit(read_program(saved(self=told)), graph).operation)
    assert changed.node("ask").config["descriptions"] == {"answer": "One word"}


def test_a_program_takes_the_place_of_an_earlier_one() -> None:
    plain = state()
    plain["signature"]["instructions"] = "Given the fields `question`, produce the fields `answer`."
    demos = [{"question": "a", "answer": "b"}]
    graph = Graph.of(
        [node("ask", signature="question -> answer", instructions="Old.", demos=demos)]
    )
    changed = apply(graph, fit(read_program(saved(self=plain)), graph).operation)
    assert changed.node("ask").config == {"signature": "question -> answer"}


def test_nodes_may_be_named() -> None:
    program = read_program(saved(**{"a.predict": PROGRAM["gen.predict"], "b": PROGRAM["kw"]}))
    assert fit(program, a_graph(), {"a.predict": "gen", "b": "kw"}).nodes["b"] == "kw"


def test_every_predictor_that_fits_nothing_is_named() -> None:
    program = read_program(saved(one=state(), two=state(), kw=state("Answer Words")))
    with pytest.raises(ProgramError) as refused:
        fit(program, a_graph(), {"two": "input", "three": "kw"})
    for words in (
        "no predictor 'three'",
        "the predictor 'one'",
        "'two' is for 'input', which is no predictor",
        "'kw' has the fields Answer, Words but 'kw' has Answer, Keywords",
    ):
        assert words in str(refused.value)


def test_two_predictors_do_not_share_a_node() -> None:
    program = read_program(saved(one=PROGRAM["kw"], two=PROGRAM["kw"]))
    with pytest.raises(ProgramError, match="has another one already"):
        fit(program, a_graph(), {"one": "kw", "two": "kw"})


def test_settings_of_a_language_model_are_left_out_and_told() -> None:
    lm = {"model": "openai/gpt-4o", "api_base": "http://attacker.example"}
    program = read_program(saved(self=state(lm=lm)))
    assert "api_base" in program.ignored[0] and "attacker" not in program.ignored[0]


class Bomb:
    def __reduce__(self) -> Any:
        return (pytest.fail, ("it was unpickled",))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("what", [{"self": 1}, [1], Bomb()])
def test_pickles_are_refused_by_what_they_hold(protocol: int, what: Any) -> None:
    with pytest.raises(ProgramError, match=r"Save the program as JSON|not JSON"):
        read_program(pickle.dumps(what, protocol))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (gzip.compress(b"{}"), "compressed"),
        (b"PK\x03\x04", "ZIP archive"),
        (b"\x80\x04", "a pickle"),
        (b"nonsense", "not JSON"),
        (b"\xff\xfe{}", "not JSON"),
        (b"[1]", "predictors by path"),
        (b"{}", "no predictors"),
        (b'{"metadata": {}}', "no predictors"),
        (b'{"a": 1}', "wrong at a"),
        (b'{"a": {"signature": {"instructions": 1, "fields": []}}}', "a.signature.instructions"),
        (b'{"a": NaN}', "not JSON|JSON"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"a": ' * 100 + b"1" + b"}" * 100, "nested more than"),
        (b'{"a": "\\ud800"}', "half a character"),
    ],
)
def test_what_is_no_program_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(ProgramError, match=words):
        read_program(data)

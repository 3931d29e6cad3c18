import pytest

import dspex
from pipelines.graph.graph import Graph, GraphError
from pipelines.graph.validate import validate


def flagship() -> Graph:
    return dspex.pipeline(
        [
            dspex.native("predict", signature="query -> keywords: list[str]"),
            dspex.dspy("ChainOfThought", signature="keywords -> analysis"),
            dspex.parallel(
                [dspex.native("search", collection="docs"), dspex.dspy("ColBERTv2", k=10)]
            ),
            dspex.native("template", template="Results: {{ results }}"),
        ]
    )


def inputs_of(graph: Graph) -> list[str]:
    return [field["name"] for field in graph.node("input").config["fields"]]


def outputs_of(graph: Graph) -> list[str]:
    return [field["name"] for field in graph.node("output").config["fields"]]


def joins(graph: Graph) -> set[str]:
    return {str(edge) for edge in graph.edges}


def test_the_flagship_is_a_sound_graph() -> None:
    graph = flagship()
    assert validate(graph) == []
    assert (inputs_of(graph), outputs_of(graph)) == (["query"], ["text"])
    assert graph.node("chain_of_thought").policy == {"backend": "dspy"}


def test_fields_flow_forward_by_name() -> None:
    assert {
        "input.query → predict.query",
        "predict.keywords → chain_of_thought.keywords",
        "input.query → search.query",
        "input.query → colbert.query",
        "search.passages → results.search.passages",
        "results.value → template.results",
    } <= joins(flagship())


def test_branches_are_named_by_kind_and_then_numbered() -> None:
    graph = dspex.pipeline(
        [dspex.parallel([dspex.step("search"), dspex.step("search"), dspex.step("colbert")])]
    )
    assert graph.node("results").config["inputs"] == [
        "search.passages",
        "search_2.passages",
        "colbert.passages",
    ]


def test_branches_can_be_named_and_can_have_several_steps() -> None:
    graph = dspex.pipeline(
        [
            dspex.parallel(
                docs=[
                    dspex.step("predict", signature="query -> better: str"),
                    dspex.step("search", reads={"query": "better"}),
                ],
                wiki=dspex.step("search", collection="wiki"),
            )
        ]
    )
    assert graph.node("results").config["inputs"] == ["docs.passages", "wiki.passages"]
    assert "predict.better → search.query" in joins(graph)
    assert validate(graph) == []


def test_only_results_may_be_bound_again() -> None:
    groups = [dspex.parallel([dspex.step("search")]) for _ in range(2)]
    graph = dspex.pipeline([*groups, dspex.step("template", template="{{ results }}")])
    assert "results_2.value → template.results" in joins(graph)


def test_two_producers_of_a_field_are_refused_with_step_field_and_mend() -> None:
    steps = [dspex.step("predict", signature="q -> answer") for _ in range(2)]
    with pytest.raises(GraphError) as caught:
        dspex.pipeline(steps)
    message = str(caught.value)
    assert "'predict_2'" in message
    assert "'answer'" in message
    assert "'predict' produces it already" in message
    assert "gives={'answer'" in message


def test_a_field_that_was_read_as_an_input_can_not_be_produced_later() -> None:
    with pytest.raises(GraphError, match="'predict' reads it as an input"):
        dspex.pipeline(
            [
                dspex.step("predict", signature="query -> keywords"),
                dspex.step("predict", signature="keywords -> query"),
            ]
        )


def test_the_mend_of_a_clash_works() -> None:
    graph = dspex.pipeline(
        [
            dspex.step("template", template="{{ a }}", gives={"text": "first"}),
            dspex.step("template", template="{{ first }}!"),
        ]
    )
    assert validate(graph) == []
    assert outputs_of(graph) == ["text"]


def test_two_chains_of_thought_do_not_clash_unless_someone_reads_the_reasoning() -> None:
    steps = [
        dspex.step("chain_of_thought", signature="q -> a"),
        dspex.step("chain_of_thought", signature="a -> b"),
    ]
    assert validate(dspex.pipeline(steps)) == []
    with pytest.raises(GraphError, match="both 'chain_of_thought' and 'chain_of_thought_2'"):
        dspex.pipeline([*steps, dspex.step("template", template="{{ reasoning }}")])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: [dspex.step("summon")], "no kind 'summon'"),
        (lambda: [], "at least one step"),
        (lambda: ["predict"], "made of steps"),
        (lambda: [dspex.step("predict", signature="a -> b: strr")], "strr"),
        (lambda: [dspex.step("predict", signature="a -> b", sigature="x")], "sigature"),
        (lambda: [dspex.step("predict", signature="a -> b", retries=-1)], "retries"),
        (lambda: [dspex.step("search", name="A b")], "'A b' can't be a step's name"),
        (lambda: [dspex.step("search", reads={"q": "x"})], "no port 'q'. Ports: query"),
        (lambda: [dspex.step("template", template="{% for %}")], "Write {% for name in list %}"),
        (lambda: [dspex.parallel()], "at least one branch"),
        (lambda: [dspex.parallel(**{"a b": dspex.step("search")})], "can't name a branch"),
        (lambda: [dspex.step("map")], "can't stand in a list"),
    ],
)
def test_what_can_not_be_a_pipeline_is_refused_and_named(make: object, words: str) -> None:
    with pytest.raises(GraphError, match=words):
        dspex.pipeline(make())  # type: ignore[operator]


def test_a_signature_error_points_at_the_character() -> None:
    with pytest.raises(dspex.SignatureError) as caught:
        dspex.signature("a -> b: os.system")
    assert caught.value.position == len("a -> b: ")


def test_a_signature_gives_its_fields_with_canonical_types() -> None:
    parsed = dspex.signature("query, n: int -> keywords: list[str], mood: Literal['a','b']")
    assert list(parsed.inputs) == ["query", "n"]
    assert parsed.outputs["keywords"].type == "list[str]"
    assert parsed.outputs["mood"].type == "Literal['a', 'b']"


def test_a_type_of_the_steps_own_passes_from_step_to_step() -> None:
    person = {"Person": {"type": "object", "properties": {"age": {"type": "integer"}}}}
    graph = dspex.pipeline(
        [
            dspex.step("predict", signature="text -> who: Person", types=person),
            dspex.step("predict", signature="who: Person, by: Person -> greeting", types=person),
        ]
    )
    assert validate(graph) == []
    assert graph.node("input").config["fields"][1] == {"name": "by", "type": "Any"}


def test_an_unknown_option_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(GraphError, match=r"no option 'templte'. Options: template, .*timeout"):
        dspex.pipeline([dspex.step("template", templte="Hi")])


@pytest.mark.parametrize("gives", [{"b": "c"}, {"b": "d", "c": "d"}])
def test_two_outputs_of_one_step_can_not_become_one_field(gives: dict[str, str]) -> None:
    with pytest.raises(GraphError, match="A field has one producer"):
        dspex.pipeline([dspex.step("predict", signature="a -> b, c", gives=gives)])


@pytest.mark.parametrize("name", ["x y", "x.y", "", 3])
def test_a_field_is_renamed_to_a_name_alone(name: object) -> None:
    for option in ({"gives": {"b": name}}, {"reads": {"a": name}}):
        with pytest.raises(GraphError, match="can't name a field"):
            dspex.pipeline([dspex.step("predict", signature="a -> b", **option)])


def test_a_branch_keeps_the_name_that_it_was_given() -> None:
    search = dspex.step("search")
    graph = dspex.pipeline([dspex.parallel([search, search], search_2=search)])
    names = graph.node("results").config["inputs"]
    assert names == ["search.passages", "search_3.passages", "search_2.passages"]
